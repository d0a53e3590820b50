"""The figure of gradient noise: every objective is there, in order, and what has no noise is marked as such."""

import dataclasses

import matplotlib
import numpy as np
import pandas as pd
import pytest

import vi_toolkit as vi
from vi_toolkit.gradient_variance import GradientVariance

NAMES = ("score", "landing", "silent", "wild")
VARIANCES = {"score": 4.0, "landing": 0.5, "silent": 1e-30, "wild": 1e160}


def result(points=("end",), reference=None):
    rows = [
        {
            "point": point,
            "step": step,
            "objective": name,
            "estimator": name,
            "num_draws": 4,
            "work": 2.0,
            "gradient": 1.0,
            "gradient se": 0.1,
            "variance": VARIANCES[name],
            "variance se": 0.1 * VARIANCES[name],
            "variance x work": 2 * VARIANCES[name],
            "signal to noise": 1 / np.sqrt(VARIANCES[name]),
            "bias": 0.5 if name == "score" else 0.05,
            "bias se": 0.1,
            "non-finite": 0.0,
        }
        for step, point in enumerate(points)
        for name in NAMES
    ]
    table = pd.DataFrame(rows)
    return GradientVariance(table if reference else table.drop(columns=["bias", "bias se"]), 100, reference)


def test_at_a_point_the_least_noisy_stands_first_and_edges_are_hollow():
    figure = vi.plot_gradient_variance(result())
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["silent", "landing", "score", "wild"]
    assert axes.get_xscale() == "log"
    assert axes.yaxis_inverted()
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert [(line.get_marker(), line.get_ydata().tolist()) for line in hollow] == [("o", [0]), (">", [3])]
    (marks,) = [line for line in axes.lines if line.get_marker() == "o" and line not in hollow]
    np.testing.assert_allclose(marks.get_xdata(), [1.0, 8.0])
    np.testing.assert_array_equal(marks.get_ydata(), [1, 2])
    assert hollow[0].get_xdata()[0] < 1.0 < 8.0 < hollow[1].get_xdata()[0] < 100.0  # the axis stays readable
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["variance × work, ± 2 standard errors", "no noise", "far beyond"]


def test_a_reference_adds_the_bias_over_its_error():
    figure = vi.plot_gradient_variance(result(reference="landing"))
    _, axes = figure.axes
    assert axes.get_title(loc="left") == "bias against landing"
    assert [patch.get_width() for patch in axes.patches] == [0.2] * 4
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [0.05, 0.05, 0.5, 0.05])


def test_along_points_there_is_a_line_for_each_objective():
    points = ("start", "step 10", "end")
    figure = vi.plot_gradient_variance(result(points, "landing"))
    variance, signal, bias = figure.axes
    assert [axes.get_yscale() for axes in figure.axes] == ["log"] * 3
    lines = [line for line in variance.lines if line.get_linestyle() != "None"]
    assert len(lines) == len(NAMES)
    np.testing.assert_allclose(lines[0].get_ydata(), [8.0, 8.0, 8.0])
    assert [label.get_text() for label in bias.get_xticklabels()] == list(points)
    crosses = [line.get_xdata().tolist() for line in bias.lines if line.get_marker() == "x"]
    assert crosses == [[0, 1, 2], [], [], []]  # the score's alone
    assert signal.get_title(loc="left") == "signal to noise of one estimate"
    assert len(vi.plot_gradient_variance(result(points)).axes) == 2


def test_all_without_noise_and_what_is_not_known_is_drawn_all_the_same(tmp_path):
    quiet = result()
    table = quiet.table.assign(**{"variance x work": 0.0, "variance se": 0.0})
    vi.plot_gradient_variance(dataclasses.replace(quiet, table=table)).savefig(tmp_path / "quiet.png")
    table = quiet.table.copy()
    table.loc[0, ["variance x work", "variance se", "signal to noise"]] = np.nan
    figure = vi.plot_gradient_variance(dataclasses.replace(quiet, table=table))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][-1] == "score"
    figure.savefig(tmp_path / "unknown.png")


def test_something_else_is_refused(without_type_checks):
    with pytest.raises(TypeError, match="result: expected a GradientVariance"):
        vi.plot_gradient_variance(3)


def test_settings_are_put_back():
    before = dict(matplotlib.rcParams)
    vi.plot_gradient_variance(result())
    assert dict(matplotlib.rcParams) == before
