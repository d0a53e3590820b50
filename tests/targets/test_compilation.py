"""Data travel as arguments: no program holds them, and other data of the same shape build no program."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from tests.compilations import count_compilations


def regression(X, y=None):
    weights = numpyro.sample("weights", dist.Normal(0.0, 1.0).expand([X.shape[1]]).to_event(1))
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    with numpyro.plate("row", len(X)):
        numpyro.sample("y", dist.Normal(X @ weights, scale), obs=y)


def make(seed, rows=50):
    rng = np.random.default_rng(seed)
    return vi.from_numpyro(regression, rng.normal(size=(rows, 2)), y=rng.normal(size=rows))


def lowered(target):
    function = jax.value_and_grad(lambda target, z: target.log_density(z), argnums=1)
    return jax.jit(function).lower(target, jnp.zeros(target.dim)), jax.make_jaxpr(function)(
        target, jnp.zeros(target.dim)
    )


@pytest.mark.any_precision
def test_the_data_are_the_leaves():
    target = make(0)
    assert sorted(leaf.shape for leaf in jax.tree.leaves(target)) == [(50,), (50, 2)]


@pytest.mark.any_precision
def test_no_program_holds_the_data():
    small, large = lowered(make(0, 50)), lowered(make(0, 5000))
    assert abs(len(large[0].as_text()) - len(small[0].as_text())) < 500  # only the shapes are longer
    assert sum(np.size(constant) for constant in large[1].consts) < 10
    # and the test itself can see data that are built in
    X = np.random.default_rng(0).normal(size=(5000, 2))
    built_in = vi.from_log_density(lambda z: -jnp.sum((jnp.asarray(X) @ z) ** 2), dim=2)
    assert len(lowered(built_in)[0].as_text()) > 50_000


@pytest.mark.no_compilation_cache
def test_a_fit_to_other_data_compiles_nothing():
    def fitted(target):
        method = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), num_draws=4)
        return vi.fit(jax.random.key(0), target, method, max_steps=120)

    targets = make(0), make(1), make(1, rows=51)
    first, one = count_compilations(lambda: fitted(targets[0]))
    second, other = count_compilations(lambda: fitted(targets[1]))
    third, _ = count_compilations(lambda: fitted(targets[2]))
    assert first > 0
    assert second == 0
    assert third > 0  # another shape is another program: the counter counts
    assert np.max(np.abs(one.posterior.mean - other.posterior.mean)) > 0.05  # the data did change


def test_data_of_a_partial_are_leaves():
    def density(data, z):
        return -0.5 * jnp.sum((z - data) ** 2)

    def target(value):
        return vi.from_log_density(jax.tree_util.Partial(density, jnp.full(3, value)), dim=3)

    evaluate = jax.jit(lambda target, z: target.log_density(z))
    assert [leaf.shape for leaf in jax.tree.leaves(target(1.0))] == [(3,)]
    assert float(evaluate(target(1.0), jnp.zeros(3))) == -1.5
    other, point = target(2.0), jnp.zeros(3)
    compiled, value = count_compilations(lambda: float(evaluate(other, point)))
    assert (compiled, value) == (0, -6.0)


def counts_groups(group, y):
    size = len(np.unique(group))  # needs the groups as numbers
    effect = numpyro.sample("effect", dist.Normal(0.0, 1.0).expand([size]).to_event(1))
    numpyro.sample("y", dist.Normal(effect[group], 1.0), obs=y)


def test_a_model_that_needs_its_data_as_numbers_warns_and_works():
    group, y = np.array([0, 0, 1, 2]), np.array([1.0, 2.0, 3.0, 4.0])
    with pytest.warns(UserWarning, match="built into the compiled program"):
        target = vi.from_numpyro(counts_groups, group, y)
    assert target.dim == 3
    assert jax.tree.leaves(target) == []
    expected = sum(dist.Normal(0.0, 1.0).log_prob(jnp.zeros(3))) + dist.Normal(0.0, 1.0).log_prob(y).sum()
    np.testing.assert_allclose(target.log_density(jnp.zeros(3)), expected, rtol=1e-12)
    with pytest.warns(UserWarning, match="built into"):
        again = vi.from_numpyro(counts_groups, group.copy(), y.copy())
    with pytest.warns(UserWarning, match="built into"):
        other = vi.from_numpyro(counts_groups, group, y + 1)
    assert again.program == target.program
    assert hash(again.program) == hash(target.program)
    assert other.program != target.program


@pytest.mark.any_precision
def test_equal_models_have_equal_programs():
    assert make(0).program == make(1).program
    assert hash(make(0).program) == hash(make(1).program)
    assert make(0, rows=51).program == make(0).program  # the shape is the data's


@pytest.mark.any_precision
def test_a_pickled_target_is_the_same():
    target = make(0)
    copy = pickle.loads(pickle.dumps(target))
    z = jnp.array([0.1, -0.4, 0.3])
    assert copy.program == target.program
    assert float(copy.log_density(z)) == float(target.log_density(z))
    assert copy.sites == target.sites
