"""A flow's density against quadrature: its mass, its draws, its reverse KL and the gradient of it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import FLOWS, log_prob, random_params

LINE = np.linspace(-11.0, 11.0, 177)
CELL = (LINE[1] - LINE[0]) ** 2
POINTS = jnp.asarray(np.stack(np.meshgrid(LINE, LINE, indexing="ij"), -1).reshape(-1, 2))
FUNCTIONS = (
    lambda z: z[:, 0],
    lambda z: z[:, 1],
    lambda z: z[:, 0] * z[:, 1],
    lambda z: np.cos(z[:, 0] - 2 * z[:, 1]),
    lambda z: np.tanh(z[:, 0]) ** 2 * z[:, 1],
)
TARGET = vi.from_log_density(lambda z: -jnp.log(jnp.cosh(z - 0.5)).sum() - 0.2 * z[0] ** 2 * z[-1] ** 2, dim=2)
draw = jit(lambda flow, params, num_draws: flow.draw(jax.random.key(0), params, num_draws), static_argnums=(0, 2))


@pytest.mark.parametrize("name", FLOWS)
def test_density_and_draws_agree(name):
    flow = FLOWS[name]()
    params = random_params(flow, spread=0.2)
    mass = np.exp(log_prob(flow, params, POINTS)) * CELL
    np.testing.assert_allclose(mass.sum(), 1.0, rtol=3e-4)  # splines have kinks, which the grid does not see
    draws = draw(flow, params, len(POINTS))
    np.testing.assert_allclose(draws.log_prob, log_prob(flow, params, draws.points), atol=1e-7)
    np.testing.assert_allclose(draws.weights, 1 / len(POINTS), rtol=1e-12)
    for function in FUNCTIONS:
        values, expected = function(np.asarray(draws.points)), mass @ function(np.asarray(POINTS))
        assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(len(values) / 2)  # in mirrored pairs


@pytest.mark.parametrize("name", ["block autoregressive", "triangular spline"])
def test_one_dimension(name):
    flow = FLOWS[name]()
    params = random_params(flow, dim=1, spread=0.2)
    line = np.linspace(-11.0, 11.0, 2001)[:, None]
    mass = np.exp(log_prob(flow, params, line)) * (line[1] - line[0])
    np.testing.assert_allclose(mass.sum(), 1.0, rtol=1e-4)
    points, _, of_draws = draw(flow, params, len(line))
    np.testing.assert_allclose(of_draws, log_prob(flow, params, points), atol=1e-7)
    for function in (lambda z: z[:, 0], lambda z: np.tanh(z[:, 0]) ** 2):
        values = function(np.asarray(points))
        assert abs(values.mean() - mass @ function(line)) < 5 * values.std() / np.sqrt(len(values) / 2)


@partial(jit, static_argnums=0)
def by_quadrature(flow, params):
    """D_KL(q || p) with its gradient through log q at fixed points."""

    def divergence(params):
        log_q = flow.distribution(params).log_prob(POINTS)
        return (jnp.exp(log_q) * (log_q - jax.vmap(TARGET.log_density)(POINTS))).sum() * CELL

    return jax.value_and_grad(divergence)(params)


@partial(jit, static_argnums=0)
def by_draws(flow, params, keys):
    """Estimates of D_KL(q || p) with their gradients, log q from the draws."""

    def estimate(params, key):
        points, weights, log_q = flow.draw(key, params, 16)
        return weights @ (log_q - jax.vmap(TARGET.log_density)(points))

    return jax.vmap(jax.value_and_grad(estimate), (None, 0))(params, keys)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in FLOWS if name != "affine coupling"]


@pytest.mark.parametrize("name", ["affine coupling", *SLOW])
def test_gradients_through_draws_are_unbiased(name):
    flow = FLOWS[name]()
    params = random_params(flow, spread=0.2)
    estimates = by_draws(flow, params, jax.random.split(jax.random.key(0), 500))
    truths = by_quadrature(flow, params)
    for values, truth in zip(jax.tree.leaves(estimates), jax.tree.leaves(truths), strict=True):
        error = np.std(values, axis=0) / np.sqrt(len(values))
        assert np.all(np.abs(np.mean(values, axis=0) - truth) <= 5 * error + 2e-3)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(truths[1]["flow"])) > 0.05  # something to be wrong about
