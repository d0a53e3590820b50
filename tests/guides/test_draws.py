"""Draws that carry gradients: expectations and their gradients are unbiased, and pairs mirror each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import AUTOGUIDES, GUIDES, moments, random_params

SLOPE, CURVATURE = jnp.array([1.0, -0.5]), jnp.array([0.3, 0.7])


def quadratic(z):
    return z @ SLOPE + z**2 @ CURVATURE


def exact(guide, params):
    """E_q of the quadratic from the mean and variance that NumPyro states."""
    q = guide.distribution(params)
    return q.mean @ SLOPE + (q.variance + q.mean**2) @ CURVATURE


@pytest.mark.parametrize("name", GUIDES)
def test_expectations_and_their_gradients_are_unbiased(name):
    guide = GUIDES[name]()
    params = random_params(guide)

    def estimate(params, key):
        points, weights, _ = guide.draw(key, params, 5)
        return weights @ quadratic(points)

    keys = jax.random.split(jax.random.key(1), 4000)
    estimates = jit(jax.vmap(jax.value_and_grad(estimate), (None, 0)))(params, keys)
    expected = jit(jax.value_and_grad(lambda params: exact(guide, params)))(params)
    for values, truth in zip(jax.tree.leaves(estimates), jax.tree.leaves(expected), strict=True):
        error = np.std(values, axis=0) / np.sqrt(len(keys))
        assert np.all(np.abs(np.mean(values, axis=0) - truth) <= 5 * error + 1e-9)
    for leaf in jax.tree.leaves(expected):
        assert np.abs(leaf).max() > 1e-3  # each gradient had something to be wrong about


@pytest.mark.any_precision
@pytest.mark.parametrize("name", [*GUIDES, "auto diagonal"])
def test_weights_are_shares(name):
    guide = (GUIDES | AUTOGUIDES)[name]()
    points, weights, _ = jit(lambda params: guide.draw(jax.random.key(0), params, 7))(random_params(guide))
    assert points.shape == (len(weights), 2)
    assert len(weights) >= 7
    assert np.all(np.asarray(weights) >= 0)
    np.testing.assert_allclose(np.sum(weights), 1.0, rtol=1e-6)


@pytest.mark.parametrize("name", ["mean field", "full rank", "low rank", "Student t"])
@pytest.mark.parametrize("num_draws", [7])
def test_pairs_mirror_each_other(name, num_draws):
    guide = GUIDES[name]()
    params = random_params(guide)
    points, _, _ = jit(guide.draw, static_argnums=2)(jax.random.key(0), params, num_draws)
    half = -(-num_draws // 2)
    assert len(points) == num_draws
    np.testing.assert_allclose(
        (points[: num_draws - half] + points[half:]) / 2, np.tile(params["location"], (num_draws - half, 1)), rtol=1e-12
    )
    assert np.std(np.asarray(points[:half]), axis=0).min() > 0.1


def test_the_mean_of_a_mixture_is_exact_from_one_pair_of_each_component():
    """Stratified and mirrored: linear functions have no noise at all, nor have their gradients."""
    guide = vi.NormalMixture(3)
    params = random_params(guide)
    points, weights, _ = jit(guide.draw, static_argnums=2)(jax.random.key(0), params, 6)
    np.testing.assert_allclose(weights @ points, moments(guide, params)[0], rtol=1e-10)

    def estimate(log_weights, key):
        points, weights, _ = guide.draw(key, {**params, "log_weights": log_weights}, 6)
        return (weights @ points)[0]

    expected = jit(jax.grad(lambda w: guide.distribution({**params, "log_weights": w}).mean[0]))(params["log_weights"])
    gradients = jit(jax.vmap(jax.grad(estimate), (None, 0)))(
        params["log_weights"], jax.random.split(jax.random.key(1), 3)
    )
    np.testing.assert_allclose(gradients, np.tile(expected, (3, 1)), rtol=1e-9)


def test_draws_come_from_every_component_equally():
    guide = vi.NormalMixture(3, covariance=vi.MeanFieldNormal())
    far = {"location": jnp.array([[-100.0], [0.0], [100.0]]), "log_scale": jnp.zeros((3, 1))}
    points, weights, _ = guide.draw(
        jax.random.key(0), {"log_weights": jnp.log(jnp.array([0.7, 0.2, 0.1])), "components": far}, 8
    )
    nearest = np.round(np.asarray(points[:, 0]) / 100).astype(int)
    assert len(points) == 9
    for place, weight in zip((-1, 0, 1), (0.7, 0.2, 0.1), strict=True):
        assert np.sum(nearest == place) == 3
        np.testing.assert_allclose(np.sum(np.asarray(weights)[nearest == place]), weight, rtol=1e-12)
