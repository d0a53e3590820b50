"""Dirichlet-multinomial, against SciPy's distributions, quadrature and draws."""

import jax
import numpy as np
import pytest
from numpyro.distributions.transforms import StickBreakingTransform
from scipy import integrate, stats

from tests.exact.checks import (
    check_agreement,
    check_constrained_density,
    check_density,
    check_draws,
    check_mean,
    check_modes,
)
from tests.exact.conjugate.conjugate_checks import check_marginal_draws, check_pickle, check_predictive
from tests.typecheck import as_users_call_it
from vi_toolkit import exact
from vi_toolkit.targets.target import constrain_draws

COUNTS = np.array([[3, 0, 5, 1], [2, 1, 0, 0], [0, 0, 0, 0]])
CONCENTRATION = np.array([0.5, 1.5, 1.0, 0.8])
AFTER = CONCENTRATION + COUNTS.sum(axis=0)


def posterior():
    return exact.dirichlet_multinomial(COUNTS, concentration=CONCENTRATION)


def test_evidence_of_one_row():
    found = exact.dirichlet_multinomial(COUNTS[0], concentration=CONCENTRATION).log_evidence
    np.testing.assert_allclose(found, stats.dirichlet_multinomial.logpmf(COUNTS[0], CONCENTRATION, 9), rtol=1e-12)


def test_evidence_row_by_row():
    """The second row is predicted by the first."""
    first = stats.dirichlet_multinomial.logpmf(COUNTS[0], CONCENTRATION, 9)
    second = stats.dirichlet_multinomial.logpmf(COUNTS[1], CONCENTRATION + COUNTS[0], 3)
    np.testing.assert_allclose(posterior().log_evidence, first + second, rtol=1e-12)


def test_two_categories_are_beta_binomial():
    two = exact.dirichlet_multinomial([[3, 7], [1, 4]], concentration=[1.5, 0.8])
    beta = exact.beta_binomial([3, 1], [10, 5], a=1.5, b=0.8)
    check_agreement(beta, two, 1e-12)
    np.testing.assert_allclose(two.modes, beta.modes, rtol=1e-12)


def test_three_categories_by_quadrature():
    counts, c = np.array([2, 4, 1]), np.array([0.7, 1.2, 2.0])
    three = exact.dirichlet_multinomial(counts, concentration=c)
    transform = StickBreakingTransform()

    def joint(z):
        p = np.asarray(transform(z))
        volume = np.exp(transform.log_abs_det_jacobian(z, p))
        return stats.multinomial.pmf(counts, 7, p) * stats.dirichlet.pdf(p[:, :-1].T, c) * volume

    nodes, weights = np.polynomial.legendre.leggauss(120)
    sides = [(mean + 14 * sd * nodes, 14 * sd * weights) for mean, sd in zip(three.mean, three.sd, strict=True)]
    grid = np.stack(np.meshgrid(sides[0][0], sides[1][0], indexing="ij"), axis=-1).reshape(-1, 2)
    mass = np.outer(sides[0][1], sides[1][1]).ravel() * joint(grid)
    np.testing.assert_allclose(np.log(mass.sum()), three.log_evidence, rtol=1e-8)
    mean = mass @ grid / mass.sum()
    np.testing.assert_allclose(mean, three.mean, rtol=1e-7)
    covariance = (mass[:, None] * (grid - mean)).T @ (grid - mean) / mass.sum()
    np.testing.assert_allclose(covariance, three.covariance, rtol=1e-7, atol=1e-8)


def test_density_draws_and_modes():
    found = posterior()
    transform = StickBreakingTransform()
    points = np.asarray(found.sample(jax.random.key(1), 6))
    p = np.asarray(transform(points))
    expected = stats.dirichlet(AFTER).logpdf(p[:, :-1].T) + np.asarray(transform.log_abs_det_jacobian(points, p))
    check_density(found, points, expected)
    check_constrained_density(found, 2)
    check_modes(found)
    draws = check_draws(found)
    check_mean(np.asarray(transform(draws)), stats.dirichlet(AFTER).mean())


def test_marginals_and_moments():
    found = posterior()
    mean, sd = found.constrained_moments["probabilities"]
    np.testing.assert_allclose(mean, stats.dirichlet(AFTER).mean(), rtol=1e-13)
    np.testing.assert_allclose(sd**2, stats.dirichlet(AFTER).var(), rtol=1e-13)
    marginal = found.marginals["probabilities"]
    p = np.array([0.4, 0.2, 0.3, 0.1])
    np.testing.assert_allclose(marginal.log_prob(p), stats.dirichlet(AFTER).logpdf(p), rtol=1e-12)
    for k in range(4):
        check_marginal_draws(found, "probabilities", (k,), stats.beta(AFTER[k], AFTER.sum() - AFTER[k]).cdf)


def test_predictive():
    found = posterior()
    new = [1, 0, 2, 3]
    after = exact.dirichlet_multinomial(np.vstack([COUNTS, new]), concentration=CONCENTRATION)
    check_predictive(found.predictive(6), found, after, new)
    np.testing.assert_allclose(np.exp(found.predictive().log_prob(np.eye(4))), AFTER / AFTER.sum(), rtol=1e-12)
    again = check_pickle(found)
    assert again.predictive(6).log_prob(np.array(new)) == found.predictive(6).log_prob(np.array(new))


def test_tiny_concentrations_are_drawn_far_from_zero():
    found = exact.dirichlet_multinomial([0, 1, 0], concentration=[0.002, 0.002, 0.002])
    draws = check_draws(found)
    assert np.isfinite(draws).all()
    assert draws.min() < -745  # log of the smallest positive double
    total = np.sum(constrain_draws(found.target, draws)["probabilities"], axis=1)
    np.testing.assert_allclose(total, 1.0, rtol=1e-12)


def test_first_probability_by_quadrature():
    """In the model's own space: the density of the first of three probabilities integrates the second one out."""
    three = exact.dirichlet_multinomial([2, 4, 1], concentration=[0.7, 1.2, 2.0])

    def density(second):
        return np.exp(three.log_prob_constrained({"probabilities": np.array([0.3, second, 0.7 - second])}))

    total, _ = integrate.quad(density, 0.0, 0.7, epsrel=1e-9)
    np.testing.assert_allclose(total, stats.beta(2.7, 8.2).pdf(0.3), rtol=1e-8)


@pytest.mark.parametrize(
    ("counts", "concentration", "error", "message"),
    [
        ([], [1.0, 1.0], ValueError, "counts: it is empty"),
        ([3], [1.0], ValueError, "counts: expected at least 2 categories"),
        ([1, -2], [1.0, 1.0], ValueError, "counts: expected whole numbers of at least 0, got -2.0 at index 1"),
        ([1, 0.5], [1.0, 1.0], ValueError, "counts: expected whole numbers of at least 0, got 0.5 at index 1"),
        ([[1, 2], [3, -1]], [1.0, 1.0], ValueError, r"counts\[1\]: expected whole numbers .* got -1.0 at index 1"),
        ([1, np.nan], [1.0, 1.0], ValueError, "counts: 1 of 2 entries are NaN"),
        (np.ones((2, 2, 2)), [1.0, 1.0], ValueError, r"counts: expected shape \(K,\) or \(n, K\)"),
        (["a", "b"], [1.0, 1.0], TypeError, "counts: expected numbers"),
        ([1, 2], [1.0, 1.0, 1.0], ValueError, "concentration: expected 2 numbers, one for each category"),
        ([1, 2], [1.0, 0.0], ValueError, "concentration: expected numbers above 0, got 0.0 at index 1"),
        ([1, 2], 1.0, ValueError, "concentration: expected 1 axis"),
    ],
)
def test_bad_input(counts, concentration, error, message):
    with pytest.raises(error, match=message):
        as_users_call_it(exact.dirichlet_multinomial)(counts, concentration=concentration)


@pytest.mark.usefixtures("without_type_checks")
def test_bad_total():
    with pytest.raises(ValueError, match="total: expected at least 1, got 0"):
        posterior().predictive(0)
    with pytest.raises(TypeError, match="total: expected a whole number"):
        posterior().predictive(2.5)
