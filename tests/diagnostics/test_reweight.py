import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.special import digamma, polygamma
from scipy.stats import gamma

import vi_toolkit as vi
from vi_toolkit.diagnostics import effective_draws, moments_of_draws, reweight
from vi_toolkit.diagnostics.repair.reweight import _quantiles


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


def test_the_error_that_remains_is_the_spread_of_repeats(fit):
    """Over 100 repeats the stated errors are the sd of the estimates, which is known to 7 %; log Z likewise."""
    found = [reweight(jax.random.key(seed), fit, num_draws=1000) for seed in range(100)]
    for value, error in (("mean", "mean_se"), ("sd", "sd_se")):
        values, errors = (np.array([getattr(one, name)[0] for one in found]) for name in (value, error))
        assert values.std() / errors.mean() == pytest.approx(1.0, abs=0.25)
    sites, errors = ([getattr(one, name)["double"] for one in found] for name in ("site_sds", "site_sd_ses"))
    np.testing.assert_allclose(np.std(sites, axis=0) / np.mean(errors, axis=0), 1.0, atol=0.25)
    means, errors = ([getattr(one, name)["rate"] for one in found] for name in ("site_means", "site_mean_ses"))
    assert abs(np.mean(means) - 7 / 3) < 5 * np.mean(errors) / 10
    # Z = int Gamma(3, 2) Poisson(4 | rate) = 2^3 3^-7 6! / (4! 2!)
    log_z = np.log(2**3 * 3.0**-7 * 720 / 48)
    values, errors = (np.array(part) for part in zip(*(one.log_evidence for one in found), strict=True))
    assert abs(values.mean() - log_z) < 5 * values.std() / 10
    assert values.std() / errors.mean() == pytest.approx(1.0, abs=0.25)


def test_quantiles(key, fit):
    """Those of Gamma(7, 3); the sites keep their shapes."""
    corrected = reweight(key, fit, num_draws=20_000)
    wanted = [0.05, 0.5, 0.95]
    found = corrected.quantiles(wanted)
    exact = gamma(7, scale=1 / 3)
    ses = np.sqrt(np.array(wanted) * (1 - np.array(wanted)) / corrected.ess) / exact.pdf(exact.ppf(wanted))
    assert (np.abs(found["rate"] - exact.ppf(wanted)) < 5 * ses).all()
    np.testing.assert_allclose(found["double"], 2 * np.stack([found["rate"]] * 2, axis=1))
    equal = dataclasses.replace(corrected, log_weights=np.full(20_000, -np.log(20_000)))
    np.testing.assert_allclose(
        equal.quantiles([0.1])["rate"][0], np.quantile(corrected.sites["rate"], 0.1, method="inverted_cdf")
    )
    with pytest.raises(ValueError, match="probabilities: expected numbers between 0 and 1"):
        corrected.quantiles([0.5, 2.0])


def test_a_quantile_is_the_first_draw_whose_weights_reach_it():
    values, wanted = np.array([4.0, 1.0, 3.0, 2.0]), np.array([0.0, 0.25, 0.26, 0.5, 1.0])
    found = _quantiles(values, np.full(4, 0.25), wanted)
    np.testing.assert_array_equal(found, [1.0, 1.0, 2.0, 2.0, 4.0])
    np.testing.assert_array_equal(found, np.quantile(values, wanted, method="inverted_cdf"))
    np.testing.assert_array_equal(
        _quantiles(values, np.array([0.0, 0.25, 0.75, 0.0]), wanted), [1.0, 1.0, 3.0, 3.0, 3.0]
    )


def test_resampled_draws_are_of_p(key, fit):
    corrected = reweight(key, fit, num_draws=20_000)
    drawn = corrected.resample(jax.random.key(5), 4000)
    assert drawn.draws.shape == (4000, 1)
    np.testing.assert_allclose(drawn.sites["rate"], np.exp(drawn.draws[:, 0]))
    assert abs(drawn.sites["rate"].mean() - 7 / 3) < 5 * np.sqrt(7 / 9) * np.sqrt(1 / 4000 + 1 / corrected.ess)
    assert abs(drawn.sites["rate"].std() - np.sqrt(7 / 9)) < 0.06


def test_errors_are_infinite_where_the_weights_have_no_say(key, fit):
    narrow = dataclasses.replace(fit, params=fit.params | {"log_diagonal": jnp.log(jnp.array([0.02]))})
    corrected = reweight(key, narrow, num_draws=1000)
    assert corrected.khat > 0.7
    assert np.isinf([corrected.mean_se[0], corrected.sd_se[0], corrected.site_mean_ses["rate"]]).all()
    assert corrected.num_gradients == pytest.approx(1000 / 3)


def test_bad_input(key, fit):
    with pytest.raises(ValueError, match="num_draws: expected at least 25"):
        reweight(key, fit, num_draws=10)
    with pytest.raises(TypeError, match="fit"):
        reweight(key, fit.posterior)


def test_errors_are_known_where_the_weights_are_nearly_all_alike(key):
    """Whatever their k-hat: one of two normals far apart, where weights differ by e^-32 at most."""
    one_of_two = vi.fit(jax.random.key(0), vi.zoo.two_modes(separation=8.0, dim=1).target, vi.laplace())
    corrected = vi.reweight(jax.random.key(1), one_of_two)
    assert corrected.khat > 0.7
    assert corrected.mean_se[0] == pytest.approx(1 / np.sqrt(4000), rel=0.05)
