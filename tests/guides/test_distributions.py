"""What a guide's distribution is: its density, its draws and its entropy agree with each other and with SciPy."""

from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import AUTOGUIDES, GUIDES, NO_ENTROPY, log_prob, moments, random_params, start
from vi_toolkit.guides.full_rank_normal import scale_tril

ALL = GUIDES | AUTOGUIDES
GRID = np.linspace(-20.0, 20.0, 401)
FUNCTIONS = (
    lambda z: z[:, 0],
    lambda z: z[:, 1],
    lambda z: np.cos(z[:, 0] - 2 * z[:, 1]),
    lambda z: np.tanh(z[:, 0] * z[:, 1]),
)
CELL = (GRID[1] - GRID[0]) ** 2
POINTS = np.stack(np.meshgrid(GRID, GRID, indexing="ij"), -1).reshape(-1, 2)


def made(name, dim=2):
    guide = ALL[name]()
    return guide, random_params(guide, dim)


@pytest.mark.parametrize("name", ALL)
def test_density_draws_and_entropy_agree(name):
    """On a fine grid the density sums to one, and its moments and entropy are those of the draws."""
    guide, params = made(name)
    log_q = np.asarray(log_prob(guide, params, POINTS))
    mass = np.exp(log_q) * CELL
    np.testing.assert_allclose(mass.sum(), 1.0, rtol=2e-5)
    draws = np.asarray(jit(lambda key: guide.distribution(params).sample(key, (20_000,)))(jax.random.key(3)))
    assert draws.shape == (20_000, 2)
    for function in FUNCTIONS:
        values, expected = function(draws), mass @ function(POINTS)
        assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(len(values))
    entropy = jit(lambda: guide.distribution(params).entropy())
    if name in NO_ENTROPY:
        with pytest.raises(NotImplementedError):
            entropy()
    else:
        np.testing.assert_allclose(entropy(), -mass @ log_q, rtol=2e-4)


def covariance_of(params):
    """The covariance (or for Student's t the scale matrix) written out from the parameters."""
    if "lower" in params:
        factor = np.tril(params["lower"], -1) + np.diag(np.exp(params["log_diagonal"]))
        return factor @ factor.T
    scale = np.exp(params["log_scale"])
    factor = params.get("factor", np.zeros((len(scale), 1)))
    return np.diag(scale) @ (np.eye(len(scale)) + factor @ factor.T) @ np.diag(scale)


@pytest.mark.parametrize("name", ["mean field", "full rank", "low rank"])
def test_normals_against_scipy(name):
    guide, params = made(name, dim=4)
    expected = stats.multivariate_normal(params["location"], covariance_of(params))
    points = np.random.default_rng(1).normal(size=(5, 4))
    np.testing.assert_allclose(log_prob(guide, params, points), expected.logpdf(points), rtol=1e-10)
    np.testing.assert_allclose(jit(guide.distribution(params).entropy)(), expected.entropy(), rtol=1e-10)
    mean, variance = moments(guide, params)
    np.testing.assert_allclose(mean, params["location"], rtol=1e-12)
    np.testing.assert_allclose(variance, np.diag(covariance_of(params)), rtol=1e-10)


@pytest.mark.parametrize("degrees", [None, 9.0])
def test_student_t_against_scipy(degrees):
    guide = vi.StudentT(degrees)
    params = random_params(guide, 3)
    assert ("log_degrees_of_freedom" in params) == (degrees is None)
    degrees = degrees or np.exp(params["log_degrees_of_freedom"])
    expected = stats.multivariate_t(params["location"], covariance_of(params), df=degrees)
    points = np.random.default_rng(1).normal(size=(5, 3))
    np.testing.assert_allclose(log_prob(guide, params, points), expected.logpdf(points), rtol=1e-10)
    variance = np.diag(covariance_of(params)) * degrees / (degrees - 2)
    np.testing.assert_allclose(moments(guide, params)[1], variance, rtol=1e-10)


@pytest.mark.parametrize("family", [vi.MeanFieldNormal(), vi.FullRankNormal(), vi.LowRankNormal(2)], ids=str)
def test_mixtures_against_scipy(family):
    guide = vi.NormalMixture(3, covariance=family)
    params = random_params(guide, 3)
    log_weights = np.asarray(params["log_weights"]) - logsumexp(params["log_weights"])
    components = [jax.tree.map(itemgetter(k), params["components"]) for k in range(len(log_weights))]
    points = np.random.default_rng(1).normal(size=(5, 3))
    parts = [stats.multivariate_normal(c["location"], covariance_of(c)).logpdf(points) for c in components]
    np.testing.assert_allclose(
        log_prob(guide, params, points), logsumexp(np.array(parts) + log_weights[:, None], axis=0), rtol=1e-10
    )
    weights, means = np.exp(log_weights), np.array([c["location"] for c in components])
    mean = weights @ means
    second = sum(w * (np.diag(covariance_of(c)) + m**2) for w, c, m in zip(weights, components, means, strict=True))
    np.testing.assert_allclose(moments(guide, params)[0], mean, rtol=1e-10)
    np.testing.assert_allclose(moments(guide, params)[1], second - mean**2, rtol=1e-10)


def test_the_scale_matrix_is_lower_triangular_whatever_stands_above_the_diagonal():
    params = random_params(vi.FullRankNormal(), 3)
    expected = np.tril(params["lower"], -1) + np.diag(np.exp(params["log_diagonal"]))
    np.testing.assert_allclose(scale_tril(params), expected, rtol=1e-12)
    assert np.abs(np.triu(params["lower"], 1)).max() > 0.01  # there was something to leave out


@pytest.mark.any_precision
@pytest.mark.parametrize("name", ALL)
def test_it_begins_at_the_start_and_on_its_scale(name):
    guide, here = ALL[name](), start(2)
    here = here._replace(scale=jnp.asarray([1e-3, 1e3], here.scale.dtype), others=jnp.tile(here.location, (8, 1)))
    draw = jit(lambda here: guide.distribution(guide.init(jax.random.key(0), here)).sample(jax.random.key(1), (500,)))
    draws = np.asarray(draw(here))
    standard = (draws - np.asarray(here.location)) / np.asarray(here.scale)
    assert draws.dtype == here.location.dtype
    assert np.abs(np.median(standard, axis=0)).max() < 0.7
    spread = np.subtract(*np.percentile(standard, [75, 25], axis=0)) / 1.349
    assert spread.min() > 0.05
    assert spread.max() < 2.0


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: vi.LowRankNormal(0), ValueError, "rank: expected at least 1"),
        (lambda: vi.LowRankNormal(1.5), TypeError, "rank: expected a whole number"),
        (lambda: vi.NormalMixture(True), TypeError, "num_components: expected a whole number"),
        (lambda: vi.NormalMixture(0), ValueError, "num_components: expected at least 1"),
        (lambda: vi.NormalMixture(2, covariance=vi.StudentT()), TypeError, "covariance: expected a FullRankNormal or"),
        (lambda: vi.NormalMixture(2, covariance=vi.FullRankNormal), TypeError, "got the class FullRankNormal itself"),
        (lambda: vi.StudentT(0.0), ValueError, "degrees_of_freedom: expected a finite number above 0"),
        (lambda: vi.StudentT(np.inf), ValueError, "degrees_of_freedom: expected a finite number above 0"),
        (lambda: vi.StudentT("3"), TypeError, "degrees_of_freedom: expected a positive number"),
    ],
)
def test_settings_that_make_no_family(without_type_checks, build, error, words):
    with pytest.raises(error, match=words):
        build()
