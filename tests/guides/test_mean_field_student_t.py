"""Independent Student-t distributions, and the multivariate one with a scale matrix of some structure."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import vi_toolkit as vi
from tests.registry import log_prob, moments, random_params

DIAGONAL = vi.StudentT(covariance=vi.MeanFieldNormal())


@pytest.mark.parametrize("degrees", [None, 9.0])
def test_it_is_a_product_of_student_t(degrees):
    guide = vi.MeanFieldStudentT(degrees)
    params = random_params(guide, 3)
    nu = np.exp(params["log_degrees_of_freedom"]) if degrees is None else degrees
    expected = stats.t(nu, params["location"], np.exp(params["log_scale"]))
    points = 3 * np.random.default_rng(1).normal(size=(5, 3))
    np.testing.assert_allclose(log_prob(guide, params, points), expected.logpdf(points).sum(1), rtol=1e-10)
    np.testing.assert_allclose(guide.distribution(params).entropy(), expected.entropy().sum(), rtol=1e-7)
    np.testing.assert_allclose(moments(guide, params)[1], expected.var(), rtol=1e-10)


def test_independent_ones_are_another_family_than_the_multivariate_one():
    at = {"location": jnp.zeros(2), "log_scale": jnp.zeros(2)}
    independent, together = vi.MeanFieldStudentT(3.0), vi.StudentT(3.0, vi.MeanFieldNormal())
    one, two = np.array([[20.0, 0.0]]), np.array([[20.0, 20.0]])
    ratio = log_prob(independent, at, two) - log_prob(independent, at, one)
    np.testing.assert_allclose(ratio, stats.t(3).logpdf(20.0) - stats.t(3).logpdf(0.0), rtol=1e-10)
    assert log_prob(together, at, two) - log_prob(together, at, one) > -2.0 > ratio
    draws = np.asarray(together.draw(jax.random.key(0), at, 20_000, vi.estimators.independent).points) ** 2
    assert stats.spearmanr(draws[:, 0], draws[:, 1]).statistic > 0.1  # uncorrelated, and not independent
    draws = np.asarray(independent.draw(jax.random.key(0), at, 20_000, vi.estimators.independent).points) ** 2
    assert abs(stats.spearmanr(draws[:, 0], draws[:, 1]).statistic) < 5 / np.sqrt(20_000)


@pytest.mark.parametrize("normal", [vi.MeanFieldNormal(), vi.BlockNormal(((0, 2), (1,)))], ids=["diagonal", "blocks"])
@pytest.mark.parametrize("degrees", [None, 9.0])
def test_a_structured_scale_matrix_is_that_of_the_multivariate_t(normal, degrees):
    guide = vi.StudentT(degrees, normal)
    params = random_params(guide, 3)
    nu = float(np.exp(params["log_degrees_of_freedom"])) if degrees is None else degrees
    scale = np.asarray(
        normal.distribution(params).covariance_matrix if "lower" in params else np.diag(np.exp(2 * params["log_scale"]))
    )
    expected = stats.multivariate_t(params["location"], scale, df=nu)
    points = 3 * np.random.default_rng(1).normal(size=(5, 3))
    np.testing.assert_allclose(log_prob(guide, params, points), expected.logpdf(points), rtol=1e-10)
    np.testing.assert_allclose(moments(guide, params)[1], np.diag(scale) * nu / (nu - 2), rtol=1e-10)
    draws = np.asarray(guide.distribution(params).sample(jax.random.key(0), (20_000,)))
    standard = (draws - np.asarray(params["location"])) / np.sqrt(np.diag(scale))
    for coordinate in standard.T:  # each marginal is a t with these degrees of freedom
        assert stats.kstest(coordinate, stats.t(nu).cdf).pvalue > 1e-4


def test_moments_that_do_not_exist_are_not_made_up():
    at = {"location": jnp.zeros(2), "log_scale": jnp.zeros(2)}
    assert np.all(np.isinf(vi.StudentT(1.5, vi.MeanFieldNormal()).distribution(at).variance))
    q = vi.StudentT(0.5, vi.MeanFieldNormal()).distribution(at)
    assert np.all(np.isinf(q.mean))
    assert np.all(np.isnan(q.variance))


def test_tails_of_their_own_are_found():
    location, scale, nu = jnp.array([20.0, -1.0]), jnp.array([0.1, 3.0]), jnp.array([3.0, 8.0])
    truth = dist.StudentT(nu, location, scale).to_event(1)
    target = vi.from_log_density(truth.log_prob, dim=2)
    fit = vi.fit(jax.random.key(0), target, vi.gradient(vi.MeanFieldStudentT(), vi.ReverseKL()))
    assert fit.status is vi.Status.CONVERGED
    np.testing.assert_allclose(np.exp(fit.params["log_degrees_of_freedom"]), nu, rtol=0.1)
    np.testing.assert_allclose((fit.params["location"] - location) / scale, 0.0, atol=0.03)
    np.testing.assert_allclose(np.exp(fit.params["log_scale"]), scale, rtol=0.03)
    assert abs(fit.history["elbo"][-100:].mean()) < 0.002  # the target is normalised: log Z = 0


@pytest.mark.parametrize("kind", [vi.MeanFieldStudentT, vi.StudentT])
def test_degrees_of_freedom_are_checked(without_type_checks, kind):
    with pytest.raises(ValueError, match="degrees_of_freedom: expected a finite number above 0"):
        kind(-1.0)
    with pytest.raises(TypeError, match="degrees_of_freedom: expected a positive number"):
        kind("3")


def test_the_normal_to_borrow_from_is_checked(without_type_checks):
    with pytest.raises(TypeError, match="covariance: expected a FullRankNormal or"):
        vi.StudentT(covariance=vi.StudentT())
    with pytest.raises(ValueError, match="blocks: they hold 3 coordinates"):
        vi.StudentT(covariance=vi.BlockNormal((2, 1))).check(2)
