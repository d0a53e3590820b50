"""The normal that follows the model: it has the posterior of normal hierarchies, with few parameters."""

import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import random_params, start
from vi_toolkit.guides._site_graph import find_parents
from vi_toolkit.io._recipe import Writer, read

EFFECTS, SES = np.array([3.0, 1.0, -0.5, 2.0]), np.array([0.7, 1.0, 0.5, 2.0])
SERIES = np.array([1.0, 2.5, 0.3])


def random_walk(y):
    state = 0.0
    for t in range(len(SERIES)):
        state = numpyro.sample(f"state_{t}", dist.Normal(0.8 * state, 1.0))
        numpyro.sample(f"y_{t}", dist.Normal(state, 0.7), obs=y[t])


def crossed(y):
    """Two plates that cross, and an effect in both; unconstrained shapes differ from shapes."""
    shares = numpyro.sample("shares", dist.Dirichlet(jnp.ones(3)))
    with numpyro.plate("column", 2, dim=-1):
        column = numpyro.sample("column_effect", dist.Normal(shares[0], 1.0))
    with numpyro.plate("row", 3, dim=-2), numpyro.plate("column", 2, dim=-1):
        cell = numpyro.sample("cell", dist.Normal(column, 0.5))
        numpyro.sample("y", dist.Normal(cell, 1.0), obs=y)


def fitted(target, **options):
    method = vi.gradient(vi.StructuredNormal.from_model(target), vi.ReverseKL(), num_draws=8)
    return vi.fit(jax.random.key(0), target, method, **options)


def test_it_has_the_posterior_of_random_effects():
    exact = vi.exact.random_effects(EFFECTS, SES, tau=1.5, prior_sd=2.0)
    fit = fitted(exact.target)
    q = fit.posterior
    np.testing.assert_allclose(q.mean, exact.mean, atol=1e-3)
    np.testing.assert_allclose(q.covariance_matrix, exact.covariance, atol=2e-3)
    draws = q.sample(jax.random.key(1), (50,))
    log_weights = jit(jax.vmap(exact.target.log_density))(draws) - q.log_prob(draws)
    np.testing.assert_allclose(log_weights, exact.log_evidence, atol=0.02)  # no gap, no noise
    np.testing.assert_allclose(fit.params["weights"][0], SES**2 / (SES**2 + 1.5**2), atol=2e-3)


@pytest.mark.slow
def test_it_has_the_posterior_of_a_random_walk():
    one = np.eye(1)
    exact = vi.exact.linear_state_space(
        SERIES[:, None],
        transition=0.8 * one,
        transition_covariance=one,
        emission=one,
        emission_covariance=0.49 * one,
        initial_mean=np.zeros(1),
        initial_covariance=one,
    )
    fit = fitted(vi.from_numpyro(random_walk, SERIES))
    np.testing.assert_allclose(fit.posterior.mean, exact.mean, atol=1e-3)
    np.testing.assert_allclose(fit.posterior.covariance_matrix, exact.covariance, atol=2e-3)
    assert len(fit.params["weights"]) == 2  # one for each step, not one for each pair


@pytest.mark.any_precision
def test_density_draws_and_moments_are_those_of_one_normal():
    """Against NumPyro's multivariate normal, with a matrix built here by hand from the weights."""
    target = vi.from_numpyro(crossed, np.ones((3, 2)))
    guide = vi.StructuredNormal.from_model(target)
    assert guide.names == ("shares", "column_effect", "cell")
    assert guide.shapes == ((2,), (2,), (3, 2))
    params = random_params(guide, target.dim)
    assert guide.parents == ((), (0,), (1,))
    assert [weight.shape for weight in params["weights"]] == [(2, 2), (3, 2)]
    q = guide.distribution(params)
    matrix = np.eye(target.dim)
    column_by_share, cell_by_column = map(np.asarray, params["weights"])
    for column in range(2):
        matrix[2 + column, 0:2] -= column_by_share[column]
        for row in range(3):
            matrix[4 + 2 * row + column, 2 + column] -= cell_by_column[row, column]
    factor = np.linalg.inv(matrix) * np.exp(np.asarray(params["log_scale"]))
    expected = dist.MultivariateNormal(params["location"], covariance_matrix=jnp.asarray(factor @ factor.T))
    tolerance = 1e-4 if params["location"].dtype == jnp.float32 else 1e-10
    draws = jit(lambda key: guide.draw(key, params, 2000).points)(jax.random.key(0))
    np.testing.assert_allclose(q.log_prob(draws[:5]), expected.log_prob(draws[:5]), rtol=tolerance)
    np.testing.assert_allclose(q.entropy(), expected.entropy(), rtol=tolerance)
    np.testing.assert_allclose(q.variance, expected.variance, rtol=tolerance)
    np.testing.assert_allclose(q.covariance_matrix, expected.covariance_matrix, rtol=tolerance, atol=tolerance)
    noise = guide.pull(params, draws)
    errors = 5 / np.sqrt(len(draws))
    np.testing.assert_allclose(np.cov(np.asarray(noise).T), np.eye(target.dim), atol=1.5 * errors)


def test_the_parents_follow_the_model_and_the_data():
    names = ("a", "b", "c")
    chain = {"a": ("a",), "b": ("a", "b"), "c": ("b", "c"), "y": ("c",)}
    assert find_parents(names, chain, True) == ((), (0,), (1,))
    collider = {"a": ("a",), "b": ("b",), "c": ("c",), "y": ("a", "b")}
    assert find_parents(names, collider, True) == ((), (0,), ())
    assert find_parents(names, collider, False) == ((), (), ())
    through_c = {"a": ("a",), "b": ("b",), "c": ("a", "b", "c"), "y": ("c",)}
    assert find_parents(names, through_c, True) == ((), (0,), (0, 1))
    assert find_parents(names, through_c, False) == ((), (), (0, 1))
    summed = {"a": ("a",), "b": ("b",), "c": ("c",), "state": ("a", "state"), "y": ("state", "c")}
    assert find_parents(names, summed, True) == ((), (), (0,))


def test_parameters_grow_with_the_model():
    sizes = []
    for count in (5, 10):
        target = vi.exact.random_effects(np.ones(count), np.ones(count), tau=1.0, prior_sd=1.0).target
        guide = vi.StructuredNormal.from_model(target)
        sizes.append(sum(np.size(leaf) for leaf in jax.tree.leaves(guide.init(jax.random.key(0), start(target.dim)))))
    assert sizes == [2 * 6 + 5, 2 * 11 + 10]


def test_a_step_is_counted_in_present_scales():
    """The model in other units: the same step gives the same guide in those units."""
    guide = vi.StructuredNormal(("a", "b"), ((), (2,)), ((), ("row",)), ((), (0,)))
    params, units = random_params(guide, 3), jnp.array([10.0, 0.1, 100.0])
    step = jax.tree.map(lambda leaf: 0.1 * jnp.ones_like(leaf), params)
    other = {
        "location": units * params["location"],
        "log_scale": params["log_scale"] + jnp.log(units),
        "weights": (params["weights"][0] * units[1:] / units[0],),
    }
    here, there = guide.distribution(guide.move(params, step)), guide.distribution(guide.move(other, step))
    np.testing.assert_allclose(there.mean, units * here.mean, rtol=1e-12)
    scaled = units[:, None] * here.covariance_matrix * units
    np.testing.assert_allclose(there.covariance_matrix, scaled, rtol=1e-12)


def test_it_is_a_plain_value():
    target = vi.from_numpyro(crossed, np.ones((3, 2)))
    guide = vi.StructuredNormal.from_model(target)
    assert guide == vi.StructuredNormal.from_model(target)
    assert pickle.loads(pickle.dumps(guide)) == guide
    assert read(json.loads(json.dumps(Writer().write(guide, "guide"))), {}) == guide  # as vi.save writes it
    with pytest.raises(ValueError, match=r"'cell'\] have 10 unconstrained coordinates, the target has 3"):
        guide.check(3)


def test_bad_structures_are_refused():
    with pytest.raises(ValueError, match="one of each for every site"):
        vi.StructuredNormal(("a",), ((), ()), ((),), ((),))
    with pytest.raises(ValueError, match=r"axes: site 'a' has shape \(2,\), so 1 names"):
        vi.StructuredNormal(("a",), ((2,),), ((),), ((),))
    with pytest.raises(ValueError, match=r"parents: those of site 0 \('a'\) must be earlier sites"):
        vi.StructuredNormal(("a", "b"), ((), ()), ((), ()), ((1,), ()))
    with pytest.raises(TypeError, match="target: expected a target of a NumPyro model"):
        vi.StructuredNormal.from_model(vi.from_log_density(lambda z: -jnp.sum(z**2), dim=1))
