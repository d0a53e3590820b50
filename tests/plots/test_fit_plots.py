"""The pictures of marginals, of pairs and of directions, on posteriors that are known in closed form."""

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.stats import gamma, norm

import vi_toolkit as vi
from tests.plots.inside import check_inside
from vi_toolkit import exact
from vi_toolkit.plots import plot_directions, plot_marginals, plot_pairs
from vi_toolkit.plots._densities import smooth_line, smooth_plane
from vi_toolkit.plots._small_multiples import MAX_PANELS, Weighted, draw_marginals, worst_first
from vi_toolkit.plots._style import EXACT_EDGE, PALETTE
from vi_toolkit.plots.log_weights import reweighted_words

COVARIANCE = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 4.0]])


@pytest.fixture(scope="module")
def normal():
    return exact.gaussian_mixture([1.0], [[1.0, -2.0, 0.0]], [COVARIANCE])


@pytest.fixture(scope="module")
def narrow(normal):
    """Mean field by reverse KL: variances 1 / P_ii, that is 0.36, 0.36 and 4."""
    return vi.fit(jax.random.key(0), normal.target, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL()))


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def curve(axes, color):
    (found,) = [each for each in axes.get_lines() if each.get_color() == color]
    return found.get_xdata(), found.get_ydata()


# Densities from draws


def test_smooth_line_is_the_density():
    draws = np.random.default_rng(0).normal(2.0, 3.0, 50_000)
    x = np.linspace(-8.0, 12.0, 400)
    # the bandwidth is 0.31: five sds of the noise, sqrt(p / (2 sqrt(pi) 50,000 * 0.31)), and a bias of h^2 p'' / 2
    np.testing.assert_allclose(smooth_line(draws, x), norm.pdf(x, 2.0, 3.0), atol=5 * 0.0016 + 0.0008)


def test_smooth_line_of_a_bounded_site_does_not_spill_over():
    """An exponential distribution is highest at its bound; the kernel thrown back there takes 0.8 h = 0.07 off."""
    draws = np.random.default_rng(0).exponential(size=50_000)
    x = np.linspace(draws.min(), 6.0, 400)
    density = smooth_line(draws, x)
    assert density[0] == pytest.approx(0.93, abs=0.04)
    assert np.trapezoid(density, x) == pytest.approx(1 - np.exp(-6), abs=0.01)


def test_weights_turn_one_density_into_another():
    """Draws of N(0, 2) with weights N(1, 1) / N(0, 2)."""
    draws = np.random.default_rng(0).normal(0.0, 2.0, 100_000)
    log_weights = norm.logpdf(draws, 1.0, 1.0) - norm.logpdf(draws, 0.0, 2.0)
    x = np.linspace(-3.0, 5.0, 300)
    np.testing.assert_allclose(smooth_line(draws, x, log_weights), norm.pdf(x, 1.0, 1.0), atol=0.02)
    pair = np.random.default_rng(1).normal(0.0, 2.0, (100_000, 2))
    both = (norm.logpdf(pair, 1.0, 1.0) - norm.logpdf(pair, 0.0, 2.0)).sum(axis=1)
    grid_x, grid_y, density = smooth_plane(pair, both)
    shares = density / density.sum()
    assert (shares * grid_x).sum() == pytest.approx(1.0, abs=0.05)
    assert (shares * (grid_y - 1.0) ** 2).sum() == pytest.approx(1.0, abs=0.15)  # a kernel of a fifth of an sd


# Marginals


def test_marginals_show_q_the_reference_and_q_reweighted(key, normal, narrow):
    figure = plot_marginals(key, narrow, reference=normal, num_draws=20_000)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["z[0]", "z[1]", "z[2]"]
    for axes, mean, sd, q_sd in zip(figure.axes, (1.0, -2.0, 0.0), (1.0, 1.0, 2.0), (0.6, 0.6, 2.0), strict=True):
        x, p = curve(axes, EXACT_EDGE)
        np.testing.assert_allclose(p, norm.pdf(x, mean, sd), atol=0.04 / sd)
        x, q = curve(axes, PALETTE[0])
        np.testing.assert_allclose(q, norm.pdf(x, mean, q_sd), atol=0.06 / q_sd)
    # reweighting makes the first two wider, towards p
    x, reweighted = curve(figure.axes[0], PALETTE[1])
    assert reweighted.max() < 0.9 * curve(figure.axes[0], PALETTE[0])[1].max()
    words = legend_of(figure)
    assert words[:2] == ["reference", "q"]
    assert words[2].startswith("q reweighted")


def test_marginals_are_in_the_models_own_space(key):
    def model(y):
        rate = numpyro.sample("rate", dist.Gamma(3.0, 1.0))
        numpyro.deterministic("twice", 2 * rate)
        numpyro.sample("y", dist.Poisson(rate), obs=y)

    fit = vi.fit(jax.random.key(0), vi.from_numpyro(model, y=jnp.array([2.0, 4.0, 3.0])))
    figure = plot_marginals(key, fit, num_draws=10_000)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["rate", "twice"]
    x, reweighted = curve(figure.axes[0], PALETTE[1])
    np.testing.assert_allclose(reweighted, gamma.pdf(x, 12.0, scale=0.25), atol=0.06)  # conjugate: Gamma(3 + 9, 1 + 3)
    assert [words.partition(" (")[0] for words in legend_of(figure)] == ["q", "q reweighted"]
    chosen = plot_marginals(key, fit, sites=["twice"], num_draws=10_000)
    assert [axes.get_title(loc="left") for axes in chosen.axes] == ["twice"]
    with pytest.raises(ValueError, match=r"sites: expected some of \['rate', 'twice'\], got 'rte'"):
        plot_marginals(key, fit, sites=["rte"])
    with pytest.raises(ValueError, match="at least two dimensions"):
        plot_pairs(key, fit)


def test_of_many_scalars_the_worst_are_shown():
    rng = np.random.default_rng(0)
    columns = {f"x[{i}]": rng.normal(size=2000) for i in range(40)}
    shifted = {label: values + 0.1 * i for i, (label, values) in enumerate(columns.items())}
    q = Weighted(columns, np.full(2000, -np.log(2000)), 0.9)
    assert worst_first(q, shifted, list(columns))[:2] == ["x[39]", "x[38]"]
    figure = draw_marginals(q, shifted)
    assert len(figure.axes) == MAX_PANELS
    assert figure.axes[0].get_title(loc="left") == "x[39]"
    assert figure.get_suptitle().startswith("30 of 40 scalars")
    assert legend_of(figure)[2] == "q reweighted"  # whatever the k-hat, of weights that are all the same


def test_a_legend_says_whether_to_believe_reweighted_draws():
    uneven = np.random.default_rng(0).normal(size=2000)
    assert reweighted_words(0.69, uneven) == "q reweighted"
    assert reweighted_words(0.9, uneven) == "q reweighted (k-hat 0.90: not to be trusted)"
    assert reweighted_words(0.9, 0.1 * uneven) == "q reweighted"


# Pairs


def test_two_dimensions_are_drawn_from_the_densities(key):
    """The drawn regions are the ellipses of the chi-square quantiles, q's and p's."""
    known = exact.gaussian_mixture([1.0], [[1.0, -2.0]], [COVARIANCE[:2, :2]])
    fit = vi.fit(jax.random.key(0), known.target, vi.laplace())
    (axes,) = plot_pairs(key, fit, reference=known, num_draws=2000).axes
    for paths in (axes.collections[-1].get_paths()[0], axes.collections[0].get_paths()[0]):
        outer = paths.vertices[: len(paths.vertices)] - [1.0, -2.0]
        distance = np.einsum("ni,ij,nj->n", outer, np.linalg.inv(COVARIANCE[:2, :2]), outer)
        assert distance.max() == pytest.approx(-2 * np.log(0.1), rel=0.06)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z[0]", "z[1]")


def test_more_dimensions_are_a_triangle_from_draws(key, normal, narrow):
    figure = plot_pairs(key, narrow, reference=normal, num_draws=20_000)
    assert len(figure.axes) == 6
    places = {
        (axes.get_subplotspec().rowspan.start, axes.get_subplotspec().colspan.start): axes for axes in figure.axes
    }
    grey = np.concatenate([path.vertices for path in places[1, 0].collections[0].get_paths()])
    assert np.corrcoef(grey.T)[0, 1] > 0.6  # p is tilted, q is not
    blue = places[1, 0].collections[-1].get_paths()[0].vertices
    assert abs(np.corrcoef(blue.T)[0, 1]) < 0.15
    assert np.ptp(blue[:, 0]) == pytest.approx(2 * 0.6 * np.sqrt(-2 * np.log(0.1)), rel=0.1)
    assert [places[2, c].get_xlabel() for c in range(3)] == ["z[0]", "z[1]", "z[2]"]
    assert legend_of(figure)[0] == "reference: 50 %"


def test_coordinates_are_chosen_by_name(key, narrow):
    figure = plot_pairs(key, narrow, coordinates=["z[2]", "z[0]"], num_draws=500)
    assert len(figure.axes) == 3
    assert figure.axes[-1].get_xlabel() == "z[0]"
    with pytest.raises(ValueError, match=r"coordinates: expected some of .*, got 'z\[3\]'"):
        plot_pairs(key, narrow, coordinates=["z[0]", "z[3]"])
    with pytest.raises(ValueError, match="coordinates: expected two to 5, got 1"):
        plot_pairs(key, narrow, coordinates=["z[0]"])
    with pytest.raises(ValueError, match="expected one of dim 3"):
        plot_pairs(key, narrow, reference=exact.gaussian_mixture([1.0], [[0.0]], [[[1.0]]]))


# Directions


def test_directions_part(key):
    """By D(q‖p) a normal on one mode, by D(p‖q) one over both."""
    (axes,) = plot_directions(key, vi.zoo.two_modes(dim=1)).axes
    x, seeking = curve(axes, PALETTE[0])
    _, covering = curve(axes, PALETTE[1])
    assert abs(abs(x[seeking.argmax()]) - 4.0) < 0.2
    assert abs(x[covering.argmax()]) < 1.0
    assert np.interp(-4.0, x, covering) > 0.03
    assert np.interp(4.0, x, covering) > 0.03


def test_everything_lies_inside_the_figure(key, normal, narrow):
    before = dict(matplotlib.rcParams)
    figures = [plot(key, narrow, reference=normal, num_draws=1000) for plot in (plot_marginals, plot_pairs)]
    assert dict(matplotlib.rcParams) == before
    for figure in figures:
        check_inside(figure, margin=0.01)


@pytest.mark.parametrize("plot", [plot_marginals, plot_pairs])
@pytest.mark.usefixtures("without_type_checks")
def test_what_is_no_fit_is_refused(key, plot):
    with pytest.raises(TypeError, match=r"fit: expected a Fit"):
        plot(key, "fit")
    with pytest.raises(TypeError, match=r"posterior: expected a ExactPosterior"):
        plot_directions(key, "posterior")
