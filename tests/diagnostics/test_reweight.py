import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.special import digamma, polygamma

import vi_toolkit as vi
from vi_toolkit.diagnostics import effective_draws, moments_of_draws, reweight


def model(y=None):
    rate = numpyro.sample("rate", dist.Gamma(3.0, 2.0))
    numpyro.deterministic("double", 2 * jnp.stack([rate, rate]))
    numpyro.sample("y", dist.Poisson(rate), obs=y)


@pytest.fixture(scope="module")
def fit():
    """The posterior of the rate is Gamma(3 + 4, 2 + 1); q is a normal of log rate, off on purpose."""
    fitted = vi.fit(jax.random.key(0), vi.from_numpyro(model, y=4), max_steps=1)
    params = {"location": np.array([0.9]), "log_diagonal": np.log([0.5]), "lower": np.zeros((1, 1))}
    return dataclasses.replace(fitted, params=jax.tree.map(jnp.asarray, params))


def test_corrected_moments(key, fit):
    """log rate has mean psi(7) - log 3 and variance psi'(7); the rate has mean 7 / 3 and variance 7 / 9."""
    corrected = reweight(key, fit, num_draws=20_000)
    for draws, mean, sd in (
        (corrected.draws[:, 0], digamma(7) - np.log(3), np.sqrt(polygamma(1, 7))),
        (corrected.sites["rate"], 7 / 3, np.sqrt(7) / 3),
    ):
        found = moments_of_draws(draws, corrected.log_weights)
        assert abs(found.mean - mean) < 5 * found.mean_se
        assert abs(np.log(found.sd / sd)) < 5 * found.log_sd_se
        assert found.mean_se < 0.02
    np.testing.assert_allclose(corrected.mean, moments_of_draws(corrected.draws, corrected.log_weights).mean)
    np.testing.assert_allclose(corrected.site_means["double"], 2 * corrected.site_means["rate"])
    np.testing.assert_allclose(corrected.site_sds["double"], 2 * corrected.site_sds["rate"])


def test_the_record(key, fit):
    corrected = reweight(key, fit, num_draws=1000)
    assert corrected.draws.shape == (1000, 1)
    assert corrected.sites["double"].shape == (1000, 2)
    np.testing.assert_allclose(corrected.sites["rate"], np.exp(corrected.draws[:, 0]))
    assert np.exp(corrected.log_weights).sum() == pytest.approx(1.0)
    assert corrected.ess == pytest.approx(effective_draws(corrected.log_weights))
    assert corrected.khat < 0.5


def test_bad_input(key, fit):
    with pytest.raises(ValueError, match="num_draws: expected at least 25"):
        reweight(key, fit, num_draws=10)
    with pytest.raises(TypeError, match="fit"):
        reweight(key, fit.posterior)
