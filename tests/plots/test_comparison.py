"""The pictures of comparisons show the numbers that they claim to."""

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.stats import norm

import vi_toolkit as vi
from tests.plots.inside import check_inside
from vi_toolkit import exact
from vi_toolkit.compare import compare
from vi_toolkit.plots import plot_comparison
from vi_toolkit.plots._densities import region_levels, smooth_plane
from vi_toolkit.plots._style import PALETTE, looks

REVERSE, FORWARD = vi.ReverseKL(), vi.ForwardKL()


@pytest.fixture(scope="module")
def line():
    modes = exact.gaussian_mixture([0.4, 0.6], [[-3.0], [3.0]], [[[1.0]], [[1.0]]])
    methods = {
        "reverse KL": vi.gradient(vi.FullRankNormal(), REVERSE),
        "forward KL": vi.gradient(vi.FullRankNormal(), FORWARD),
    }
    return compare(jax.random.key(0), modes.target, methods, reference=modes, num_draws=500)


@pytest.fixture(scope="module")
def plane():
    normal = exact.gaussian_mixture([1.0], [[1.0, -2.0]], [[[1.0, 0.8], [0.8, 1.0]]])
    methods = {
        "full-rank": vi.gradient(vi.FullRankNormal(), REVERSE),
        "mean-field": vi.gradient(vi.MeanFieldNormal(), REVERSE),
    }
    return compare(jax.random.key(0), normal.target, methods, reference=normal, num_draws=500)


@pytest.fixture(scope="module")
def regression():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4)) @ np.array([[1, 0.9, 0, 0], [0, 0.3, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    posterior = exact.linear_regression(X, rng.normal(size=50), noise_sd=1.0, prior_sd=3.0)
    methods = {
        "full-rank": vi.gradient(vi.FullRankNormal(), REVERSE),
        "mean-field": vi.gradient(vi.MeanFieldNormal(), REVERSE),
    }
    return compare(jax.random.key(0), posterior.target, methods, reference=posterior, num_draws=500)


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def curve(axes, color):
    (found,) = [each for each in axes.get_lines() if each.get_color() == color]
    return found.get_xdata(), found.get_ydata()


def test_one_dimension_shows_the_densities(key, line):
    figure = plot_comparison(key, line, num_draws=2000)
    (axes,) = figure.axes
    for name, color in zip(line.fits, PALETTE, strict=False):
        x, q = curve(axes, color)
        posterior = line.fits[name].posterior
        np.testing.assert_allclose(
            q, norm.pdf(x, float(posterior.mean[0]), float(posterior.variance[0]) ** 0.5), atol=1e-9
        )
    x, p = axes.get_lines()[0].get_data()
    np.testing.assert_allclose(p, 0.4 * norm.pdf(x, -3.0) + 0.6 * norm.pdf(x, 3.0), atol=1e-9)
    assert np.trapezoid(p, x) == pytest.approx(1.0, abs=0.01)  # the window holds all of it
    assert legend_of(figure) == ["exact posterior", "reverse KL", "forward KL"]
    assert axes.get_xlabel() == "z"


def test_directions_part(key, line):
    """At a glance: the reverse-KL curve is a normal on one mode, the forward-KL one lies over both."""
    (axes,) = plot_comparison(key, line, num_draws=2000).axes
    x, seeking = curve(axes, PALETTE[0])
    _, covering = curve(axes, PALETTE[1])
    assert abs(abs(x[seeking.argmax()]) - 3.0) < 0.1
    assert abs(x[covering.argmax()] - 0.6) < 0.1  # the mixture's mean
    assert np.interp(-3.0, x, covering) > 0.05
    assert np.interp(3.0, x, covering) > 0.05


def test_two_dimensions_show_regions_and_marginals(key, plane):
    figure = plot_comparison(key, plane, num_draws=2000)
    *panels, first, second = figure.axes
    assert [axes.get_title(loc="left").splitlines()[0] for axes in panels] == ["full-rank", "mean-field"]
    for axes, name in zip(panels, plane.fits, strict=True):
        diagnosis = plane.diagnoses[name]
        assert f"D(q‖p) = {max(diagnosis.reverse_kl, 0):.2f} nats" in axes.get_title(loc="left")
        assert f"D(p‖q) = {max(diagnosis.forward_kl, 0):.2f} nats" in axes.get_title(loc="left")
    for axes, mean in ((first, 1.0), (second, -2.0)):
        x, p = axes.get_lines()[0].get_data()
        np.testing.assert_allclose(p, norm.pdf(x, mean), atol=2e-3)
        x, q = curve(axes, PALETTE[1])  # mean field, reverse KL: variance 1 / P_ii = 1 - 0.8^2
        np.testing.assert_allclose(q, norm.pdf(x, mean, 0.6), atol=0.03)
    assert "exact posterior: 50 % of its mass" in legend_of(figure)


def test_contours_hold_the_mass_they_claim(key, plane):
    """The drawn 90 % region of the full-rank guide, a normal, is the ellipse of its chi-square quantile."""
    axes = plot_comparison(key, plane, num_draws=2000).axes[0]
    outer = axes.collections[-1].get_paths()[0].vertices
    covariance = np.array([[1.0, 0.8], [0.8, 1.0]])
    distance = np.einsum("ni,ij,nj->n", outer - [1.0, -2.0], np.linalg.inv(covariance), outer - [1.0, -2.0])
    np.testing.assert_allclose(distance, -2 * np.log(0.1), rtol=0.06)


def test_many_dimensions_show_intervals(key, regression):
    figure = plot_comparison(key, regression, num_draws=20_000, coords={"what": list("abcd")}, dims={"beta": ["what"]})
    forest, pair = figure.axes[:2]
    assert [tick.get_text() for tick in forest.get_yticklabels()] == ["beta[d]", "beta[c]", "beta[b]", "beta[a]"]
    bars = forest.patches
    assert len(bars) == 8  # 90 % and 50 % of each of the four
    for wide, narrow in zip(bars[::2], bars[1::2], strict=True):
        assert wide.get_width() == pytest.approx(2 * norm.ppf(0.95), rel=0.03)  # in posterior sds, normal
        assert narrow.get_width() == pytest.approx(2 * norm.ppf(0.75), rel=0.03)
    mean_field = [each for each in forest.get_lines() if each.get_color() == PALETTE[1] and each.get_linewidth() == 1.2]
    exact_sd, guide_sd = regression.reference.sd, np.sqrt(regression.fits["mean-field"].posterior.variance)
    for drawn, ratio in zip(mean_field, guide_sd / exact_sd, strict=True):
        assert np.ptp(drawn.get_xdata()) == pytest.approx(2 * norm.ppf(0.95) * ratio, rel=0.05)
    assert {pair.get_xlabel(), pair.get_ylabel()} == {"beta[a]", "beta[b]"}  # correlated by construction
    assert legend_of(figure) == ["exact: middle 50 %", "exact: middle 90 %", "full-rank", "mean-field"]


def test_sites_are_chosen_by_name_and_shown_in_their_own_space(key):
    def model(y):
        mean = numpyro.sample("mean", dist.Normal(0.0, 5.0))
        scale = numpyro.sample("scale", dist.HalfNormal(3.0))
        numpyro.deterministic("ratio", mean / scale)
        numpyro.sample("y", dist.Normal(mean, scale), obs=y)

    target = vi.from_numpyro(model, y=jnp.array([1.0, 2.0, 4.0, 3.0]))
    comparison = compare(key, target, {"q": vi.gradient(vi.MeanFieldNormal(), REVERSE)}, max_steps=300, num_draws=500)
    panels = plot_comparison(key, comparison, num_draws=500).axes  # two-dimensional, without a reference
    assert panels[0].get_xlabel() == "mean"
    assert panels[0].get_ylabel() == "scale (unconstrained)"
    forest = plot_comparison(key, comparison, sites=["scale", "ratio"], num_draws=500).axes[0]
    assert [tick.get_text() for tick in forest.get_yticklabels()] == ["ratio", "scale"]
    assert forest.get_xlabel() == "distance from the q's mean, in q's sds"
    with pytest.raises(ValueError, match=r"sites: expected some of \['mean', 'scale', 'ratio'\], got 'rato'"):
        plot_comparison(key, comparison, sites=["rato"])


def test_everything_lies_inside_the_figure(key, line, plane, regression):
    for comparison in (line, plane, regression):
        check_inside(plot_comparison(key, comparison, num_draws=1000))


def test_nothing_global_changes(key, line):
    before = dict(matplotlib.rcParams)
    plot_comparison(key, line, num_draws=100)
    assert dict(matplotlib.rcParams) == before


def test_methods_differ_in_colour_line_and_mark():
    chosen = looks(["a", "b", "c", "d", "e"]).values()
    for part in zip(*chosen, strict=True):
        assert len(set(map(str, part))) == 5


def test_region_levels_of_a_normal():
    x = np.linspace(-8, 8, 4001)
    wide, narrow = region_levels(norm.pdf(x))
    assert wide == pytest.approx(norm.pdf(norm.ppf(0.95)), rel=0.01)
    assert narrow == pytest.approx(norm.pdf(norm.ppf(0.75)), rel=0.01)


def test_smooth_plane_follows_the_covariance():
    root = np.array([[1.0, 0.0], [9.9, 0.5]])
    draws = np.random.default_rng(0).normal(size=(20_000, 2)) @ root.T + [5.0, -3.0]
    x, y, density = smooth_plane(draws)
    weights = density / density.sum()
    points = np.stack([x, y])
    mean = (points * weights).sum(axis=(1, 2))
    centred = points - mean[:, None, None]
    covariance = np.einsum("iab,jab,ab->ij", centred, centred, weights)
    np.testing.assert_allclose(mean, [5.0, -3.0], atol=0.2)
    np.testing.assert_allclose(covariance, root @ root.T, rtol=0.08)
    assert smooth_plane(np.zeros((100, 2))) is None


@pytest.mark.parametrize(("argument", "expected"), [("key", TypeError), ("comparison", TypeError)])
def test_bad_arguments(key, line, argument, expected):
    given = {"key": key, "comparison": line} | {argument: "nonsense"}
    with pytest.raises(expected, match=argument):
        plot_comparison(given["key"], given["comparison"])
