"""Normal priors in closed form: unbiased against exact values and NumPyro's mean-field ELBO, and less noisy."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints
from numpyro.infer import TraceMeanField_ELBO

import vi_toolkit as vi
from tests.compilations import jit

Y = np.array([3.0, 1.0, -0.5])
ESTIMATORS = (vi.estimators.reparameterised, vi.estimators.closed_form_prior)
PARAMS = {
    "location": jnp.array([-0.5, 1.1, 0.2, -0.3, 0.5]),
    "log_scale": jnp.array([-1.5, 0.1, -0.5, 0.3, -0.1]),
}


def hierarchy(y):
    """Real sites with normal priors, one of them given others, and a positive one."""
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    mean = numpyro.sample("mean", dist.Normal(0.5, 2.0))
    with numpyro.plate("row", len(y)):
        effect = numpyro.sample("effect", dist.Normal(mean, 1.0 + spread))
        numpyro.sample("y", dist.Normal(effect, 4.0), obs=y)


def guide(y):
    def parameters(name, shape):
        location = numpyro.param(f"{name}_location", jnp.zeros(shape))
        return location, numpyro.param(f"{name}_scale", jnp.ones(shape), constraint=constraints.positive)

    numpyro.sample("spread", dist.LogNormal(*parameters("spread", ())))
    numpyro.sample("mean", dist.Normal(*parameters("mean", ())))
    with numpyro.plate("row", len(y)):
        numpyro.sample("effect", dist.Normal(*parameters("effect", (3,))))


def values_and_gradients(target, num_keys, num_draws=2):
    """Losses (estimators, keys) and gradients (estimators, keys, parameters) of reverse KL."""

    def one(key):
        def loss(estimator, params):
            drawing = estimator.drawing(vi.estimators.independent)
            return vi.ReverseKL(drawing).loss(key, params, vi.MeanFieldNormal(), target, num_draws)[0]

        pairs = [jax.value_and_grad(lambda params, e=e: loss(e, params))(PARAMS) for e in ESTIMATORS]
        return [(value, jnp.concatenate(list(gradient.values()))) for value, gradient in pairs]

    return [tuple(map(np.asarray, pair)) for pair in jit(jax.vmap(one))(jax.random.split(jax.random.key(0), num_keys))]


def test_unbiased_and_less_noisy():
    (plain, plain_slopes), (closed, slopes) = values_and_gradients(vi.from_numpyro(hierarchy, Y), 20_000)
    error = np.sqrt((plain.var() + closed.var()) / len(plain))
    assert abs(plain.mean() - closed.mean()) < 5 * error
    assert closed.var() < 0.75 * plain.var()
    errors = np.sqrt((plain_slopes.var(0) + slopes.var(0)) / len(slopes))
    np.testing.assert_array_less(np.abs(plain_slopes.mean(0) - slopes.mean(0)), 5 * errors)
    # the locations of the effects, whose prior is one of the two terms that pull at them
    assert np.all(slopes.var(0)[2:5] < 0.75 * plain_slopes.var(0)[2:5])


def test_the_mean_is_that_of_numpyros_mean_field_elbo():
    (_, _), (closed, _) = values_and_gradients(vi.from_numpyro(hierarchy, Y), 20_000)
    split = {"spread": slice(0, 1), "mean": slice(1, 2), "effect": slice(2, 5)}
    values = {f"{name}_location": PARAMS["location"][part].squeeze() for name, part in split.items()}
    values |= {f"{name}_scale": jnp.exp(PARAMS["log_scale"][part]).squeeze() for name, part in split.items()}
    elbo = TraceMeanField_ELBO(num_particles=40_000)
    theirs = jit(lambda key: elbo.loss(key, values, hierarchy, guide, Y))(jax.random.key(1))
    assert abs(float(theirs) - closed.mean()) < 5 * closed.std() * np.sqrt(2 / 20_000) * 1.5


def normal_model(y):
    slopes = numpyro.sample("slopes", dist.Normal(jnp.array([0.5, -1.0]), 2.0).to_event(1))
    numpyro.sample("y", dist.Normal(slopes[0] + slopes[1], 1.0), obs=y)


@pytest.mark.any_precision
def test_on_a_normal_model_against_the_closed_form():
    """ELBO = E log N(y; z_1 + z_2, 1) - KL, and its gradient, both in closed form."""
    dtype, y = jnp.result_type(float), 1.5
    target = vi.from_numpyro(normal_model, y)
    params = {"location": jnp.array([0.2, 0.4], dtype), "log_scale": jnp.array([-0.3, 0.2], dtype)}

    def exact(params):
        location, scale = params["location"], jnp.exp(params["log_scale"])
        prior = dist.Normal(jnp.array([0.5, -1.0], dtype), 2.0)
        divergence = dist.kl_divergence(dist.Normal(location, scale), prior).sum()
        fit = dist.Normal(location.sum(), 1.0).log_prob(y) - 0.5 * jnp.sum(scale**2)
        return divergence - fit

    @jit
    def estimates(keys):
        objective = vi.ReverseKL(vi.estimators.closed_form_prior)
        loss = lambda params, key: objective.loss(key, params, vi.MeanFieldNormal(), target, 1)[0]  # noqa: E731
        return jax.vmap(lambda key: jax.value_and_grad(loss)(params, key))(keys)

    values, slopes = estimates(jax.random.split(jax.random.key(0), 20_000))
    value, slope = jax.value_and_grad(exact)(params)
    assert values.dtype == dtype
    assert abs(values.mean() - value) < 5 * values.std() / np.sqrt(20_000)
    for name, leaf in slope.items():
        errors = np.asarray(slopes[name]).std(0) / np.sqrt(20_000)
        np.testing.assert_array_less(np.abs(np.asarray(slopes[name]).mean(0) - leaf), 5 * errors)


def test_where_the_prior_is_all_there_is_nothing_is_random():
    def prior_alone():
        numpyro.sample("x", dist.Normal(1.0, 2.0).expand([2]).to_event(1))

    objective = vi.ReverseKL(vi.estimators.closed_form_prior)
    params = {"location": jnp.array([1.0, 3.0]), "log_scale": jnp.log(jnp.array([2.0, 1.0]))}
    losses = [
        float(objective.loss(jax.random.key(seed), params, vi.MeanFieldNormal(), vi.from_numpyro(prior_alone), 1)[0])
        for seed in (0, 1)
    ]
    np.testing.assert_allclose(losses, np.log(2.0) + (1 + 4) / 8 - 0.5, rtol=1e-12)


def scaled(y):
    with numpyro.handlers.scale(scale=2.0):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=y)


def test_what_it_does_not_fit_is_refused_by_name():
    objective = vi.ReverseKL(vi.estimators.closed_form_prior)
    key, params = jax.random.key(0), {"location": jnp.zeros(1), "log_scale": jnp.zeros(1)}
    with pytest.raises(ValueError, match=r"closed_form_prior does not go with .*FullRankNormal\(\).*MeanFieldNormal"):
        objective.check(vi.FullRankNormal(), 1)
    with pytest.raises(ValueError, match=r"closed_form_prior does not go with .*linear in the log weights"):
        vi.IWAE(5, vi.estimators.closed_form_prior).check(vi.MeanFieldNormal(), 1)
    plain = vi.from_log_density(lambda z: -jnp.sum(z**2), dim=1)
    with pytest.raises(ValueError, match="a plain log density has no prior"):
        objective.loss(key, params, vi.MeanFieldNormal(), plain, 1)
    target = vi.from_numpyro(scaled, 1.0)
    with pytest.raises(ValueError, match=r"none of its sites \['x'\] has a normal prior"):
        objective.loss(key, params, vi.MeanFieldNormal(), target, 1)
    tempered = vi.ReverseKL(vi.estimators.closed_form_prior, beta=0.5)
    with pytest.raises(ValueError, match="at beta = 1"):
        tempered.loss(key, params, vi.MeanFieldNormal(), target, 1)
