"""The preflight as a part of a fit: it comes first, costs a program once, and can be left out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.compilations import count_compilations
from tests.typecheck import as_users_call_it
from vi_toolkit.preflight import Preflight, preflight

KEY = jax.random.key(0)
METHOD = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), num_draws=5)


def known(centre, z):
    return -0.5 * jnp.sum((z - centre) ** 2)


def half_known(centre, z):
    return -0.5 * (z[0] - centre[0]) ** 2


def target_of(density, centre):
    return vi.from_log_density(jax.tree_util.Partial(density, jnp.asarray(centre)), dim=2)


def test_warnings_come_first_and_stay():
    target = target_of(half_known, [1.0, 2.0])
    fit = vi.fit(KEY, target, METHOD, max_steps=10)
    assert fit.warnings[0].startswith("target: its log density does not change along z[1], ")
    assert fit.warnings[1].startswith("MAX_STEPS")
    assert fit.preflight == preflight(KEY, target, METHOD)
    assert vi.resume(fit, max_steps=10).warnings[0] == fit.warnings[0]
    alone = vi.fit(KEY, target, METHOD, max_steps=10, preflight=False)
    assert alone.warnings == fit.warnings[1:]
    np.testing.assert_array_equal(alone.history["loss"], fit.history["loss"])
    assert alone.preflight == Preflight()


def test_it_costs_one_program_for_all_data_of_a_model():
    first, _ = count_compilations(lambda: preflight(KEY, target_of(known, [1.0, 2.0])))
    second, _ = count_compilations(lambda: preflight(jax.random.key(1), target_of(known, [3.0, 5.0])))
    assert (first, second) == (1, 0)


def test_errors_are_raised_before_a_step():
    nowhere = target_of(known, [jnp.nan, 0.0])
    (words,) = preflight(KEY, nowhere).errors
    assert "argument bound array 0: 1 of 2 entries are NaN or infinite, the first is nan at index 0" in words
    with pytest.raises(ValueError, match="not finite at any point tried as a start"):
        vi.fit(KEY, nowhere, METHOD)
    with pytest.raises(ValueError, match="not finite at any point tried as a start"):  # as the fit's own start says
        vi.fit(KEY, nowhere, METHOD, preflight=False)


def test_parameters_that_are_given_are_where_it_looks():
    """A density with no value about the origin, and a guide that was put where it has one."""
    far = vi.from_log_density(lambda z: jnp.where(z[0] > 1e4, -0.5 * jnp.sum((z - 2e4) ** 2), jnp.nan), dim=1)
    assert len(preflight(KEY, far).errors) == 1
    start = {"location": jnp.array([2e4]), "log_scale": jnp.zeros(1)}
    assert preflight(KEY, far, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), start=start)) == Preflight()
    edge = {"location": jnp.array([1e4]), "log_scale": jnp.zeros(1)}
    found = preflight(KEY, far, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), start=edge))
    assert found.errors == ()
    assert "of 16 first draws of the guide, the log density or its gradient is not finite" in found.warnings[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, target_of(known, [0.0, 0.0])), "key: expected one JAX random key"),
        ((KEY, abs), "target: expected a Target"),
        ((KEY, target_of(known, [0.0, 0.0]), vi.ReverseKL()), "method: expected a Method"),
    ],
    ids=["key", "target", "method"],
)
def test_arguments_of_the_wrong_kind(arguments, words):
    with pytest.raises(TypeError, match=words):
        as_users_call_it(preflight)(*arguments)


def test_a_target_over_whole_numbers_has_nothing_to_look_at():
    mass = vi.from_log_mass(lambda x: -jnp.sum(x.astype(float)), (2, 3))
    assert preflight(KEY, mass) == Preflight()
