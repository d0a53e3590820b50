"""The skewed normal against the published density, Bessel functions, autodiff, and a divergence by quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import kve

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import log_prob, random_params

GUIDE = vi.SinhArcsinhNormal()
BY_COORDINATE = vi.SinhArcsinhNormal(covariance=vi.MeanFieldNormal())


def published(x, epsilon, delta):
    """The log density of X with sinh(delta arcsinh(X) - epsilon) standard normal; Jones and Pewsey, equation 2."""
    s = np.sinh(delta * np.arcsinh(x) - epsilon)
    return stats.norm.logpdf(s) + np.log(delta * np.sqrt(1 + s**2)) - 0.5 * np.log1p(x**2)


def placed(z, location, scale, epsilon, delta):
    """The same of m + s (X - S(0)) / S'(0)."""
    middle, slope = np.sinh(epsilon / delta), np.cosh(epsilon / delta) / delta
    return published((z - location) / scale * slope + middle, epsilon, delta) + np.log(slope / scale)


def power(q):
    """E[cosh(q arcsinh(e))] by Bessel functions; Jones and Pewsey, section 2.3."""
    return (kve((q + 1) / 2, 0.25) + kve(abs(q - 1) / 2, 0.25)) / np.sqrt(8 * np.pi)


def test_the_density_by_coordinate_is_the_published_one():
    params = random_params(BY_COORDINATE, 3, spread=0.6)
    shape = params["skewness"], np.exp(params["log_tail_weight"])
    points = np.random.default_rng(1).normal(size=(20, 3)) * np.geomspace(0.1, 100, 20)[:, None]
    expected = placed(points, params["location"], np.exp(params["log_scale"]), *shape).sum(1)
    np.testing.assert_allclose(log_prob(BY_COORDINATE, params, points), expected, rtol=1e-9)


@pytest.mark.parametrize("normal", [vi.FullRankNormal(), vi.BlockNormal(((0, 2), (1,)))], ids=["full rank", "blocks"])
def test_the_density_is_that_of_the_noise_over_the_jacobian(normal):
    guide, dim = vi.SinhArcsinhNormal(covariance=normal), 3
    params = random_params(guide, dim, spread=0.5)
    noises = np.random.default_rng(2).normal(size=(4, dim))

    def draw(e):
        noise = lambda key, num_draws, dim, dtype: e[None]  # noqa: E731
        return guide.draw(jax.random.key(0), params, 1, noise).points[0]

    points, slopes = jit(lambda e: (jax.vmap(draw)(e), jax.vmap(jax.jacfwd(draw))(e)))(noises)
    expected = stats.norm.logpdf(noises).sum(1) - np.linalg.slogdet(slopes)[1]
    np.testing.assert_allclose(log_prob(guide, params, points), expected, rtol=1e-9)


def test_moments_by_bessel_functions():
    params = random_params(GUIDE, 3, spread=0.6)
    epsilon, delta = np.asarray(params["skewness"]), np.exp(params["log_tail_weight"])
    middle, slope = np.sinh(epsilon / delta), np.cosh(epsilon / delta) / delta
    mean = np.sinh(epsilon / delta) * power(1 / delta)
    variance = (np.cosh(2 * epsilon / delta) * power(2 / delta) - 1) / 2 - mean**2
    factor = np.tril(params["lower"], -1) + np.diag(np.exp(params["log_diagonal"]))
    q = GUIDE.distribution(params)
    np.testing.assert_allclose(q.mean, params["location"] + factor @ ((mean - middle) / slope), rtol=1e-10)
    covariance = factor @ np.diag(variance / slope**2) @ factor.T
    np.testing.assert_allclose(q.covariance_matrix, covariance, rtol=1e-10)
    np.testing.assert_allclose(q.variance, np.diag(covariance), rtol=1e-10)


def test_it_begins_as_the_normal():
    normal, params = vi.FullRankNormal(), random_params(vi.FullRankNormal(), 3)
    same = {**params, "skewness": jnp.zeros(3), "log_tail_weight": jnp.zeros(3)}
    points = np.random.default_rng(1).normal(size=(4, 3))
    np.testing.assert_allclose(log_prob(GUIDE, same, points), log_prob(normal, params, points), rtol=1e-12)
    draws = [guide.draw(jax.random.key(0), p, 4).points for guide, p in ((GUIDE, same), (normal, params))]
    np.testing.assert_allclose(*draws, rtol=1e-12)


@pytest.mark.any_precision
@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 1.0), (3.0, 0.4), (-4.0, 1.5), (40.0, 0.3), (0.0, 0.2)])
def test_tails_are_finite_with_their_gradients(epsilon, delta):
    dtype, reach = jnp.result_type(float), 5.0
    params = {
        "location": jnp.zeros(1), "log_scale": jnp.zeros(1), "skewness": jnp.full(1, epsilon),
        "log_tail_weight": jnp.full(1, np.log(delta)),
    }  # fmt: skip
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), params)

    def ends(params):
        return BY_COORDINATE.draw(
            jax.random.key(0), params, 2, lambda *_: jnp.asarray([[-reach], [reach]], dtype)
        ).points

    def total(params, points):
        return BY_COORDINATE.distribution(params).log_prob(points).sum()

    points = jit(ends)(params)
    value, gradients = jit(jax.value_and_grad(total, (0, 1)))(params, points)
    assert value.dtype == dtype
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((points, value, gradients)))
    slopes = np.array([np.exp(x) / np.cosh(reach_x) for x, reach_x in _log_slopes(epsilon, delta, reach)])
    expected = 2 * stats.norm.logpdf(reach) - np.log(slopes).sum()
    np.testing.assert_allclose(value, expected, rtol=5e-3 if dtype == jnp.float32 else 1e-9)


def _log_slopes(epsilon, delta, reach):
    """log of cosh(a + b) / cosh(b) and arcsinh(e), at both ends: their quotient is dt/de."""
    x, b = np.arcsinh(reach), np.clip(epsilon / delta, -20, 20)
    for end in (-x, x):
        a = end / delta
        yield np.logaddexp(a + b, -a - b) - np.logaddexp(b, -b), end


def test_the_fit_is_the_minimiser_found_by_quadrature():
    """Of D_KL(q || p) for a skew normal p, over m, log s, epsilon and log delta, in one dimension."""
    exact = vi.zoo.skewed(1, slant=3.0)
    nodes = np.linspace(-8.0, 8.0, 801)
    density = stats.norm.pdf(nodes) * (nodes[1] - nodes[0])

    def divergence(x):
        location, log_scale, epsilon, log_delta = x
        delta, scale = np.exp(log_delta), np.exp(log_scale)
        middle, slope = np.sinh(epsilon / delta), np.cosh(epsilon / delta) / delta
        z = location + scale * (np.sinh((np.arcsinh(nodes) + epsilon) / delta) - middle) / slope
        log_p = np.log(2) + stats.norm.logpdf(z) + stats.norm.logcdf(3.0 * z)
        return density @ (placed(z, location, scale, epsilon, delta) - log_p)

    best = optimize.minimize(
        divergence, [0.5, -0.5, 0.1, 0.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12}
    )
    fit = vi.fit(jax.random.key(0), exact.target, vi.gradient(GUIDE, vi.ReverseKL()))
    assert fit.status is vi.Status.CONVERGED
    names = ("location", "log_diagonal", "skewness", "log_tail_weight")
    np.testing.assert_allclose([float(fit.params[name][0]) for name in names], best.x, atol=0.02)
    assert best.fun < 0.005  # a normal's is 0.05
    assert best.x[2] > 0.3
    np.testing.assert_allclose(fit.posterior.mean, exact.mean, atol=0.01)


def test_the_normal_to_borrow_from_is_checked(without_type_checks):
    with pytest.raises(TypeError, match=r"covariance: expected a FullRankNormal or .* got LowRankNormal"):
        vi.SinhArcsinhNormal(covariance=vi.LowRankNormal(1))
    with pytest.raises(ValueError, match="blocks: they hold 3 coordinates"):
        vi.SinhArcsinhNormal(covariance=vi.BlockNormal((2, 1))).check(2)
