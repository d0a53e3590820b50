"""Steps in a guide's own coordinates: nothing at zero, an affine composition, and blind to units."""

from functools import partial
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import AUTOGUIDES, GUIDES, log_prob, moments, random_params
from vi_toolkit.guides.full_rank_normal import scale_tril

AFFINE = ["full rank", "Student t"]


@pytest.mark.any_precision
@pytest.mark.parametrize("name", [*GUIDES, "auto diagonal"])
def test_a_zero_step_changes_nothing_that_matters(name):
    guide = (GUIDES | AUTOGUIDES)[name]()
    params = random_params(guide)
    moved = jit(guide.move)(params, jax.tree.map(np.zeros_like, params))
    points = np.random.default_rng(0).normal(size=(4, 2)).astype(np.asarray(jax.tree.leaves(params)[0]).dtype)
    np.testing.assert_allclose(log_prob(guide, moved, points), log_prob(guide, params, points), rtol=1e-5)
    assert jax.tree.structure(moved) == jax.tree.structure(params)


@pytest.mark.parametrize("name", AFFINE)
def test_a_step_composes_affine_maps(name):
    """z = m + L e with e replaced by u + T e is z = (m + L u) + L T e."""
    guide = GUIDES[name]()
    params, step = random_params(guide, 3), random_params(guide, 3, seed=5)
    factor = np.asarray(scale_tril(params))
    change = np.tril(step["lower"], -1) + np.diag(np.exp(step["log_diagonal"]))
    moved = jit(guide.move)(params, step)
    np.testing.assert_allclose(moved["location"], params["location"] + factor @ step["location"], rtol=1e-12)
    np.testing.assert_allclose(scale_tril(moved), factor @ change, rtol=1e-12)


@pytest.mark.parametrize("name", ["mean field", "low rank"])
def test_a_step_is_counted_in_the_present_scale(name):
    guide = GUIDES[name]()
    params, step = random_params(guide, 3), random_params(guide, 3, seed=5)
    moved, scale = guide.move(params, step), np.exp(params["log_scale"])
    np.testing.assert_allclose(moved["location"], params["location"] + scale * step["location"], rtol=1e-12)
    np.testing.assert_allclose(np.exp(moved["log_scale"]), scale * np.exp(step["log_scale"]), rtol=1e-12)


def test_every_component_of_a_mixture_moves_in_its_own_scale():
    guide = vi.NormalMixture(2)
    params, step = random_params(guide, 3), random_params(guide, 3, seed=5)
    moved = jit(guide.move)(params, step)
    for k in range(2):
        component = partial(jax.tree.map, itemgetter(k))
        alone = vi.FullRankNormal().move(component(params["components"]), component(step["components"]))
        for key, value in alone.items():
            np.testing.assert_allclose(moved["components"][key][k], value, rtol=1e-12)
    np.testing.assert_allclose(moved["log_weights"], params["log_weights"] + step["log_weights"], rtol=1e-12)


def test_the_gradient_in_own_coordinates_is_the_factor_transposed_times_the_gradient():
    guide = vi.FullRankNormal()
    params = random_params(guide, 3)
    gradient = jax.tree.map(lambda leaf: jnp.asarray(np.random.default_rng(2).normal(size=leaf.shape)), params)
    zero = jax.tree.map(jnp.zeros_like, params)
    own = jax.vjp(lambda step: guide.move(params, step), zero)[1](gradient)[0]
    factor = np.asarray(scale_tril(params))
    np.testing.assert_allclose(own["location"], factor.T @ gradient["location"], rtol=1e-12)
    below = np.tril(gradient["lower"], -1)
    np.testing.assert_allclose(np.tril(own["lower"], -1), np.tril(factor.T @ below, -1), rtol=1e-10, atol=1e-14)
    # log_diagonal also stretches what lies below it in its column
    np.testing.assert_allclose(
        own["log_diagonal"], gradient["log_diagonal"] + np.sum(below * factor, axis=0), rtol=1e-10
    )


def descend(guide, params, log_density, num_steps=15):
    target = vi.from_log_density(log_density, dim=2)

    @jit
    def step(params, key):
        def loss(step):
            return vi.ReverseKL().loss(key, guide.move(params, step), guide, target, 8)[0]

        gradient = jax.grad(loss)(jax.tree.map(jnp.zeros_like, params))
        return guide.move(params, jax.tree.map(lambda leaf: -0.05 * leaf, gradient))

    for seed in range(num_steps):
        params = step(params, jax.random.key(seed))
    return params


@pytest.mark.parametrize("name", ["mean field", "low rank", "full rank"])
def test_descent_is_blind_to_units_and_axes(name):
    """A target seen through z -> A z + b, begun at the transformed guide, is fitted by the transformed guide."""
    guide = GUIDES[name]()
    params = random_params(guide)
    matrix = np.array([[200.0, 0.0], [3.0 if name in AFFINE else 0.0, 0.05]])
    shift, inverse = np.array([1e3, -5.0]), np.linalg.inv(matrix)

    def density(z):
        return -jnp.sum(jnp.cosh(z - jnp.array([1.0, -0.5]))) - 0.3 * z[0] * z[1]

    begun = {**params, "location": matrix @ params["location"] + shift}
    if name in AFFINE:
        factor = matrix @ np.asarray(scale_tril(params))
        begun |= {"lower": jnp.asarray(np.tril(factor, -1)), "log_diagonal": jnp.log(jnp.diag(factor))}
    else:
        begun |= {"log_scale": params["log_scale"] + jnp.log(jnp.diag(matrix))}
    plain = descend(guide, params, density)
    seen = descend(guide, begun, lambda z: density(inverse @ (z - shift)))
    mean = np.asarray(moments(guide, plain)[0])
    np.testing.assert_allclose(moments(guide, seen)[0], matrix @ mean + shift, rtol=1e-9)
    points = np.random.default_rng(0).normal(size=(5, 2))
    log_determinant = np.linalg.slogdet(matrix)[1]
    np.testing.assert_allclose(
        log_prob(guide, seen, points @ matrix.T + shift), log_prob(guide, plain, points) - log_determinant, rtol=1e-7
    )
    assert np.abs(mean - params["location"]).max() > 0.1  # it did travel
