"""Discrete sites summed out: the density against exact sums, and what is refused in words."""

import itertools
import pickle
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.control_flow import scan
from numpyro.contrib.funsor import config_enumerate, markov

import vi_toolkit as vi
from tests.compilations import count_compilations, jit

Y = np.array([0.1, 2.0, -1.0, 1.5])
WEIGHTS = np.array([0.3, 0.7])
TRANSITION = np.array([[0.9, 0.1], [0.2, 0.8]])
Z = np.array([0.5, -1.0, 0.3])
MARK = {"enumerate": "parallel"}  # one dictionary for all sites, into which NumPyro writes: each must get a copy


def unknowns():
    means = numpyro.sample("means", dist.Normal(0.0, 3.0).expand([2]).to_event(1))
    return means, numpyro.sample("scale", dist.HalfNormal(1.0))


def mixture(y):
    means, scale = unknowns()
    with numpyro.plate("row", len(y)):
        state = numpyro.sample("state", dist.Categorical(jnp.asarray(WEIGHTS)), infer=MARK)
        numpyro.deterministic("own_mean", means[state])
        numpyro.deterministic("twice", 2.0 * y * scale)
        numpyro.sample("y", dist.Normal(means[state], scale), obs=y)
    numpyro.sample("width", dist.Normal(scale, 1.0), obs=jnp.array(0.4))


def mixture_by_hand(y):
    means, scale = unknowns()
    components = dist.Normal(means, scale)
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.MixtureSameFamily(dist.Categorical(jnp.asarray(WEIGHTS)), components), obs=y)
    numpyro.sample("width", dist.Normal(scale, 1.0), obs=jnp.array(0.4))


def chain_by_scan(y):
    means, scale = unknowns()

    def step(state, y):
        state = numpyro.sample("state", dist.Categorical(jnp.asarray(TRANSITION)[state]), infer=MARK)
        numpyro.sample("y", dist.Normal(means[state], scale), obs=y)
        return state, None

    scan(step, 0, y)


def chain_by_markov(y):
    means, scale = unknowns()
    state = 0
    for t in markov(range(len(Y))):
        state = numpyro.sample(f"state_{t}", dist.Categorical(jnp.asarray(TRANSITION)[state]), infer=MARK)
        numpyro.sample(f"y_{t}", dist.Normal(means[state], scale), obs=y[t])


def two_plates(y):
    """A state for each column, and one for each cell, which depends on it; both shift the cell's unknown mean."""
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    with numpyro.plate("column", 2, dim=-1):
        kind = numpyro.sample("kind", dist.Bernoulli(0.4), infer=MARK)
    with numpyro.plate("row", 2, dim=-2), numpyro.plate("column", 2, dim=-1):
        switch = numpyro.sample("switch", dist.Bernoulli(0.2 + 0.5 * kind), infer=MARK)
        level = numpyro.sample("level", dist.Normal(2.0 * switch, 1.0))
        numpyro.sample("y", dist.Normal(level + kind, scale), obs=y)


def prior_and_jacobian(z):
    scale = jnp.exp(z[2])
    prior = dist.Normal(0.0, 3.0).log_prob(z[:2]).sum() + dist.HalfNormal(1.0).log_prob(scale)
    return float(prior + z[2])


@pytest.mark.any_precision
def test_a_mixture_is_the_one_written_by_hand():
    summed, by_hand = vi.from_numpyro(mixture, Y), vi.from_numpyro(mixture_by_hand, Y)
    both = jit(lambda target, z: jax.value_and_grad(target.log_density)(z))
    tolerance = 1e-5 if jnp.result_type(float) == jnp.float32 else 1e-12
    for z in np.random.default_rng(0).normal(size=(3, 3)):
        value, gradient = both(summed, jnp.asarray(z, jnp.result_type(float)))
        expected, slope = both(by_hand, jnp.asarray(z, jnp.result_type(float)))
        np.testing.assert_allclose(value, expected, rtol=tolerance)
        np.testing.assert_allclose(gradient, slope, rtol=20 * tolerance)
        assert value.dtype == jnp.result_type(float)
    other = vi.from_numpyro(mixture, Y + 1.0)
    compiled, (moved, _) = count_compilations(lambda: both(other, jax.device_put(z.astype(value.dtype))))
    assert compiled == 0  # other data are the same program
    assert abs(moved - value) > 0.1


def test_the_sum_over_allocations_is_the_exact_evidence():
    components = dist.Normal(jnp.asarray(Z[:2]), jnp.exp(Z[2]))
    exact = vi.exact.finite_mixture(Y, weights=WEIGHTS, components=components).log_evidence
    width = dist.Normal(jnp.exp(Z[2]), 1.0).log_prob(0.4)
    value = vi.from_numpyro(mixture, Y).log_density(jnp.asarray(Z))
    np.testing.assert_allclose(value, exact + prior_and_jacobian(Z) + width, rtol=1e-12)


@pytest.mark.parametrize("model", [chain_by_scan, chain_by_markov])
def test_the_sum_over_paths_is_the_exact_evidence(model):
    emission = dist.Normal(jnp.asarray(Z[:2]), jnp.exp(Z[2]))
    exact = vi.exact.hidden_markov(Y, initial=TRANSITION[0], transition=TRANSITION, emission=emission).log_evidence
    target = vi.from_numpyro(model, Y)
    np.testing.assert_allclose(target.log_density(jnp.asarray(Z)), exact + prior_and_jacobian(Z), rtol=1e-12)
    assert set(target.constrain(jnp.asarray(Z))) == {"means", "scale"}


def test_states_in_plates_against_every_assignment():
    y = np.array([[0.3, -1.0], [2.0, 1.2]])
    target = vi.from_numpyro(two_plates, y)
    z = np.array([0.2, 0.4, -0.3, 1.0, 0.6])
    scale, level = np.exp(z[0]), z[1:].reshape(2, 2)
    total = 0.0
    for bits in itertools.product((0, 1), repeat=6):
        kind, switch = np.array(bits[:2]), np.array(bits[2:]).reshape(2, 2)
        chance = 0.2 + 0.5 * kind
        mass = np.prod(np.where(kind == 1, 0.4, 0.6)) * np.prod(np.where(switch == 1, chance, 1 - chance))
        density = dist.Normal(2.0 * switch, 1.0).log_prob(level) + dist.Normal(level + kind, scale).log_prob(y)
        total += mass * np.exp(float(density.sum()))
    expected = np.log(total) + float(dist.HalfNormal(1.0).log_prob(scale)) + z[0]
    np.testing.assert_allclose(target.log_density(jnp.asarray(z)), expected, rtol=1e-12)
    assert target.dims["level"] == ("row", "column")


def test_what_depends_on_a_state_is_left_out():
    target, z = vi.from_numpyro(mixture, Y), jnp.asarray(Z)
    sites = target.constrain(z)
    assert set(sites) == {"means", "scale", "twice"}
    np.testing.assert_allclose(sites["twice"], 2.0 * Y * np.exp(Z[2]))
    assert target.dims == {"means": ("means_dim_0",), "twice": ("row",)}
    likelihood = target.log_likelihood(z)
    assert set(likelihood) == {"width"}
    np.testing.assert_allclose(likelihood["width"], dist.Normal(np.exp(Z[2]), 1.0).log_prob(0.4), rtol=1e-12)
    np.testing.assert_array_equal(target.observed()["y"], Y)
    assert target.prior_draw(jax.random.key(0)).shape == (3,)
    assert f"the sum over ['state'] is {float(target.log_density(z))} there" in target.explain(z)
    copy = pickle.loads(pickle.dumps(target))
    assert float(copy.log_density(z)) == float(target.log_density(z))


def test_a_fit_and_its_tree():
    target = vi.from_numpyro(mixture, Y)
    fit = vi.fit(jax.random.key(0), target, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL()), max_steps=20)
    tree = vi.to_datatree(jax.random.key(1), fit, num_draws=3)
    assert set(tree["posterior"].data_vars) == {"means", "scale", "twice"}
    assert set(tree["log_likelihood"].data_vars) == {"width"}
    assert set(tree["observed_data"].data_vars) == {"y", "width"}


def unmarked(y):
    state = numpyro.sample("state", dist.Bernoulli(0.4))
    numpyro.sample("y", dist.Normal(state + numpyro.sample("mean", dist.Normal(0.0, 1.0)), 1.0), obs=y)


def infinite(y):
    number = numpyro.sample("number", dist.Poisson(2.0), infer=MARK)
    numpyro.sample("y", dist.Normal(number + numpyro.sample("mean", dist.Normal(0.0, 1.0)), 1.0), obs=y)


def no_plate(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    state = numpyro.sample("state", dist.Categorical(jnp.asarray(WEIGHTS)).expand([4]), infer=MARK)
    numpyro.sample("y", dist.Normal(mean + state, 1.0), obs=y)


def factor_in_scan(y):
    means, scale = unknowns()

    def step(state, y):
        state = numpyro.sample("state", dist.Categorical(jnp.asarray(TRANSITION)[state]), infer=MARK)
        numpyro.factor("y", dist.Normal(means[state], scale).log_prob(y))
        return state, None

    scan(step, 0, y)


def states_alone(y):
    state = numpyro.sample("state", dist.Bernoulli(0.4), infer=MARK)
    numpyro.sample("y", dist.Normal(state, 1.0), obs=y)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (unmarked, r"'state' \(Bernoulli.*is discrete.*infer=\{\"enumerate\": \"parallel\"\}.*config_enumerate"),
        (infinite, r"'number' is marked.*Poisson has no finite list of values"),
        (no_plate, r"\['state'\] could not be summed out.*Every batch dimension must be a numpyro.plate"),
        (factor_in_scan, r"\['state'\] could not be summed out.*neither numpyro.factor"),
        (states_alone, r"no latent site once \['state'\] are summed out"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_summed_out(model, words):
    with pytest.raises(ValueError, match=words):
        vi.from_numpyro(model, Y)


def test_every_site_is_marked_at_once():
    marked = vi.from_numpyro(config_enumerate(unmarked), Y[:1])
    log_p = [dist.Normal(state + 0.3, 1.0).log_prob(Y[0]) + np.log(p) for state, p in ((0, 0.6), (1, 0.4))]
    expected = np.logaddexp(*log_p) + dist.Normal(0.0, 1.0).log_prob(0.3)
    np.testing.assert_allclose(marked.log_density(jnp.array([0.3])), expected, rtol=1e-12)


def test_without_funsor_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpyro.contrib.funsor", None)
    with pytest.raises(ImportError, match=r"\['state'\] are summed out by funsor.*pip install funsor"):
        vi.from_numpyro(mixture, Y)
