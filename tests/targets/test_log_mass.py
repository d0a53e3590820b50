"""Targets over finitely many points, and the refusals of what does not go with them."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.compilations import count_compilations, jit

pytestmark = pytest.mark.any_precision

DTYPE = jnp.result_type(float)
FIELD = np.array([[0.1, 0.7, -0.3], [1.2, -0.4, 0.5]])


def log_mass(field, x):
    return field[0, x[0]] + field[1, x[1]] + 0.5 * (x[0] == x[1])


def target(field=FIELD, **options):
    return vi.from_log_mass(jax.tree_util.Partial(log_mass, jnp.asarray(field, DTYPE)), (3, 2), **options)


def test_the_log_density_is_that_of_the_function_at_whole_numbers():
    for z in ([0, 0], [2, 1], [1, 1]):
        value = target().log_density(jnp.asarray(z, DTYPE))
        assert value.dtype == DTYPE
        np.testing.assert_allclose(value, FIELD[0, z[0]] + FIELD[1, z[1]] + 0.5 * (z[0] == z[1]), rtol=1e-6)


@pytest.mark.parametrize("z", [[0.5, 0.0], [3.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [np.nan, 0.0]])
def test_other_points_are_impossible_and_say_why(z):
    point = jnp.asarray(z, DTYPE)
    assert float(target().log_density(point)) == -np.inf
    assert "whole numbers" in target().explain(point)


def test_sites_and_names():
    found = target(site="states", log_evidence=1.5)
    assert (found.dim, found.num_values, found.log_evidence) == (2, (3, 2), 1.5)
    sites = found.constrain(jnp.asarray([2.0, 1.0], DTYPE))
    assert list(sites) == ["states"]
    assert np.issubdtype(sites["states"].dtype, np.integer)
    back, log_jacobian = found.unconstrain(sites)
    np.testing.assert_array_equal(back, [2.0, 1.0])
    assert (back.dtype, float(log_jacobian)) == (DTYPE, 0.0)
    assert found.observed() == found.log_likelihood(back) == found.dependencies() == found.dims == {}
    assert found.prior_draw(jax.random.key(0)) is None


def test_one_coordinate():
    one = vi.from_log_mass(lambda x: -1.0 * x[0], (4,))
    assert float(one.log_density(jnp.asarray([3.0], DTYPE))) == -3.0


def test_equal_targets_are_one_program():
    evaluate = jit(lambda target, z: target.log_density(z))
    z = jnp.asarray([1.0, 0.0], DTYPE)
    first = evaluate(target(), z)
    compiled, second = count_compilations(lambda: evaluate(target(FIELD + 1.0), z))
    assert compiled == 0
    np.testing.assert_allclose(second, first + 2.0, rtol=1e-6)
    copy = pickle.loads(pickle.dumps(target()))
    assert copy.program == target().program
    assert float(copy.log_density(z)) == float(first)


@pytest.mark.parametrize(
    ("f", "num_values", "error", "words"),
    [
        (3.0, (2,), TypeError, "f: expected a function"),
        (lambda x: x, (2, 2), TypeError, r"f: expected one real number \(shape \(\)\) at one point of 2 whole numbers"),
        (lambda x: x.sum(), (2, 2), TypeError, "f: expected one real number"),  # a whole one
        (lambda x: [0.0, 1.0][x[0]], (2,), TypeError, "f: JAX could not trace it .* whole numbers"),
        (lambda x: 1.0 * x[0], 2, TypeError, "num_values: expected how many values"),
        (lambda x: 1.0 * x[0], (0,), ValueError, r"num_values\[0\]: expected at least 1"),
    ],
)
def test_bad_input_is_refused(f, num_values, error, words, without_type_checks):
    with pytest.raises(error, match=words):
        vi.from_log_mass(f, num_values)


def test_guide_and_target_must_be_over_the_same_points(key):
    continuous = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2)
    objective = vi.ReverseKL(vi.estimators.score_function)
    with pytest.raises(ValueError, match=r"guide: FullRankNormal\(\) is over R\^2, .* numbers of \(3, 2\) values"):
        vi.fit(key, target(), vi.gradient(vi.FullRankNormal(), objective))
    with pytest.raises(ValueError, match=r"over whole numbers of \(2, 2\) values, and the target over .*\(3, 2\)"):
        vi.fit(key, target(), vi.gradient(vi.MeanFieldCategorical((2, 2)), objective))
    with pytest.raises(ValueError, match=r"and the target over R\^2.*vi.from_log_mass"):
        vi.fit(key, continuous, vi.gradient(vi.MeanFieldCategorical((2, 2)), objective))
    with pytest.raises(ValueError, match=r"target: vi.exact.grid asks for a density on R\^dim, .* of \(3, 2\) values"):
        vi.exact.grid(target())
    with pytest.raises(ValueError, match=r"target: vi.exact.reference asks for a density on R\^dim"):
        vi.exact.reference(key, target())
    with pytest.raises(ValueError, match="has 3 coordinates, and the target 2"):
        vi.fit(key, target(), vi.gradient(vi.MeanFieldCategorical((3, 2, 2)), objective))
