"""Means and spreads of a model's own sites have a say in the verdict, beside those of the coordinates."""

import dataclasses

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from vi_toolkit.diagnostics._against import hold_against
from vi_toolkit.diagnostics.scores._scores import draw_and_score
from vi_toolkit.targets.values import own_values

SHAPE, RATE = 3.5, 2.0  # of the posterior of a rate, given one count of 3


@pytest.fixture(scope="module")
def exact():
    return vi.exact.gamma_poisson([3], shape=0.5, rate=1.0)


def test_errors_of_a_site_against_a_reference(key, exact):
    """q is normal in the log: its rate has the mean exp(m + s^2 / 2), and the variance of a lognormal."""
    fit = vi.fit(jax.random.key(0), exact.target)
    scores = draw_and_score(key, fit, 100_000)
    own = own_values(fit.target)
    found = hold_against(key, fit, scores, np.zeros(100_000), exact, 100_000, own).measured
    m, variance = float(fit.posterior.mean[0]), float(fit.posterior.variance[0])
    mean, sd = np.exp(m + variance / 2), np.exp(m + variance / 2) * np.sqrt(np.expm1(variance))
    exact_mean, exact_sd = SHAPE / RATE, np.sqrt(SHAPE) / RATE
    for measured, wanted in ((found.means, (mean - exact_mean) / exact_sd), (found.spreads, np.log(sd / exact_sd))):
        assert measured.values.shape == (2,)
        assert measured.values[1] == pytest.approx(wanted, abs=4 * measured.ses[1])
        assert measured.ses[1] < 0.02
    assert abs(found.spreads.values[1]) > 0.05  # so that there is something to see


def test_errors_allow_for_the_correlation_of_a_references_draws(key, exact):
    """Each draw 20 times in a row: the errors are those of a 20th as many."""
    draws = np.asarray(exact.sample(key, 5000))
    fit = vi.fit(jax.random.key(0), exact.target, vi.laplace())
    scores, own, at_q = draw_and_score(key, fit, 200_000), own_values(fit.target), np.zeros(200_000)
    chained = dataclasses.replace(exact, draws=np.repeat(draws, 20, axis=0))
    of_means = hold_against(key, fit, scores, at_q, chained, 100, own).measured.means
    assert of_means.ses[1] == pytest.approx(1 / np.sqrt(5000), rel=0.3)  # of 50 batches, and of q's own draws
    assert of_means.ses[1] > 2 / np.sqrt(100_000)


def test_a_site_that_is_off_where_no_coordinate_is():
    """A gamma of shape 0.6: two normals come close to its log, but not to the standard deviation of itself."""
    target = vi.from_numpyro(lambda: numpyro.sample("rate", dist.Gamma(0.6, 1.0)))
    fit = vi.fit(jax.random.key(0), target, vi.natural_gradient(vi.NormalMixture(2)))
    rates = np.exp(np.asarray(fit.posterior.sample(jax.random.key(1), (100_000,))))
    assert rates.std() / np.sqrt(0.6) > 1.15
    log_sd = np.sqrt(float(fit.posterior.variance[0]))
    assert log_sd == pytest.approx(1.9069, rel=0.1)  # sqrt(trigamma(0.6)), within what is called good
    found = [vi.diagnose(jax.random.key(seed), fit, explain=False) for seed in range(3)]
    assert {one.verdicts["spreads"].name for one in found} <= {"NOT_TRUSTED", "CANNOT_TELL"}
    assert "too large (rate) by q's own weights" in found[1].reasons["spreads"]
    assert "too large (rate) by a search beyond its draws" in found[1].reasons["spreads"]


def test_errors_of_coordinates_alone_are_kept(key, exact):
    fit = vi.fit(jax.random.key(0), exact.target)
    found = vi.diagnose(key, fit, reference=exact, explain=False, search=False)
    assert found.mean_errors.shape == found.log_sd_ratios.shape == (1,)
    error = (float(fit.posterior.mean[0]) - exact.mean[0]) / exact.sd[0]
    assert found.mean_error == pytest.approx(abs(error))
