"""Leave-one-out cross-validation against the closed form of a normal mean."""

import dataclasses

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.stats import norm

import vi_toolkit as vi
from vi_toolkit.predictive import loo

Y = np.random.default_rng(0).normal(1.0, 1.5, 30)


def model(y, other=None):
    mean = numpyro.sample("mean", dist.Normal(0.0, 3.0))
    numpyro.sample("y", dist.Normal(mean, 1.5), obs=y)
    if other is not None:
        numpyro.sample("other", dist.Normal(mean, 1.0), obs=other)


@pytest.fixture(scope="module")
def fit():
    return vi.fit(jax.random.key(0), vi.from_numpyro(model, Y))


def exact_pointwise():
    """log p(y_i | y_-i) = log N(y_i; m_-i, v_-i + 1.5^2)."""
    precision = 1 / 9 + (len(Y) - 1) / 1.5**2
    means = (Y.sum() - Y) / 1.5**2 / precision
    return norm.logpdf(Y, means, np.sqrt(1 / precision + 1.5**2))


def test_elpd_against_the_closed_form(fit):
    found = loo(jax.random.key(1), fit)
    exact = exact_pointwise()
    np.testing.assert_allclose(found.pointwise, exact, atol=0.01)  # errors of 4000 draws are a few thousandths
    assert found.elpd.value == pytest.approx(exact.sum(), abs=0.05)
    assert found.elpd.se == pytest.approx(exact.std(ddof=1) * np.sqrt(len(Y)), rel=0.01)
    assert found.usable
    assert "It can be trusted" in found.sentence
    precision = 1 / 9 + len(Y) / 1.5**2
    predictive = norm.logpdf(Y, Y.sum() / 1.5**2 / precision, np.sqrt(1 / precision + 1.5**2))
    assert found.num_parameters == pytest.approx(predictive.sum() - exact.sum(), abs=0.05)


def moved_by(fit, shift):
    return dataclasses.replace(fit, params=fit.params | {"location": fit.params["location"] + shift})


def test_a_q_that_is_off_is_corrected(fit):
    """Half a standard deviation too high: without the weights of q, predictions would be off by up to 0.1 nats."""
    sd = float(fit.posterior.variance[0]) ** 0.5
    found = loo(jax.random.key(1), moved_by(fit, 0.5 * sd))
    np.testing.assert_allclose(found.pointwise, exact_pointwise(), atol=0.02)


def test_what_is_hopeless_is_said(fit):
    """Far away, and so that the weights have no tail: ArviZ alone gives NaN and no warning."""
    found = loo(jax.random.key(1), moved_by(fit, 1e4))
    assert not found.usable
    assert np.isnan(found.khats).all()
    assert "It is not to be trusted: of 30 observations (0, 1, 2, 3, 4, ...)" in found.sentence
    assert "of 30 it is not a number" in found.sentence


def test_refusals(fit):
    plain = vi.fit(jax.random.key(0), vi.from_log_density(lambda z: -0.5 * z @ z, dim=1), max_steps=2)
    with pytest.raises(ValueError, match="fit: its target has no observations"):
        loo(jax.random.key(1), plain)
    two = vi.fit(jax.random.key(0), vi.from_numpyro(model, Y, other=Y[:3]))
    with pytest.raises(ValueError, match=r"site: there are several observed sites, \['.*'\]; name one"):
        loo(jax.random.key(1), two)
    with pytest.raises(ValueError, match="site: there is no observed site 'x'"):
        loo(jax.random.key(1), two, site="x")
    assert len(loo(jax.random.key(1), two, site="other").pointwise) == 3
    with pytest.raises(ValueError, match="num_draws: expected at least 100, got 99"):
        loo(jax.random.key(1), fit, num_draws=99)
