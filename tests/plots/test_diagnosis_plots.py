"""The pictures of a diagnosis show its own numbers."""

import dataclasses

import matplotlib
import numpy as np
import pytest
from scipy.stats import genpareto

import vi_toolkit as vi
from tests.plots.inside import check_inside
from tests.plots.made import basins, diagnosis, pareto_weights
from vi_toolkit.diagnostics import Estimate
from vi_toolkit.diagnostics.weights.bounds import Bracket
from vi_toolkit.plots import plot_bracket, plot_errors, plot_log_weights, plot_mode_masses
from vi_toolkit.plots._style import PALETTE
from vi_toolkit.plots._tail import pareto_scale, pareto_survival, upper_tail
from vi_toolkit.plots.bracket import BELOW
from vi_toolkit.plots.errors import WITHIN, errors_of
from vi_toolkit.plots.mode_masses import locations


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines_of(axes, color):
    return [line for line in axes.get_lines() if line.get_color() == color]


# Log weights


@pytest.mark.parametrize("khat", [-0.4, 0.0, 0.3, 0.9])
def test_the_scale_of_a_pareto_tail_is_found(khat):
    """From quantiles of the distribution itself, and as the best of its neighbours by SciPy's log density."""
    excess = genpareto.ppf((np.arange(4000) + 0.5) / 4000, khat, scale=2.5)
    scale = pareto_scale(excess, khat)
    assert scale == pytest.approx(2.5, rel=0.01)
    best, low, high = (genpareto.logpdf(excess, khat, scale=s).sum() for s in (scale, 0.97 * scale, 1.03 * scale))
    assert best > max(low, high)
    np.testing.assert_allclose(pareto_survival(excess, khat, 2.5), genpareto.sf(excess, khat, scale=2.5), rtol=1e-9)


def test_a_tail_below_minus_one_goes_by_its_median():
    excess = genpareto.ppf((np.arange(999) + 0.5) / 999, -1.5, scale=3.0)
    assert pareto_scale(excess, -1.5) == pytest.approx(3.0, rel=0.01)


def test_the_fitted_tail_goes_through_the_draws():
    given = diagnosis()
    figure = plot_log_weights(given)
    whole, largest = figure.axes
    cutoff, tail = upper_tail(given.log_weights)
    assert len(tail) == int(3 * np.sqrt(4000))
    (shares,) = [line for line in largest.get_lines() if line.get_marker() == "o"]
    np.testing.assert_allclose(shares.get_xdata(), tail - cutoff)
    assert shares.get_ydata()[0] == 0.5 / 4000
    (fitted,) = lines_of(largest, PALETTE[0])
    x, y = fitted.get_data()
    # of w = u^-k the share above w is w^(-1/k) exactly: the line on log axes has the slope -1/k
    expected = np.exp(-(x + cutoff) / 0.6)
    shown = np.isfinite(y) & (x < tail[5] - cutoff)
    np.testing.assert_allclose(np.log(y[shown]), np.log(expected[shown]), atol=0.15)
    (limit,) = lines_of(largest, PALETTE[2])
    assert limit.get_ydata()[-1] > y[-1]  # 0.7 is a heavier tail than 0.6
    assert f"generalised Pareto, k = {given.khat:.2f}" in legend_of(figure)
    mean = lines_of(whole, PALETTE[1])[0].get_xdata()[0]
    assert mean == pytest.approx(given.log_weights.mean() - given.log_evidence)
    assert sum(bar.get_height() for bar in whole.patches[:60]) == 4000


@pytest.mark.parametrize(
    ("log_weights", "words"),
    [
        (pareto_weights(0.2), "k-hat is 0.2"),
        (pareto_weights(0.6), "reweighting can still make use"),
        (pareto_weights(1.2), "not below 0.7: the weights are too uneven"),
        (np.log1p(0.003 * np.exp(pareto_weights(0.9))), "but of weights that are nearly all alike"),
        (np.zeros(100), "all the same, as good as it gets"),
        (np.append(pareto_weights(0.3, 200), np.inf), "some weights are no numbers"),
    ],
)
def test_khat_in_words(log_weights, words):
    figure = plot_log_weights(diagnosis(log_weights=log_weights))
    assert words in figure.get_suptitle()


def test_draws_without_weight_are_told():
    log_weights = np.append(pareto_weights(0.3, 200), [-np.inf] * 7)
    whole = plot_log_weights(diagnosis(log_weights=log_weights)).axes[0]
    assert "without 7 whose weight is zero" in whole.get_title(loc="left")
    with pytest.raises(ValueError, match="no two draws have a finite log weight"):
        plot_log_weights(diagnosis(log_weights=np.full(50, -np.inf)))


# Errors


def test_errors_against_a_reference():
    given = diagnosis(mean_errors=np.array([0.05, -0.4]), log_sd_ratios=np.log([0.5, 1.02]), reference="NUTS")
    figure = plot_errors(given)
    left, right = figure.axes
    beyond = next(line for line in left.get_lines() if line.get_marker() == "D")
    np.testing.assert_array_equal(beyond.get_xdata(), [-0.4])
    np.testing.assert_array_equal(beyond.get_ydata(), [1])
    beyond = next(line for line in right.get_lines() if line.get_marker() == "D")
    np.testing.assert_allclose(beyond.get_xdata(), [0.5])
    assert right.get_xscale() == "log"
    assert figure.get_suptitle() == "q against NUTS"
    assert "with two standard errors" not in " ".join(legend_of(figure))
    bands = [patch.get_extents().width for axes in figure.axes for patch in axes.patches]
    assert len(bands) == 2
    assert all(matplotlib.colors.to_hex(axes.patches[0].get_facecolor()) == WITHIN.lower() for axes in figure.axes)


def test_errors_without_a_reference_are_what_reweighting_undoes():
    """Draws of N(0, 1) weighed to N(0.5, 1): q's mean is 0.5 sd too low, and its sd is right."""
    z = np.random.default_rng(1).normal(size=(200_000, 1))
    given = diagnosis(log_weights=0.5 * z[:, 0] - 0.125, draws=z)
    found = errors_of(given)
    assert abs(found.means.values[0] + 0.5) < 5 * found.means.ses[0] + 0.01
    assert abs(found.log_sds.values[0]) < 5 * found.log_sds.ses[0] + 0.01
    assert "with two standard errors" in " ".join(legend_of(plot_errors(given)))


def test_errors_know_of_modes_that_q_misses():
    """Half of p at 0, where q is N(0, 1), and half at 10: means 5 apart, an sd of sqrt(26)."""
    z = np.random.default_rng(1).normal(size=(20_000, 2))
    found = dataclasses.replace(
        basins([0.5, 0.5], [1.0, 0.0], (1,)),
        draws=np.concatenate([z, z + 10.0]),
        log_weights=np.full(40_000, -np.log(40_000)),
    )
    errors = errors_of(diagnosis(draws=z, log_weights=np.zeros(20_000), basins=found))
    np.testing.assert_allclose(errors.means.values, -5 / np.sqrt(26), atol=0.02)
    np.testing.assert_allclose(errors.log_sds.values, -0.5 * np.log(26), atol=0.03)
    blind = errors_of(diagnosis(draws=z, log_weights=np.zeros(20_000)))
    np.testing.assert_allclose(blind.means.values, 0.0, atol=1e-12)
    assert (errors.against, blind.against) == ("a search beyond its own draws", "its own draws reweighted")


def test_the_worst_thirty_come_first():
    errors = np.linspace(0.0, 1.0, 40)
    given = diagnosis(mean_errors=errors, log_sd_ratios=np.zeros(40), reference="p")
    figure = plot_errors(given)
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == [f"z[{i}]" for i in range(39, 9, -1)]
    assert "30 of 40 coordinates" in figure.get_suptitle()


def test_coordinates_have_the_names_of_their_sites():
    target = vi.from_log_density(lambda z: -0.5 * z @ z, dim=2)
    given = diagnosis(mean_errors=np.zeros(2), log_sd_ratios=np.zeros(2), reference="p")
    assert [t.get_text() for t in plot_errors(given, target=target).axes[0].get_yticklabels()] == ["z[0]", "z[1]"]
    with pytest.raises(ValueError, match=r"target: expected one of dim 2, that of the diagnosis, got 3"):
        plot_errors(given, target=vi.from_log_density(lambda z: -0.5 * z @ z, dim=3))
    with pytest.raises(ValueError, match="the errors are not known"):
        plot_errors(diagnosis(draws=None))


# Masses


def test_masses_and_what_is_missed():
    figure = plot_mode_masses(diagnosis(basins=basins([0.6, 0.1, 0.3], [0.99, 0.01, 0.0], (1, 2))))
    (axes,) = figure.axes
    p, q = [each for each in axes.containers if isinstance(each, matplotlib.container.BarContainer)]
    np.testing.assert_allclose([bar.get_width() for bar in p], [60, 30, 10])  # the heaviest first
    np.testing.assert_allclose([bar.get_width() for bar in q], [99, 0, 1])
    assert [text.get_text() for text in axes.texts] == ["missed by q"] * 2
    assert sorted(text.get_position()[1] for text in axes.texts) == pytest.approx([1.19, 2.19])
    assert axes.get_title(loc="left") == "Mass at each mode: q misses 40 % of the posterior"
    labels = [" ".join(tick.get_text().split()) for tick in axes.get_yticklabels()]
    assert labels[1] == "mode 2: mean[0] = 2, scale = 100, ..."  # mean[1] is the same everywhere


def test_where_a_mode_is():
    one, other = {"z": np.array([1.0, 1e-17, 3.0])}, {"z": np.array([-1.0, 2e-17, 3.0])}
    assert [" ".join(place.split()) for place in locations([one, other])] == ["z[0] = 1, ...", "z[0] = -1, ..."]
    assert [" ".join(place.split()) for place in locations([one])] == ["z[0] = 1, z[1] = 0, z[2] = 3"]


def test_masses_at_the_modes_of_a_reference():
    given = diagnosis(mode_masses=np.array([0.0, 1.0]), reference_mode_masses=np.array([0.3, 0.7]))
    axes = plot_mode_masses(given).axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [
        "mode 2 of the reference",
        "mode 1 of the reference",
    ]
    with pytest.raises(ValueError, match="nothing is known about modes"):
        plot_mode_masses(diagnosis())


# Bracket


def test_the_bracket_in_order_with_its_errors():
    given = diagnosis(reference_log_evidence=-2.45, reference_log_evidence_se=0.0)
    figure = plot_bracket(given)
    axes = figure.axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ["ELBO", "IWAE, 16 draws", "importance sampling", "CUBO"]
    values = [c.lines[0].get_xdata()[0] for c in axes.containers]
    assert values == [-3.0, -2.6, -2.5, -2.2]
    spans = [np.ptp(c.lines[2][0].get_segments()[0][:, 0]) for c in axes.containers]
    np.testing.assert_allclose(spans, 4 * np.array([0.01, 0.02, 0.03, 0.1]))
    box = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (box.x0, box.x1) == pytest.approx((-2.6, -2.2))
    assert figure.get_suptitle() == "Log evidence: the best bounds are 0.4 nats apart"
    assert lines_of(axes, BELOW.color)[0].get_marker() == ">"
    assert "log Z of the reference" in legend_of(figure)
    assert -2.45 in [line.get_xdata()[0] for line in axes.get_lines()]


def test_what_is_not_known_is_left_out_with_its_reason():
    given = Bracket(elbo=Estimate(-np.inf, np.inf), log_evidence=Estimate(1.0, 0.1), notes=("The CUBO is not given.",))
    figure = plot_bracket(diagnosis(bracket=given))
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["importance sampling"]
    assert figure.axes[0].get_title(loc="left") == "The CUBO is not given."
    with pytest.raises(ValueError, match="no bound of the log evidence is known"):
        plot_bracket(diagnosis(bracket=Bracket()))


def test_bounds_that_cross_are_told():
    crossed = Bracket(elbo=Estimate(0.0, 0.1), cubo=Estimate(-1.0, 0.1))
    assert "cross" in plot_bracket(diagnosis(bracket=crossed)).get_suptitle()


# All of them


def every_figure():
    many = diagnosis(
        mean_errors=np.linspace(-1, 1, 40), log_sd_ratios=np.linspace(-3, 3, 40), reference="a long run of NUTS",
        basins=basins([0.6, 0.1, 0.3], [0.99, 0.01, 0.0], (1, 2)),
        bracket=Bracket(elbo=Estimate(-0.2876821, 1e-7), eubo=Estimate(1.0, 0.1), notes=(50 * "words ",)),
    )  # fmt: skip
    return [plot(many) for plot in (plot_log_weights, plot_errors, plot_mode_masses, plot_bracket)]


def test_everything_lies_inside_the_figure():
    before = dict(matplotlib.rcParams)
    figures = every_figure()
    assert dict(matplotlib.rcParams) == before
    for figure in figures:
        check_inside(figure, margin=0.01)


@pytest.mark.parametrize("plot", [plot_log_weights, plot_errors, plot_mode_masses, plot_bracket])
@pytest.mark.usefixtures("without_type_checks")
def test_what_is_no_diagnosis_is_refused(plot):
    with pytest.raises(TypeError, match=r"diagnosis: expected a Diagnosis"):
        plot("diagnosis")
