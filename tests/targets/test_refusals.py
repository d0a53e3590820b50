"""Models that cannot be fitted are refused at once, by the name of the site or argument and with the way out."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi

Y = np.array([0.5, -1.0, 2.0])


def discrete(y):
    chosen = numpyro.sample("chosen", dist.Bernoulli(0.4))
    numpyro.sample("y", dist.Normal(chosen, 1.0), obs=y)


def counts(y):
    rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
    number = numpyro.sample("number", dist.Poisson(rate))
    numpyro.sample("y", dist.Normal(number, 1.0), obs=y)


def no_latents(y):
    numpyro.sample("y", dist.Normal(0.0, 1.0), obs=y)


def no_sites(y):
    return y


def optional(x, y=None):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(slope * x, 1.0), obs=y)


def optional_of_another_name(x, response=None):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(slope * x, 1.0), obs=response)


def with_param(y):
    scale = numpyro.param("scale", 1.0)
    numpyro.sample("y", dist.Normal(numpyro.sample("mean", dist.Normal(0.0, 1.0)), scale), obs=y)


def subsampled(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", 3, subsample_size=2) as rows:
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y[rows])


def column(y):
    mean = numpyro.sample("mean", dist.Normal(jnp.zeros(3), 1.0).to_event(1))
    numpyro.sample("y", dist.Normal(mean, 1.0), obs=y[:, None])


def twice(y):
    numpyro.sample("mean", dist.Normal(0.0, 1.0))
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (discrete, r"latent site 'chosen' \(Bernoulli.*\) is discrete.*MixtureSameFamily"),
        (counts, r"latent site 'number' \(Poisson\) is discrete.*numpyro.factor"),
        (no_latents, r"no latent site, so there is nothing to fit. Its sites: \['y'\]"),
        (no_sites, "no latent site, so there is nothing to fit. Its sites: none"),
        (optional, r"argument 'y' was not given.*unknown site 'y' where data belong.*y=\.\.\."),
        (optional_of_another_name, r"argument 'response' was not given.*no observed site.*response=\.\.\."),
        (with_param, "'scale' is a numpyro.param.*Give it one with numpyro.sample"),
        (subsampled, "plate 'row' takes 2 of 3 rows at random.*pass all the data"),
        (column, r"observed site 'y' has data of shape \(3, 1\).*shape \(3,\).*count 9 terms"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_model_that_cannot_be_fitted(model, words):
    with pytest.raises(ValueError, match=words):
        vi.from_numpyro(model, Y)


def test_a_name_given_twice():
    with pytest.raises(ValueError, match=r"at site 'mean'.*unique names but got `mean` duplicated"):
        vi.from_numpyro(twice, Y)


def test_a_model_without_data_by_design_is_fine():
    def funnel():
        spread = numpyro.sample("spread", dist.Normal(0.0, 3.0))
        numpyro.sample("x", dist.Normal(0.0, jnp.exp(spread / 2)))

    assert vi.from_numpyro(funnel).dim == 2


def test_a_model_may_draw_keys_of_its_own():
    def model(y):
        noise = jax.random.normal(numpyro.prng_key(), (3,)) if numpyro.prng_key() is not None else 0.0
        mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        numpyro.deterministic("shaken", mean + noise)
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)

    target = vi.from_numpyro(model, Y)
    np.testing.assert_allclose(target.constrain(jnp.zeros(1))["mean"], 0.0)
    assert target.constrain(jnp.zeros(1))["shaken"].shape == (3,)
    expected = dist.Normal(0.0, 1.0).log_prob(0.0) + dist.Normal(0.0, 1.0).log_prob(Y).sum()
    np.testing.assert_allclose(target.log_density(jnp.zeros(1)), expected, rtol=1e-12)


def test_a_target_made_inside_another_handler_leaves_no_trace():
    with numpyro.handlers.trace() as outer, numpyro.handlers.seed(rng_seed=0):
        vi.from_numpyro(optional, np.ones(3), y=Y)
    assert not outer
