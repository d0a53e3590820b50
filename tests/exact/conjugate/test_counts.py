"""Beta-binomial and gamma-Poisson, against SciPy's distributions and quadrature."""

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit

from tests.exact.checks import check_agreement, check_density, check_draws, check_modes
from tests.typecheck import as_users_call_it
from vi_toolkit import exact
from vi_toolkit.targets.target import constrain_draws

K, N, A, B = np.array([3, 5, 0]), np.array([10, 7, 4]), 1.5, 0.8
COUNTS, SHAPE, RATE = np.array([2, 0, 5, 3]), 1.3, 0.7


def moments(density, low, high):
    """Integral, mean and variance of a density on the line, by quadrature."""
    total, first, second = (
        integrate.quad(lambda z, k=k: z**k * density(z), low, high, epsrel=1e-11, epsabs=0.0, limit=200)[0]
        for k in range(3)
    )
    return total, first / total, second / total - (first / total) ** 2


def test_beta_binomial_evidence_of_one_count():
    posterior = exact.beta_binomial(7, 10, a=A, b=B)
    np.testing.assert_allclose(posterior.log_evidence, stats.betabinom.logpmf(7, 10, A, B), rtol=1e-12)


def test_beta_binomial_by_quadrature():
    posterior = exact.beta_binomial(K, N, a=A, b=B)

    def joint(z):
        p = expit(z)
        return np.prod(stats.binom.pmf(K, N, p)) * stats.beta.pdf(p, A, B) * p * (1 - p)

    evidence, mean, variance = moments(joint, -15, 15)
    np.testing.assert_allclose(posterior.log_evidence, np.log(evidence), rtol=1e-9)
    np.testing.assert_allclose(posterior.mean, [mean], rtol=1e-8)
    np.testing.assert_allclose(posterior.covariance, [[variance]], rtol=1e-8)


def test_beta_binomial_is_a_beta():
    posterior = exact.beta_binomial(K, N, a=A, b=B)
    beta = stats.beta(A + K.sum(), B + (N - K).sum())
    z = np.linspace(-3, 2, 7)[:, None]
    p = expit(z[:, 0])
    check_density(posterior, z, beta.logpdf(p) + np.log(p * (1 - p)))
    np.testing.assert_allclose(posterior.constrained_moments["probability"], [beta.mean(), beta.std()])
    draws = check_draws(posterior)
    assert stats.kstest(expit(draws[:, 0]), beta.cdf).pvalue > 1e-4
    np.testing.assert_allclose(constrain_draws(posterior.target, draws)["probability"], expit(draws[:, 0]), rtol=1e-12)
    check_modes(posterior)


def test_beta_binomial_on_the_grid():
    posterior = exact.beta_binomial(K, N, a=A, b=B)
    check_agreement(posterior, exact.grid(posterior.target), 1e-8)


def test_tiny_shapes_are_drawn_far_from_zero():
    """A gamma of shape 0.002 is mostly below the smallest double; its logarithm is not."""
    posterior = exact.beta_binomial(0, 1, a=0.002, b=0.002)
    draws = check_draws(posterior)
    assert np.isfinite(draws).all()
    assert draws.min() < -745  # log of the smallest positive double


def test_one_number_of_trials_serves_all_groups():
    one, many = exact.beta_binomial([1, 2], 5, a=1.0, b=1.0), exact.beta_binomial([1, 2], [5, 5], a=1.0, b=1.0)
    assert one.log_evidence == many.log_evidence


def test_gamma_poisson_evidence_of_one_count():
    posterior = exact.gamma_poisson(4, shape=SHAPE, rate=RATE)
    np.testing.assert_allclose(posterior.log_evidence, stats.nbinom.logpmf(4, SHAPE, RATE / (1 + RATE)), rtol=1e-12)


def test_gamma_poisson_by_quadrature():
    posterior = exact.gamma_poisson(COUNTS, shape=SHAPE, rate=RATE)

    def joint(z):
        return (
            np.prod(stats.poisson.pmf(COUNTS, np.exp(z)))
            * stats.gamma.pdf(np.exp(z), SHAPE, scale=1 / RATE)
            * np.exp(z)
        )

    evidence, mean, variance = moments(joint, -8, 5)
    np.testing.assert_allclose(posterior.log_evidence, np.log(evidence), rtol=1e-9)
    np.testing.assert_allclose(posterior.mean, [mean], rtol=1e-8)
    np.testing.assert_allclose(posterior.covariance, [[variance]], rtol=1e-8)


def test_gamma_poisson_is_a_gamma():
    posterior = exact.gamma_poisson(COUNTS, shape=SHAPE, rate=RATE)
    gamma = stats.gamma(SHAPE + COUNTS.sum(), scale=1 / (RATE + len(COUNTS)))
    z = np.linspace(-1, 2, 7)[:, None]
    check_density(posterior, z, gamma.logpdf(np.exp(z[:, 0])) + z[:, 0])
    np.testing.assert_allclose(posterior.constrained_moments["intensity"], [gamma.mean(), gamma.std()])
    draws = check_draws(posterior)
    assert stats.kstest(np.exp(draws[:, 0]), gamma.cdf).pvalue > 1e-4
    check_modes(posterior)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: exact.beta_binomial(-1, 5, a=1.0, b=1.0), ValueError, "successes: expected whole numbers"),
        (lambda: exact.beta_binomial(1.5, 5, a=1.0, b=1.0), ValueError, "successes: expected whole numbers"),
        (lambda: exact.beta_binomial([1, 9], [5, 5], a=1.0, b=1.0), ValueError, "got 9 of 5 at index 1"),
        (lambda: exact.beta_binomial([1, 2, 3], [5, 5], a=1.0, b=1.0), ValueError, "trials: expected one number or 3"),
        (lambda: exact.beta_binomial(1, 5, a=0.0, b=1.0), ValueError, "a: expected a finite number above 0"),
        (lambda: exact.beta_binomial(1, 5, a=1.0, b=np.nan), ValueError, "b: expected a finite number above 0"),
        (lambda: exact.beta_binomial("x", 5, a=1.0, b=1.0), TypeError, "successes: expected numbers"),
        (lambda: exact.gamma_poisson([], shape=1.0, rate=1.0), ValueError, "counts: it is empty"),
        (lambda: exact.gamma_poisson([1.0, np.nan], shape=1.0, rate=1.0), ValueError, "counts: 1 of 2 entries are NaN"),
        (lambda: exact.gamma_poisson([[1], [2]], shape=1.0, rate=1.0), ValueError, "counts: expected 1 axis"),
        (lambda: exact.gamma_poisson([1, -2], shape=1.0, rate=1.0), ValueError, "got -2.0 at index 1"),
        (lambda: exact.gamma_poisson([1], shape=-1.0, rate=1.0), ValueError, "shape: expected a finite number"),
        (
            lambda: as_users_call_it(exact.gamma_poisson)([1], shape=1.0, rate=True),
            TypeError,
            "rate: expected a positive number",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
