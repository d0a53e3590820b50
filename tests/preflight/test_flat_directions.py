"""Directions along which a density does not change: found, named, and not seen where there are none."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from vi_toolkit.preflight import Preflight, preflight
from vi_toolkit.preflight._flat import _reduced, flat_directions, in_words
from vi_toolkit.preflight._look import look_around, num_looks

KEY = jax.random.key(0)
FLAT = dist.ImproperUniform(dist.constraints.real, (), ())


def gaussian(root, z):
    """exp(-|root z|^2 / 2): flat along the null space of ``root``."""
    return -0.5 * jnp.sum((root @ z) ** 2)


def directions(root):
    root = jnp.asarray(root, jnp.result_type(float))
    target = vi.from_log_density(jax.tree_util.Partial(gaussian, root), dim=root.shape[1])
    return target, flat_directions(target, look_around(KEY, target))


@pytest.mark.any_precision
@pytest.mark.parametrize(
    ("root", "words"),
    [
        ([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], ["z[0] - z[1]"]),
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], ["z[2]"]),
        ([[1.0, 2.0, 4.0]], ["z[0] - 0.25 z[2]", "z[1] - 0.5 z[2]"]),
        ([[1.0, 0.5]], ["0.5 z[0] - z[1]"]),
        (np.eye(3), []),
        (np.zeros((1, 2)), ["z[0]", "z[1]"]),
    ],
)
def test_the_null_space_of_a_gaussian(root, words):
    target, found = directions(root)
    np.testing.assert_allclose(np.asarray(root) @ found.T, 0.0, atol=1e-5)
    assert sorted(in_words(target, direction) for direction in found) == sorted(words)


@pytest.mark.parametrize("units", [1e-4, 1e4])
def test_units_do_not_hide_it(units):
    _, found = directions([[1.0, units, 0.0], [0.0, 0.0, units]])
    assert len(found) == 1
    np.testing.assert_allclose(found[0, 0] + units * found[0, 1], 0.0, atol=1e-9 * units)


@pytest.mark.any_precision
def test_directions_that_are_one_but_for_rounding_are_counted_once():
    rows = np.array([[1.0, 0.5, 0.0, 0.0], [2.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 2.0]])
    np.testing.assert_array_equal(_reduced(rows), [[1.0, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])


def weakly_known(sd, y):
    alpha, beta = (numpyro.sample(name, dist.Normal(0.0, sd)) for name in ("alpha", "beta"))
    numpyro.sample("y", dist.Normal(alpha + beta, 1.0), obs=y)


@pytest.mark.parametrize("sd", [1.0, 1e3, 1e6])
def test_a_proper_prior_is_not_taken_for_none(sd):
    """Its posterior is proper, though data say nothing of alpha - beta and the gradients along it are next to zero."""
    assert preflight(KEY, vi.from_numpyro(weakly_known, sd, np.ones(20))) == Preflight()


def centred(y):
    mean, tau = numpyro.sample("mean", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("group", len(y)):
        numpyro.sample("y", dist.Normal(numpyro.sample("theta", dist.Normal(mean, tau)), 10.0), obs=y)


def own_variances(y):
    mean = numpyro.sample("mean", dist.Normal(jnp.array([-3.0, 3.0]), 2.0).to_event(1))
    scale = numpyro.sample("scale", dist.HalfNormal(2.0).expand([2]).to_event(1))
    numpyro.sample("y", dist.MixtureSameFamily(dist.Categorical(jnp.ones(2) / 2), dist.Normal(mean, scale)), obs=y)


@pytest.mark.parametrize("model", [centred, own_variances])
def test_a_joint_density_without_bound_is_no_fault_where_the_posterior_is_proper(model):
    y = np.random.default_rng(0).normal(0.0, 3.0, 8)
    assert preflight(KEY, vi.from_numpyro(model, y)) == Preflight()


def test_positive_unknowns_are_named_as_they_are_moved():
    def model(y):
        a = numpyro.sample("a", dist.ImproperUniform(dist.constraints.positive, (), ()))
        b = numpyro.sample("b", dist.ImproperUniform(dist.constraints.positive, (), ()))
        numpyro.factor("no Jacobian", -jnp.log(a) - jnp.log(b))
        numpyro.sample("y", dist.Normal(a * b, 1.0), obs=y)

    (words,) = preflight(KEY, vi.from_numpyro(model, 2.0)).warnings
    assert "along log a - log b, " in words


@pytest.mark.parametrize(("dim", "looks"), [(1, 12), (8, 12), (10, 14), (300, 304), (301, 12)])
def test_there_are_more_looks_than_coordinates_up_to_300(dim, looks):
    assert num_looks(dim) == looks


def test_a_record_is_read_line_by_line():
    assert str(Preflight(("one",), ("two", "three"))) == "error: one\nwarning: two\nwarning: three"
    assert str(Preflight()) == "nothing found"
