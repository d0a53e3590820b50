"""Marginals and predictive distributions of the counts and regressions, against SciPy and ratios of evidences."""

import jax
import numpy as np
import pytest
from scipy import stats

from tests.exact.checks import check_constrained_density
from tests.exact.conjugate.conjugate_checks import check_marginal_draws, check_pickle, check_predictive
from vi_toolkit import exact

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 3)) * [1.0, 5.0, 0.3] + 1.0
Y = X @ np.array([1.0, -2.0, 0.5]) + RNG.normal(size=7)
BETALN = 1e-6  # JAX's log beta function, in NumPyro's BetaBinomial, has this accuracy in double
ROWS = np.array([[1.0, 2.0, 0.5], [-1.0, 3.0, 1.0]])


def beta_binomial(more=()):
    return exact.beta_binomial([3, 5, *[s for s, _ in more]], [10, 7, *[t for _, t in more]], a=1.5, b=0.8)


def gamma_poisson(more=()):
    return exact.gamma_poisson([2, 0, 5, *more], shape=1.3, rate=0.7)


def known_noise(rows=(), y=()):
    return exact.linear_regression(np.vstack([X, *rows]), [*Y, *y], noise_sd=0.7, prior_sd=1.5)


def unknown_noise(rows=(), y=()):
    return exact.linear_regression_unknown_noise(np.vstack([X, *rows]), [*Y, *y], prior_sd=1.5, shape=2.0, rate=3.0)


def test_beta_binomial():
    found = beta_binomial()
    expected = stats.beta(9.5, 9.8)
    np.testing.assert_allclose(found.marginals["probability"].log_prob(0.3), expected.logpdf(0.3), rtol=1e-12)
    check_marginal_draws(found, "probability", (), expected.cdf)
    for successes in range(7):
        check_predictive(found.predictive(6), found, beta_binomial([(successes, 6)]), successes, BETALN)
    np.testing.assert_allclose(np.exp(found.predictive().log_prob(1)), 9.5 / 19.3, rtol=BETALN)
    assert check_pickle(found).predictive(6).log_prob(2) == found.predictive(6).log_prob(2)


def test_gamma_poisson():
    found = gamma_poisson()
    expected = stats.gamma(8.3, scale=1 / 3.7)
    np.testing.assert_allclose(found.marginals["intensity"].log_prob(2.0), expected.logpdf(2.0), rtol=1e-12)
    check_marginal_draws(found, "intensity", (), expected.cdf)
    for count in (0, 1, 9):
        check_predictive(found.predictive(), found, gamma_poisson([count]), count)
    counts = np.arange(6)
    np.testing.assert_allclose(
        found.predictive().log_prob(counts), stats.nbinom.logpmf(counts, 8.3, 3.7 / 4.7), rtol=1e-11
    )
    assert check_pickle(found).predictive().log_prob(2) == found.predictive().log_prob(2)


def test_known_noise():
    found = known_noise()
    beta = found.mean + 0.1
    expected = stats.multivariate_normal(found.mean, found.covariance)
    np.testing.assert_allclose(found.marginals["beta"].log_prob(beta), expected.logpdf(beta), rtol=1e-9)
    check_marginal_draws(found, "beta", (2,), stats.norm(found.mean[2], found.sd[2]).cdf)
    predictive = found.predictive(ROWS)
    np.testing.assert_allclose(predictive.loc, ROWS @ found.mean, rtol=1e-12)
    for i, y in ((0, 1.0), (1, -4.0)):
        check_predictive(found.predictive(ROWS[[i]]), found, known_noise([ROWS[i]], [y]), [y])
    np.testing.assert_array_equal(check_pickle(found).predictive(ROWS).log_prob(0.5), predictive.log_prob(0.5))


def test_unknown_noise():
    found = unknown_noise()
    a = 2.0 + 3.5
    rate = found.constrained_moments["variance"][0] * (a - 1)
    variance = stats.invgamma(a, scale=rate)
    scale = found.covariance[1:, 1:] * (a - 1) / a
    beta = found.mean[1:] + 0.1
    expected = stats.multivariate_t(found.mean[1:], scale, df=2 * a)
    np.testing.assert_allclose(found.marginals["beta"].log_prob(beta), expected.logpdf(beta), rtol=1e-9)
    np.testing.assert_allclose(found.marginals["variance"].log_prob(2.0), variance.logpdf(2.0), rtol=1e-11)
    check_marginal_draws(found, "variance", (), variance.cdf)
    check_marginal_draws(found, "beta", (0,), stats.t(2 * a, found.mean[1], np.sqrt(scale[0, 0])).cdf)
    for i, y in ((0, 1.0), (1, -4.0)):
        check_predictive(found.predictive(ROWS[[i]]), found, unknown_noise([ROWS[i]], [y]), [y])
    predictive = found.predictive(ROWS)
    np.testing.assert_array_equal(check_pickle(found).predictive(ROWS).log_prob(0.5), predictive.log_prob(0.5))


@pytest.mark.parametrize("make", [beta_binomial, gamma_poisson, known_noise, unknown_noise])
def test_both_spaces(make):
    check_constrained_density(make(), 2)


@pytest.mark.parametrize("make", [known_noise, unknown_noise])
def test_bad_new_rows(make):
    with pytest.raises(ValueError, match="X: expected rows of 3 entries, as many as the design had columns, got 2"):
        make().predictive(np.ones((1, 2)))
    with pytest.raises(ValueError, match="X: 1 of 3 entries are NaN"):
        make().predictive([[1.0, np.nan, 0.0]])


@pytest.mark.usefixtures("without_type_checks")
def test_bad_trials():
    with pytest.raises(ValueError, match="trials: expected at least 1, got 0"):
        beta_binomial().predictive(0)


@pytest.mark.any_precision
def test_either_precision():
    """The distributions are in JAX's precision, of numbers that were computed in double."""
    rtol = 1e-9 if jax.config.jax_enable_x64 else 1e-4
    found = unknown_noise()
    after = unknown_noise([ROWS[0]], [1.0]).log_evidence
    np.testing.assert_allclose(found.predictive(ROWS[:1]).log_prob(1.0), [after - found.log_evidence], rtol=rtol)
    after = beta_binomial([(2, 6)]).log_evidence
    found = beta_binomial()
    np.testing.assert_allclose(found.predictive(6).log_prob(2), after - found.log_evidence, rtol=max(rtol, BETALN))
    found = gamma_poisson()
    np.testing.assert_allclose(
        found.predictive().log_prob(3), gamma_poisson([3]).log_evidence - found.log_evidence, rtol=rtol
    )
    found = exact.dirichlet_multinomial([1, 2, 3], concentration=[1.0, 0.5, 2.0])
    after = exact.dirichlet_multinomial([[1, 2, 3], [0, 1, 1]], concentration=[1.0, 0.5, 2.0]).log_evidence
    np.testing.assert_allclose(found.predictive(2).log_prob(np.array([0, 1, 1])), after - found.log_evidence, rtol=rtol)
    found = exact.gamma_exponential([1.0, 2.0], shape=1.0, rate=1.0)
    after = exact.gamma_exponential([1.0, 2.0, 0.5], shape=1.0, rate=1.0).log_evidence
    np.testing.assert_allclose(found.predictive().log_prob(0.5), after - found.log_evidence, rtol=rtol)
