"""The picture of a fit shows the fit's own numbers."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest

import vi_toolkit as vi
from tests.plots.inside import check_inside
from vi_toolkit.plots import plot_fit
from vi_toolkit.plots.fit_trace import running_mean, tolerance


@pytest.fixture(scope="module")
def target():
    """Two logistic distributions: not normal, so that no guide is exact."""
    return vi.from_log_density(lambda z: -jnp.sum(z + 2 * jnp.logaddexp(0.0, -z)), dim=2, log_evidence=0.0)


@pytest.fixture(scope="module")
def reverse(target):
    return vi.fit(jax.random.key(0), target, vi.gradient(vi.FullRankNormal(), vi.ReverseKL()))


@pytest.fixture(scope="module")
def forward(target):
    return vi.fit(jax.random.key(0), target, vi.gradient(vi.MeanFieldNormal(), vi.ForwardKL()), max_steps=300)


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_lines_hold_the_history(reverse):
    upper, lower = plot_fit(reverse).axes
    raw, smooth = upper.get_lines()[:2]
    np.testing.assert_array_equal(raw.get_ydata(), reverse.history["elbo"])
    np.testing.assert_array_equal(raw.get_xdata(), np.arange(1, reverse.num_steps + 1))
    assert len(smooth.get_ydata()) == reverse.num_steps
    change, noise, limit = lower.get_lines()[:3]
    np.testing.assert_array_equal(change.get_xdata(), reverse.history["window_end"][1:])  # the first has none before it
    np.testing.assert_array_equal(change.get_ydata(), reverse.history["change"][1:])
    np.testing.assert_array_equal(noise.get_ydata(), reverse.history["noise"])
    assert list(limit.get_ydata()) == [tolerance(2)] * 2
    assert lower.get_yscale() == "log"


def test_stop_and_windows_are_marked(reverse):
    upper = plot_fit(reverse).axes[0]
    vertical = [line.get_xdata()[0] for line in upper.get_lines() if len(set(line.get_xdata())) == 1]
    assert vertical[:-1] == list(reverse.history["window_end"])
    assert vertical[-1] == reverse.num_steps
    why = f"{reverse.status.name} after {reverse.num_steps:,} steps: {reverse.status.value}"
    assert " ".join(upper.get_title(loc="left").split()) == why


def test_a_converged_fit_ends_under_the_tolerance(reverse):
    assert reverse.status is vi.Status.CONVERGED
    assert reverse.history["change"][-1] < tolerance(2)
    assert reverse.history["noise"][-1] < tolerance(2)


def test_a_fit_that_ended_above_the_tolerance_says_why(reverse):
    assert "cost" not in plot_fit(reverse).axes[1].get_title(loc="left")
    noise = np.append(reverse.history["noise"][:-1], 2 * tolerance(2))
    above = replace(reverse, history={**reverse.history, "noise": noise})
    assert "less would cost more than all steps" in plot_fit(above).axes[1].get_title(loc="left")
    unfinished = replace(above, status=vi.Status.MAX_STEPS)
    assert "cost" not in plot_fit(unfinished).axes[1].get_title(loc="left")


def test_the_log_evidence_is_in_view_where_it_is_near(reverse):
    low, high = plot_fit(reverse).axes[0].get_ylim()
    near = replace(reverse.target, log_evidence=jnp.asarray(high + 0.5 * (high - low)))
    far = replace(reverse.target, log_evidence=jnp.asarray(high + 50 * (high - low)))
    assert plot_fit(replace(reverse, target=near)).axes[0].get_ylim()[1] > float(near.log_evidence)
    assert plot_fit(replace(reverse, target=far)).axes[0].get_ylim()[1] < float(far.log_evidence)


def test_labels_say_what_is_shown(reverse, forward):
    figure = plot_fit(reverse)
    assert [axes.get_ylabel() for axes in figure.axes] == ["ELBO (nats)", "nats"]
    assert "log evidence" in legend_of(figure)
    figure = plot_fit(forward)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss (nats)", "nats", "%"]
    assert "log evidence" not in legend_of(figure)
    np.testing.assert_array_equal(figure.axes[0].get_lines()[0].get_ydata(), forward.history["loss"])
    np.testing.assert_allclose(figure.axes[2].get_lines()[0].get_ydata(), 100 * forward.history["ess"])


def test_far_first_steps_stay_outside(reverse):
    fit = replace(reverse, history=reverse.history | {name: reverse.history[name].copy() for name in ("loss", "elbo")})
    fit.history["elbo"][0], fit.history["loss"][0] = -1e6, 1e6
    upper = plot_fit(fit).axes[0]
    low, high = upper.get_ylim()
    assert low < np.median(fit.history["elbo"]) < high
    assert high - low < 100
    assert "(first step: -1e+06, outside the panel)" in " ".join(upper.get_title(loc="left").split())


def test_nothing_global_changes(reverse):
    before = dict(matplotlib.rcParams)
    plot_fit(reverse)
    assert dict(matplotlib.rcParams) == before


def test_everything_lies_inside_the_figure(reverse, forward):
    for fit in (reverse, forward):
        check_inside(plot_fit(fit))


def test_running_mean():
    np.testing.assert_allclose(running_mean(np.array([1.0, 3.0, 5.0, 7.0]), 2), [1.0, 2.0, 4.0, 6.0])
    np.testing.assert_allclose(running_mean(np.array([np.nan, 3.0, np.nan, 7.0]), 2), [np.nan, 3.0, 3.0, 7.0])


def test_what_is_no_fit_is_refused():
    with pytest.raises(TypeError, match="fit"):
        plot_fit("fit")


def test_a_method_that_knows_its_end_shows_what_it_goes_by(target):
    fit = vi.fit(jax.random.key(0), target)
    figure = plot_fit(fit)
    length, accuracy = figure.axes[1].get_lines()[:2]
    np.testing.assert_array_equal(length.get_ydata(), np.maximum(fit.history["length"], 1e-12))
    np.testing.assert_array_equal(accuracy.get_ydata(), np.maximum(fit.history["accuracy"], 1e-12))
    np.testing.assert_array_equal(length.get_xdata(), np.arange(1, fit.num_steps + 1))
    assert {"length of the next step", "left open by the number of points"} <= set(legend_of(figure))
    assert "end of a window" not in legend_of(figure)


def test_no_panel_without_distances(target):
    assert len(plot_fit(vi.fit(jax.random.key(0), target, vi.pathfinder(1))).axes) == 1
