"""Every part under jit, vmap, grad, pickling, pytree round trips and repetition, in both precisions.

The parts stand in `tests/registry.py`, a line each.
"""

import pickle
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.compilations import count_compilations, jit
from tests.registry import (
    AUTOGUIDES,
    ESTIMATORS,
    GUIDES,
    METHODS,
    NO_PICKLE,
    OBJECTIVES,
    PUT_TOGETHER,
    TARGETS,
    log_prob,
    random_params,
)

pytestmark = pytest.mark.any_precision

# An autoguide equals itself alone: built once, so that its programs are compiled once.
ALL_GUIDES = GUIDES | {name: cache(build) for name, build in AUTOGUIDES.items()}
DTYPE = jnp.result_type(float)
FAMILIES = [name for name in OBJECTIVES if name not in ESTIMATORS]
# A program each. The quick ones hold every guide and every objective; two guides, a normal and a mixture, meet them all
# in float64, one in float32.
MEET_ALL = {"full rank", "mixture"} if jax.config.read("jax_enable_x64") else {"full rank"}


def pair(guide, objective):
    quick = guide in MEET_ALL or objective in FAMILIES[:2]
    return pytest.param(guide, objective, marks=() if quick else pytest.mark.slow)


PAIRS = [
    *(
        pair(guide, objective)
        for guide in GUIDES
        for objective in (FAMILIES[:2] if guide in PUT_TOGETHER else FAMILIES)
    ),
    *(pair(guide, objective) for guide in AUTOGUIDES for objective in FAMILIES[:1]),
    *(pair("full rank", estimator) for estimator in ESTIMATORS),
]
KEYS = jax.random.split(jax.random.key(0), 3)


def value_and_gradient(objective, guide, params, target, key):
    """Loss, facts and gradient at one key."""
    return jax.value_and_grad(lambda params: objective.loss(key, params, guide, target, 4), has_aux=True)(params)


one = jit(value_and_gradient, static_argnames="guide")


@partial(jit, static_argnames="guide")
def many(objective, guide, params, target, keys):
    return jax.vmap(lambda key: value_and_gradient(objective, guide, params, target, key))(keys)


def same_tree(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize(("guide_name", "objective_name"), PAIRS)
def test_a_guide_with_an_objective(guide_name, objective_name):
    guide, objective, target = ALL_GUIDES[guide_name](), OBJECTIVES[objective_name](), TARGETS["log density"]()
    params = random_params(guide)
    (losses, facts), gradients = many(objective, guide, params, target, KEYS)
    assert set(facts) == set(objective.tracked)
    for leaf, parameter in zip(jax.tree.leaves(gradients), jax.tree.leaves(params), strict=True):
        assert (leaf.shape, leaf.dtype) == ((3, *parameter.shape), DTYPE)
        assert np.all(np.isfinite(leaf))
    assert losses.dtype == DTYPE
    assert len(np.unique(losses)) == 3  # three keys, three estimates
    # A lane is what the same key gives alone, and what the parts give when they are built again: no new program.
    again = OBJECTIVES[objective_name]()
    rebuilt = ALL_GUIDES[guide_name]() if guide_name in GUIDES else guide
    compiled, ((repeated, _), _) = count_compilations(
        lambda: many(again, rebuilt, params, TARGETS["log density"](), KEYS)
    )
    np.testing.assert_array_equal(repeated, losses)
    assert compiled == 0


@pytest.mark.parametrize("name", ALL_GUIDES)
def test_a_guide(name):
    guide = ALL_GUIDES[name]()
    params, target = random_params(guide), TARGETS["log density"]()
    # vmap and jit change nothing but speed
    (lanes, _), lane_gradients = many(vi.ReverseKL(), guide, params, target, KEYS)
    (alone, _), gradient = one(vi.ReverseKL(), guide, params, target, KEYS[1])
    tolerance = 1e-4 if jnp.float32 == DTYPE else 1e-10
    np.testing.assert_allclose(lanes[1], alone, rtol=tolerance)
    for leaf, other in zip(jax.tree.leaves(lane_gradients), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(leaf[1], other, rtol=10 * tolerance, atol=10 * tolerance)
    # parameters are a pytree of floats, and nothing else
    leaves, structure = jax.tree.flatten(params)
    assert {leaf.dtype for leaf in leaves} == {DTYPE}
    same_tree(jax.tree.unflatten(structure, leaves), params)
    same_tree(pickle.loads(pickle.dumps(params)), params)
    assert guide == ALL_GUIDES[name]() if name in GUIDES else guide == guide.__class__(guide.autoguide)
    assert hash(guide) == hash(ALL_GUIDES[name]() if name in GUIDES else guide.__class__(guide.autoguide))
    if name not in NO_PICKLE:
        copy = pickle.loads(pickle.dumps(guide))
        points = jnp.zeros((1, 2))
        np.testing.assert_array_equal(log_prob(copy, params, points), log_prob(guide, params, points))


def test_guides_of_different_settings_differ():
    guides = [build() for build in GUIDES.values()] + [vi.LowRankNormal(2), vi.NormalMixture(4), vi.StudentT(3.0)]
    assert len(set(guides)) == len(guides)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective(name):
    objective, again = OBJECTIVES[name](), OBJECTIVES[name]()
    leaves, structure = jax.tree.flatten(objective)
    same_tree(jax.tree.unflatten(structure, leaves), objective)
    assert jax.tree.structure(again) == structure
    assert hash(jax.tree.structure(again)) == hash(structure)
    same_tree(pickle.loads(pickle.dumps(objective)), objective)
    assert objective.gradients_per_step(30) in (0.0, 10.0, 30.0, 60.0, 90.0)
    assert all(leaf.dtype == DTYPE for leaf in leaves)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target(name):
    target, again = TARGETS[name](), TARGETS[name]()
    z = jnp.array([0.3, -0.8])
    evaluate = jit(lambda target, z: (jax.value_and_grad(target.log_density)(z), target.constrain(z)))
    (value, gradient), sites = evaluate(target, z)
    np.testing.assert_allclose(value, target.log_density(z), rtol=1e-5)
    step = 1e-3 * jnp.asarray(np.eye(2), DTYPE)
    slopes = [(float(target.log_density(z + d)) - float(target.log_density(z - d))) / 2e-3 for d in step]
    np.testing.assert_allclose(gradient, slopes, rtol=2e-2 if jnp.float32 == DTYPE else 1e-5)
    batch = jax.vmap(target.log_density)(jnp.stack([z, 2 * z]))
    np.testing.assert_allclose(batch, [value, target.log_density(2 * z)], rtol=1e-5)
    assert value.dtype == gradient.dtype == DTYPE
    assert sum(np.size(value) for value in sites.values()) == 2
    # equal parts are one program
    compiled, _ = count_compilations(lambda: evaluate(again, z))
    assert compiled == 0
    assert target.program == again.program
    assert hash(target.program) == hash(again.program)
    leaves, structure = jax.tree.flatten(target)
    same_tree(jax.tree.unflatten(structure, leaves), target)
    copy = pickle.loads(pickle.dumps(target))
    assert float(copy.log_density(z)) == float(target.log_density(z))


@pytest.mark.parametrize("name", METHODS)
def test_a_method(name):
    def fitted():
        return vi.fit(jax.random.key(0), TARGETS["NumPyro model"](), METHODS[name](), max_steps=20)

    fit = fitted()
    compiled, again = count_compilations(fitted)
    assert compiled == 0
    same_tree(again.params, fit.params)
    assert METHODS[name]() == METHODS[name]()
    assert hash(METHODS[name]()) == hash(METHODS[name]())
    leaves, structure = jax.tree.flatten(METHODS[name]())
    assert jax.tree.unflatten(structure, leaves) == METHODS[name]()
    assert {leaf.dtype for leaf in jax.tree.leaves(fit.params)} == {DTYPE}
    assert fit.posterior.event_shape == (2,)
    same_tree(pickle.loads(pickle.dumps(fit)).params, fit.params)
