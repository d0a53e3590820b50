"""Rows B6 of what goes wrong in variational inference: guides that remember, and names that are not looked at."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer.autoguide import AutoMultivariateNormal, AutoNormal

import vi_toolkit as vi
from tests.registry import no_model, start

KEY = jax.random.key(0)
X, Y = np.linspace(-1.0, 1.0, 20), np.linspace(-2.0, 2.0, 20)


def regression(x, y=None):
    slope = numpyro.sample("slope", dist.Normal(0.0, 10.0))
    mu = numpyro.deterministic("mu", slope * x)
    with numpyro.plate("row", len(x)):
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)


@pytest.fixture(scope="module")
def fit():
    return vi.fit(KEY, vi.from_numpyro(regression, X, y=Y), vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL()))


def two_modes(z):
    return jnp.logaddexp(-0.5 * jnp.sum((z - 3.0) ** 2), -0.5 * jnp.sum((z + 3.0) ** 2))


@pytest.fixture(scope="module")
def of_one_object():
    """Fits with four keys by one autoguide object, which NumPyro would begin at the same place each time."""
    method = vi.gradient(vi.from_autoguide(AutoNormal(no_model)), vi.ReverseKL(), num_draws=8)
    target = vi.from_log_density(two_modes, dim=1)
    return method, target, [vi.fit(jax.random.key(seed), target, method, max_steps=300) for seed in range(4)]


def test_one_autoguide_object_begins_anew_with_each_key(of_one_object):
    ends = [float(fit.posterior.sample(KEY, (100,)).mean()) for fit in of_one_object[2]]
    assert {round(end / 3.0) for end in ends} == {-1, 1}


def test_an_autoguide_that_was_compiled_holds_nothing_of_it(of_one_object):
    """NumPyro's own then raises an UnexpectedTracerError."""
    method, target, (first, *_) = of_one_object
    jax.jit(jax.vmap(lambda key: method.posterior(first.params).sample(key)))(jax.random.split(KEY, 3))
    again = vi.fit(jax.random.key(0), target, method, max_steps=300)
    np.testing.assert_array_equal(again.history["loss"], first.history["loss"])


def test_a_posterior_needs_no_guide_that_was_run_before():
    """In a fresh process NumPyro's guide has no sample_posterior; ours is made of its parameters alone."""
    guide = vi.from_autoguide(AutoMultivariateNormal(no_model))
    params = guide.init(KEY, start(2))
    fresh = pickle.loads(pickle.dumps(vi.from_autoguide(AutoMultivariateNormal(no_model))))
    points = jnp.array([[0.0, 0.0], [1.0, -2.0]])
    np.testing.assert_array_equal(
        fresh.distribution(params).log_prob(points), guide.distribution(params).log_prob(points)
    )
    assert not hasattr(fresh.autoguide, "_init_latent")  # it was never run


def test_deterministic_sites_follow_new_data(fit):
    """NumPyro's guide keeps those of the data that it was fitted to, in number and in value."""
    new = vi.from_numpyro(regression, np.array([10.0, 20.0, 30.0]), y=np.array([20.0, 41.0, 60.0]))
    z = fit.posterior.mean
    np.testing.assert_allclose(new.constrain(z)["mu"], float(z[0]) * np.array([10.0, 20.0, 30.0]), rtol=1e-12)
    expected = dist.Normal(z[0] * np.array([10.0, 20.0, 30.0]), 1.0).log_prob(np.array([20.0, 41.0, 60.0]))
    np.testing.assert_allclose(new.log_likelihood(z)["y"], expected, rtol=1e-12)


def test_a_name_that_is_none_is_refused(fit):
    """NumPyro draws a site that is missing among posterior samples from its prior."""
    with pytest.raises(ValueError, match=r"expected a value for each of \['slope'\], got \['slop'\]"):
        fit.target.unconstrain({"slop": jnp.array(1.0)})
    np.testing.assert_allclose(fit.posterior.mean, Y @ X / (X @ X + 0.01), atol=0.02)  # and no names in between
