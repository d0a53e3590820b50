"""Quadrature of harder densities in three dimensions, against closed forms, other rules and draws."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import integrate, stats

from tests.exact.checks import check_agreement, check_draws, check_mean, check_modes
from vi_toolkit import datasets, exact, from_log_density, from_numpyro, zoo
from vi_toolkit.exact import ExactPosterior
from vi_toolkit.exact.posterior import nearest_mode


def banana():
    """z_0 ~ N(0, 4); z_1 and z_2 given z_0 are N(q, 1) and N(-q, 1) with q = (z_0^2 - 4) / 2, of variance 8."""

    def log_density(z):
        q = 0.5 * (z[0] ** 2 - 4.0)
        return -0.5 * (z[0] ** 2 / 4.0 + (z[1] - q) ** 2 + (z[2] + q) ** 2) - jnp.log(2.0) - 1.5 * jnp.log(2 * jnp.pi)

    return ExactPosterior(
        name="banana",
        target=from_log_density(log_density, dim=3),
        how="closed form",
        sampler=lambda generator, number: np.zeros((number, 3)),
        log_evidence=0.0,
        mean=np.zeros(3),
        covariance=np.array([[4.0, 0.0, 0.0], [0.0, 9.0, -8.0], [0.0, -8.0, 9.0]]),
        modes=np.array([[0.0, -2.0, 2.0]]),
        mode_weights=np.ones(1),
    )


CASES = {
    "narrow and far": lambda: exact.gaussian_mixture([1.0], [[50.0, -20.0, 3.0]], [np.diag([1e-6, 1e2, 1e-2])]),
    "two shapes": lambda: exact.gaussian_mixture(
        [0.3, 0.7],
        [[-4.0, 0.0, 1.0], [4.0, 1.0, -2.0]],
        [np.eye(3), [[0.25, 0.0, 0.0], [0.0, 1.0, 1.8], [0.0, 1.8, 4.0]]],
    ),
    "two scales": lambda: exact.gaussian_mixture(
        [0.2, 0.8], [[-30.0, 0.0, 0.0], [40.0, 1.0, 5.0]], [np.eye(3), 0.01 * np.eye(3)]
    ),
    "banana": banana,
    "skewed": lambda: zoo.skewed(3),
}


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_closed_forms(case):
    known = CASES[case]()
    found = exact.grid(known.target)
    assert found.how == "quadrature, relative error below 1e-06"
    assert abs(found.log_evidence - known.log_evidence) <= found.log_evidence_error == 1e-6
    check_agreement(known, found, 1e-6)
    check_draws(found, 20_000)
    assert len(found.modes) == len(known.modes)
    same = np.argmax(nearest_mode(found.modes, known.modes), axis=1)
    np.testing.assert_allclose((found.modes[same] - known.modes) / known.sd, 0.0, atol=1e-6)
    np.testing.assert_allclose(found.mode_weights[same], known.mode_weights, atol=2e-3)


def test_a_smaller_tolerance_is_reached():
    known = zoo.correlated_gaussian(3, condition_number=100.0)
    found = exact.grid(known.target, relative_tolerance=1e-10)
    assert found.log_evidence_error == 1e-10
    check_agreement(known, found, 1e-10)


def test_draws_follow_the_distribution_in_every_direction():
    found = exact.grid(zoo.skewed(3, slant=[4.0, -2.0, 0.5]).target)
    draws = np.asarray(found.sample(jax.random.key(5), 50_000))
    slants = np.array([4.0, -2.0, 0.5])
    for axis, slant in enumerate(slants):
        marginal = stats.skewnorm(slant / np.sqrt(1.0 + np.sum(slants**2) - slant**2))
        assert stats.kstest(draws[:, axis], marginal.cdf).pvalue > 1e-4


def test_draws_follow_conditionals():
    """Given z_0, the banana's other two are independent normals: their residuals are too."""
    draws = np.asarray(exact.grid(banana().target).sample(jax.random.key(5), 50_000))
    q = 0.5 * (draws[:, 0] ** 2 - 4.0)
    residuals = np.stack([draws[:, 0] / 2.0, draws[:, 1] - q, draws[:, 2] + q], axis=1)
    for column in residuals.T:
        assert stats.kstest(column, stats.norm.cdf).pvalue > 1e-4
    check_mean(residuals[:, [0, 0, 1]] * residuals[:, [1, 2, 2]], np.zeros(3))


def test_a_model_of_three_unknowns():
    """Two groups of one spread: given the spread, the means are normal, which leaves one integral."""
    y = np.array([[1.0, 2.5, 2.0], [0.3, -0.4, 1.1]])

    def model(y):
        means = numpyro.sample("means", dist.Normal(0.0, 3.0).expand([2]).to_event(1))
        sd = numpyro.sample("sd", dist.HalfNormal(2.0))
        numpyro.sample("y", dist.Normal(means[:, None], sd), obs=y)

    def joint(sd):
        covariance = sd**2 * np.eye(3) + 9.0
        return np.prod(stats.multivariate_normal(np.zeros(3), covariance).pdf(y)) * stats.halfnorm.pdf(sd, scale=2.0)

    found = exact.grid(from_numpyro(model, y))
    evidence = integrate.quad(joint, 0.0, 20.0, epsrel=1e-11, limit=200)[0]
    assert abs(found.log_evidence - np.log(evidence)) <= found.log_evidence_error
    check_draws(found, 20_000)
    check_modes(found)


def test_three_probit_responses_have_a_closed_form():
    """Z is the probability that three normals of covariance I + s^2 X X' are positive: 1/8 + sum asin(rho) / (4 pi)."""
    rows, s = np.array([[1.0, -2.0, 0.5], [0.3, 0.8, 0.0], [1.0, 1.0, 1.0]]), 1.5
    found = exact.probit_regression(rows, np.ones(3), prior_sd=s)
    covariance = np.eye(3) + s**2 * rows @ rows.T
    correlation = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    angles = np.arcsin(correlation[np.triu_indices(3, 1)]).sum()
    assert abs(found.log_evidence - np.log(0.125 + angles / (4 * np.pi))) <= found.log_evidence_error == 1e-6


@pytest.mark.slow
def test_three_logistic_coefficients_by_nuts(key):
    warmth = (datasets.O_RINGS_FAHRENHEIT - 70.0) / 10.0
    rows = np.stack([np.ones(23), warmth, warmth**2], axis=1)
    found = exact.logistic_regression(rows, datasets.O_RINGS_FAILED, prior_sd=2.5)
    reference = exact.reference(key, found.target, num_warmup=500, num_draws=2500)
    assert np.all(np.abs(reference.mean - found.mean) < 5 * reference.mcse)
    assert np.all(np.abs(reference.sd - found.sd) < 5 * reference.sd_mcse)


def test_kinks():
    """Beyond the reach of polynomials, a coarse tolerance is kept."""
    found = exact.grid(from_log_density(lambda z: -jnp.sum(jnp.abs(z - 0.3)), dim=3), relative_tolerance=1e-3)
    assert abs(found.log_evidence - np.log(8.0)) <= found.log_evidence_error == 1e-3
    np.testing.assert_allclose(found.covariance, 2.0 * np.eye(3), atol=4e-3)


def test_moments_that_do_not_exist_are_none():
    found = exact.grid(zoo.student_t(3, degrees_of_freedom=1.0).target, relative_tolerance=1e-2)
    assert (found.mean, found.covariance) == (None, None)
    assert abs(found.log_evidence) <= found.log_evidence_error == 1e-2


@pytest.mark.slow
def test_jumps_are_refused():
    octahedron = from_log_density(lambda z: jnp.where(jnp.sum(jnp.abs(z)) < 1.0, 0.0, -jnp.inf), dim=3)
    with pytest.raises(ValueError, match=r"40000 cells are not enough.*a larger relative_tolerance may be reached"):
        exact.grid(octahedron, relative_tolerance=1e-4)


@pytest.mark.slow
def test_a_funnel():
    """Its neck is followed down as long as it holds mass that counts."""
    known = zoo.funnel(3)
    found = exact.grid(known.target)
    assert abs(found.log_evidence) <= found.log_evidence_error == 1e-6
    check_agreement(known, found, 5e-6)
    draws = np.asarray(found.sample(jax.random.key(5), 20_000))
    residuals = np.stack([draws[:, 0] / 3.0, *(draws[:, 1:] * np.exp(-0.5 * draws[:, :1])).T], axis=1)
    for column in residuals.T:
        assert stats.kstest(column, stats.norm.cdf).pvalue > 1e-4
