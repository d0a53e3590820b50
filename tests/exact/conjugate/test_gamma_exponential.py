"""Gamma-exponential, against SciPy's distributions and quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from tests.exact.checks import check_constrained_density, check_density, check_draws, check_mean, check_modes
from tests.exact.conjugate.conjugate_checks import check_marginal_draws, check_pickle, check_predictive
from tests.typecheck import as_users_call_it
from vi_toolkit import exact
from vi_toolkit.exact.conjugate._lomax import Lomax

T, SHAPE, RATE = np.array([0.7, 2.5, 0.2, 1.1]), 1.3, 0.7
AFTER = stats.gamma(SHAPE + 4, scale=1 / (RATE + 4.5))


def posterior(t=T):
    return exact.gamma_exponential(t, shape=SHAPE, rate=RATE)


def test_evidence_of_one_duration_is_lomax():
    np.testing.assert_allclose(posterior([2.0]).log_evidence, stats.lomax.logpdf(2.0, SHAPE, scale=RATE), rtol=1e-12)


def test_by_quadrature():
    def joint(z, power=0):
        rate = np.exp(z)
        return (
            z**power * np.prod(stats.expon.pdf(T, scale=1 / rate)) * stats.gamma.pdf(rate, SHAPE, scale=1 / RATE) * rate
        )

    evidence, first, second = (
        integrate.quad(joint, -12, 4, args=(k,), epsrel=1e-11, epsabs=0.0, limit=200)[0] for k in range(3)
    )
    found = posterior()
    np.testing.assert_allclose(found.log_evidence, np.log(evidence), rtol=1e-9)
    np.testing.assert_allclose(found.mean, [first / evidence], rtol=1e-8)
    np.testing.assert_allclose(found.covariance, [[second / evidence - (first / evidence) ** 2]], rtol=1e-8)


def test_it_is_a_gamma():
    found = posterior()
    z = np.linspace(-1.5, 1.5, 7)[:, None]
    check_density(found, z, AFTER.logpdf(np.exp(z[:, 0])) + z[:, 0])
    check_constrained_density(found, 2)
    check_modes(found)
    check_draws(found)
    np.testing.assert_allclose(found.constrained_moments["intensity"], [AFTER.mean(), AFTER.std()])
    np.testing.assert_allclose(found.marginals["intensity"].log_prob(0.8), AFTER.logpdf(0.8), rtol=1e-12)
    check_marginal_draws(found, "intensity", (), AFTER.cdf)


def test_predictive():
    found = posterior()
    check_predictive(found.predictive(), found, posterior(np.append(T, 3.0)), 3.0)
    again = check_pickle(found)
    assert again.predictive().log_prob(3.0) == found.predictive().log_prob(3.0)


def test_lomax_is_scipys():
    lomax, expected = Lomax(3.5, 2.0), stats.lomax(3.5, scale=2.0)
    x = np.array([0.0, 1e-9, 0.3, 7.0, 1e6])
    np.testing.assert_allclose(lomax.log_prob(x[1:]), expected.logpdf(x[1:]), rtol=1e-7)
    np.testing.assert_allclose(lomax.cdf(x), expected.cdf(x), rtol=1e-6)
    np.testing.assert_allclose(lomax.icdf(jnp.array([0.1, 0.9])), expected.ppf([0.1, 0.9]), rtol=1e-12)
    np.testing.assert_allclose([lomax.mean, lomax.variance], [expected.mean(), expected.var()], rtol=1e-12)
    assert Lomax(1.0, 2.0).mean == np.inf
    assert Lomax(2.0, 2.0).variance == np.inf
    draws = np.asarray(lomax.sample(jax.random.key(2), (20_000,)))
    check_mean(np.log1p(draws / 2.0)[:, None], np.array([1 / 3.5]))
    assert stats.kstest(draws, expected.cdf).pvalue > 1e-4
    np.testing.assert_allclose(jax.jit(lambda d, x: d.log_prob(x) + d.mean)(lomax, 0.3), expected.logpdf(0.3) + 0.8)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"durations": []}, ValueError, "durations: it is empty"),
        ({"durations": [1.0, 0.0]}, ValueError, "durations: expected numbers above 0, got 0.0 at index 1"),
        ({"durations": [np.inf]}, ValueError, "durations: 1 of 1 entries are NaN or infinite"),
        ({"durations": "long"}, TypeError, "durations: expected numbers"),
        ({"durations": 3.0}, ValueError, "durations: expected 1 axis"),
        ({"shape": 0.0}, ValueError, "shape: expected a finite number above 0"),
        ({"rate": -1.0}, ValueError, "rate: expected a finite number above 0"),
    ],
)
def test_bad_input(change, error, message):
    arguments = {"durations": [1.0, 2.0], "shape": 1.0, "rate": 1.0} | change
    with pytest.raises(error, match=message):
        as_users_call_it(exact.gamma_exponential)(arguments.pop("durations"), **arguments)
