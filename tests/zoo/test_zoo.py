"""The named densities, against SciPy, quadrature, and what the literature states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from tests.exact.checks import check_agreement, check_density, check_draws, check_mean, check_modes
from tests.typecheck import as_users_call_it
from vi_toolkit import exact, zoo

ALL = {
    "correlated_gaussian": lambda: zoo.correlated_gaussian(4, condition_number=50.0),
    "student_t": lambda: zoo.student_t(3, degrees_of_freedom=12.0),
    "skewed": lambda: zoo.skewed(2, slant=[3.0, -1.0]),
    "banana": lambda: zoo.banana(curvature=0.7, sd=1.5),
    "funnel": lambda: zoo.funnel(3),
    "donut": lambda: zoo.donut(radius=3.0, sd=1.0),
    "two_modes": lambda: zoo.two_modes(separation=5.0, weights=(0.3, 0.7), dim=3),
    "ring_of_modes": lambda: zoo.ring_of_modes(5, radius=6.0, sd=0.8),
    "forty_modes": lambda: zoo.forty_modes(),
    "many_well": lambda: zoo.many_well(4),
}


def test_every_entry_is_tested():
    assert {name for name in vars(zoo) if callable(getattr(zoo, name))} == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_draws_have_the_stated_moments(name):
    posterior = ALL[name]()
    if name == "funnel":  # the fourth moment that the error of a variance needs is too heavy to estimate
        draws = np.array(posterior.sample(jax.random.key(7), 40_000))
        check_mean(draws, posterior.mean)
        assert stats.kstest(draws[:, 0] / 3, "norm").pvalue > 1e-4
        assert stats.kstest(draws[:, 2] * np.exp(-draws[:, 0] / 2), "norm").pvalue > 1e-4
        return
    check_draws(posterior)


@pytest.mark.parametrize("name", [name for name in ALL if name != "donut"])
def test_modes_are_maxima(name):
    posterior = ALL[name]()
    check_modes(posterior)
    np.testing.assert_allclose(posterior.mode_weights.sum(), 1.0)


@pytest.mark.parametrize("name", ALL)
def test_draws_have_the_stated_density(name):
    """E_p[g(z) / p(z)] = 1 for any density g with lighter tails: ties the draws, the density and log Z together."""
    posterior = ALL[name]()
    draws = posterior.sample(jax.random.key(9), 40_000)
    centre = draws[0] if posterior.modes is None or name == "funnel" else jnp.asarray(posterior.modes[0])
    narrow = stats.multivariate_normal(np.asarray(centre), 0.1 * np.eye(posterior.dim))
    log_ratio = narrow.logpdf(np.asarray(draws)) - np.asarray(jax.vmap(posterior.log_prob)(draws))
    check_mean(np.exp(log_ratio)[:, None], np.ones(1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: zoo.correlated_gaussian(2, condition_number=1e4),
        lambda: zoo.skewed(1, slant=-8.0),
        lambda: zoo.donut(radius=1.0, sd=1.0),
        lambda: zoo.two_modes(weights=(0.1, 0.9)),
        lambda: zoo.many_well(2),
    ],
)
def test_moments_and_evidence_by_quadrature(make):
    posterior = make()
    found = exact.grid(posterior.target)
    check_agreement(posterior, found, 1e-8)
    if posterior.modes is not None:
        np.testing.assert_allclose(np.sort(found.mode_weights), np.sort(posterior.mode_weights), atol=1e-3)


def test_correlated_gaussian_density():
    posterior = zoo.correlated_gaussian(6, condition_number=1e6)
    eigenvalues = np.linalg.eigvalsh(posterior.covariance)
    np.testing.assert_allclose([eigenvalues[-1] / eigenvalues[0], np.prod(eigenvalues)], [1e6, 1.0], rtol=1e-8)
    points = np.random.default_rng(0).normal(size=(5, 6))
    check_density(posterior, points, stats.multivariate_normal(np.zeros(6), posterior.covariance).logpdf(points), 1e-3)
    assert np.abs(posterior.covariance[0, 1:]).min() > 1e-3  # it is rotated
    other = zoo.correlated_gaussian(6, condition_number=1e6, seed=1)
    assert np.abs(other.covariance - posterior.covariance).max() > 1.0
    assert zoo.correlated_gaussian(1).covariance == 1.0


@pytest.mark.parametrize("nu", [1.0, 2.0, 7.5])
def test_student_t(nu):
    posterior = zoo.student_t(3, degrees_of_freedom=nu)
    points = np.random.default_rng(0).normal(size=(5, 3)) * 4
    check_density(posterior, points, stats.multivariate_t(np.zeros(3), np.eye(3), df=nu).logpdf(points))
    assert (posterior.mean is None) == (nu <= 1)
    assert (posterior.covariance is None) == (nu <= 2)
    draws = np.asarray(posterior.sample(jax.random.key(0), 20_000))
    assert stats.kstest(draws[:, 1], stats.t(nu).cdf).pvalue > 1e-4
    if nu > 2:
        np.testing.assert_allclose(posterior.sd, stats.t(nu).std())


@pytest.mark.parametrize("slant", [0.5, 5.0, -5.0])
def test_skewed(slant):
    posterior, known = zoo.skewed(1, slant=slant), stats.skewnorm(slant)
    points = np.linspace(-2, 2, 9)[:, None]
    check_density(posterior, points, known.logpdf(points[:, 0]), 1e-7)
    np.testing.assert_allclose([posterior.mean[0], posterior.sd[0]], [known.mean(), known.std()])
    assert stats.kstest(np.asarray(posterior.sample(jax.random.key(0), 20_000))[:, 0], known.cdf).pvalue > 1e-4


def test_one_slant_is_shared_out():
    np.testing.assert_allclose(zoo.skewed(4, slant=3.0).mean, zoo.skewed(4, slant=[1.5] * 4).mean)


def test_banana_density():
    points = np.random.default_rng(0).normal(size=(5, 2)) * 2
    first = stats.norm(0, 1.5).logpdf(points[:, 0])
    second = stats.norm(0.7 * (points[:, 0] ** 2 - 2.25), 1).logpdf(points[:, 1])
    check_density(zoo.banana(curvature=0.7, sd=1.5), points, first + second)


def test_funnel_density():
    points = np.random.default_rng(0).normal(size=(5, 4)) * 2
    neck = stats.norm(0, 3).logpdf(points[:, 0])
    rest = stats.norm(0, np.exp(points[:, :1] / 2)).logpdf(points[:, 1:]).sum(axis=1)
    check_density(zoo.funnel(4), points, neck + rest)


@pytest.mark.parametrize(("radius", "sd"), [(5.0, 0.5), (0.5, 1.0)])
def test_donut(radius, sd):
    posterior = zoo.donut(radius=radius, sd=sd)

    def ring(r, power):
        return 2 * np.pi * r**power * np.exp(-0.5 * ((r - radius) / sd) ** 2)

    end = radius + 12 * sd
    normaliser, third = (integrate.quad(ring, 0, end, args=(k,), points=[radius], epsrel=1e-12)[0] for k in (1, 3))
    points = np.array([[radius, 0.0], [0.0, -0.3], [1.0, 1.0]])
    expected = -0.5 * ((np.linalg.norm(points, axis=1) - radius) / sd) ** 2 - np.log(normaliser)
    check_density(posterior, points, expected)
    np.testing.assert_allclose(posterior.sd**2, 0.5 * third / normaliser, rtol=1e-9)
    assert posterior.modes is None
    draws = np.linalg.norm(posterior.sample(jax.random.key(0), 20_000), axis=1)
    cdf = np.vectorize(lambda r: integrate.quad(ring, 0, r, args=(1,))[0] / normaliser)
    assert stats.kstest(draws[:2000], cdf).pvalue > 1e-4


def test_donut_has_a_gradient_at_its_centre():
    target = zoo.donut().target
    np.testing.assert_array_equal(jax.grad(target.log_density)(jnp.zeros(2)), 0.0)
    np.testing.assert_allclose(jax.grad(target.log_density)(jnp.array([4.0, 0.0])), [1 / 0.25, 0.0])


def test_two_modes_moments():
    posterior = zoo.two_modes(separation=6.0, weights=(1, 3), dim=2)
    np.testing.assert_allclose(posterior.mean, [1.5, 0.0])
    np.testing.assert_allclose(posterior.covariance, [[1 + 36 * 3 / 16, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(posterior.mode_weights, [0.25, 0.75])


def test_ring_moments():
    posterior = zoo.ring_of_modes(7, radius=9.0, sd=0.5)
    np.testing.assert_allclose(posterior.mean, 0.0, atol=1e-12)
    np.testing.assert_allclose(posterior.covariance, (0.25 + 40.5) * np.eye(2), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(posterior.modes, axis=1), 9.0, rtol=1e-3)


def test_forty_modes_are_those_of_the_literature():
    """The first means as published implementations of the benchmark list them, and the standard deviation."""
    published = [[-0.2995, 21.4577], [-32.9218, -29.4376], [-15.4062, 10.7263], [-0.7925, 31.7156], [-3.5498, 10.5845]]
    means = zoo.forty_modes().sampler.args[1]
    np.testing.assert_allclose(means[:5], published, atol=5e-5)
    np.testing.assert_allclose(means[20], [2.1037, -20.5073], atol=5e-5)
    alone = means[1]  # no other mean is near
    distance = np.sort(np.linalg.norm(means - alone, axis=1))[1]
    sd = 1.3133
    log_peak = np.log(1 / 40) - np.log(2 * np.pi * sd**2)
    assert distance > 4.5 * sd
    np.testing.assert_allclose(zoo.forty_modes().log_prob(jnp.asarray(alone)), log_peak, atol=1e-3)


def test_many_well():
    one = integrate.quad(
        lambda x: np.exp(0.5 * x + 6 * x**2 - x**4), -5, 5, epsrel=1e-12, epsabs=0.0, points=[-1.7, 1.7]
    )[0]
    np.testing.assert_allclose(one, 11784.50927, rtol=1e-9)  # as published implementations state it
    posterior = zoo.many_well(32)
    np.testing.assert_allclose(posterior.log_evidence, 16 * (np.log(one) + 0.5 * np.log(2 * np.pi)), rtol=1e-11)
    assert (posterior.modes, posterior.mode_weights) == (None, None)
    points = np.random.default_rng(0).normal(size=(4, 32))
    x, y = points[:, ::2], points[:, 1::2]
    expected = (0.5 * x + 6 * x**2 - x**4 - 0.5 * y**2).sum(axis=1) - posterior.log_evidence
    check_density(posterior, points, expected)
    check_draws(posterior, 10_000)
    assert zoo.many_well(20).modes.shape == (1024, 20)


def test_a_well_is_drawn_from_its_density():
    draws = np.asarray(zoo.many_well(2).sample(jax.random.key(0), 20_000))[:, 0]
    x = np.linspace(-5, 5, 200_001)
    cdf = np.cumsum(np.exp(0.5 * x + 6 * x**2 - x**4))
    assert stats.kstest(draws, lambda z: np.interp(z, x, cdf / cdf[-1])).pvalue > 1e-4


@pytest.mark.any_precision
@pytest.mark.parametrize("name", ALL)
def test_either_precision(name):
    """Densities at draws are the same to rounding, and moments are double throughout."""
    posterior = ALL[name]()
    draws = posterior.sample(jax.random.key(0), 50)
    values = jax.vmap(posterior.log_prob)(draws)
    assert values.dtype == jnp.result_type(float)
    noise = np.asarray(values, np.float64) - np.asarray(jax.jit(jax.vmap(posterior.log_prob))(draws), np.float64)
    assert np.abs(noise).max() < (1e-10 if jax.config.jax_enable_x64 else 1e-3)
    assert posterior.covariance.dtype == np.float64


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: zoo.correlated_gaussian(0), ValueError, "dim: expected at least 1"),
        (lambda: zoo.correlated_gaussian(2, condition_number=0.5), ValueError, "condition_number: expected at least 1"),
        (lambda: zoo.student_t(2, degrees_of_freedom=0.0), ValueError, "degrees_of_freedom"),
        (lambda: zoo.skewed(2, slant=[1.0]), ValueError, r"slant: expected .* shape \(2,\)"),
        (lambda: zoo.skewed(2, slant=0.0), ValueError, "slant: expected a finite number other than 0"),
        (lambda: zoo.banana(curvature=-1.0), ValueError, "curvature"),
        (lambda: as_users_call_it(zoo.banana)(sd="wide"), TypeError, "sd: expected a positive number"),
        (lambda: zoo.funnel(1), ValueError, "dim: expected at least 2"),
        (lambda: zoo.donut(radius=0.0), ValueError, "radius"),
        (lambda: zoo.two_modes(weights=(1.0, 1.0, 1.0)), ValueError, "weights: expected two numbers"),
        (lambda: zoo.two_modes(separation=np.inf), ValueError, "separation"),
        (lambda: zoo.ring_of_modes(0), ValueError, "num_modes: expected at least 1"),
        (lambda: zoo.many_well(3), ValueError, "dim: expected an even number"),
        (lambda: as_users_call_it(zoo.many_well)(2.0), TypeError, "dim: expected a whole number"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
