"""The way back from named sites to the flat vector, what depends on what, and targets as hashable objects."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from tests.compilations import jit

X, Y = np.array([1.0, 2.0, 3.0]), np.array([0.3, -1.2, 2.5])


def model(x, y):
    top = numpyro.sample("top", dist.HalfNormal(2.0))
    inside = numpyro.sample("inside", dist.Uniform(-1.0, top))
    shares = numpyro.sample("shares", dist.Dirichlet(jnp.ones(3)))
    with numpyro.plate("row", len(y)):
        effect = numpyro.sample("effect", dist.Normal(inside, 1.0))
        numpyro.sample("y", dist.Normal(effect * x + shares[0], 1.0), obs=y)


@pytest.mark.any_precision
def test_there_and_back_with_the_jacobian_of_autodiff():
    """The last share follows from the others, so the Jacobian is that of the rest."""
    target = vi.from_numpyro(model, X, Y)
    z = jnp.asarray(np.random.default_rng(0).normal(size=target.dim), jnp.result_type(float))

    def free(z):
        sites = target.constrain(z)
        return jnp.concatenate([sites["top"][None], sites["inside"][None], sites["shares"][:2], sites["effect"]])

    (back, log_jacobian), slopes = jit(lambda z: (target.unconstrain(target.constrain(z)), jax.jacobian(free)(z)))(z)
    tolerance = 1e-5 if z.dtype == jnp.float32 else 1e-12
    np.testing.assert_allclose(back, z, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(log_jacobian, np.linalg.slogdet(np.asarray(slopes))[1], rtol=10 * tolerance)
    assert log_jacobian.dtype == z.dtype


def test_a_plain_log_density_has_a_way_back_where_it_is_known():
    plain = vi.from_log_density(lambda z: -jnp.sum(z**2), dim=2)
    z, log_jacobian = plain.unconstrain({"z": jnp.array([1.0, 2.0])})
    np.testing.assert_array_equal(z, [1.0, 2.0])
    assert float(log_jacobian) == 0.0
    named = vi.from_log_density(lambda z: -jnp.sum(z**2), dim=2, constrain=lambda z: {"x": jnp.exp(z)})
    with pytest.raises(ValueError, match="constrain of its own, whose inverse is not known"):
        named.unconstrain({"x": jnp.ones(2)})
    assert plain.dependencies() == {}


def test_what_each_term_depends_on():
    assert vi.from_numpyro(model, X, Y).dependencies() == {
        "top": ("top",),
        "inside": ("top", "inside"),
        "shares": ("shares",),
        "effect": ("inside", "effect"),
        "y": ("shares", "effect"),
    }


def test_a_frozen_target_is_equal_by_content():
    target = vi.from_numpyro(model, X, Y)
    frozen, again = target.frozen(), vi.from_numpyro(model, X.copy(), Y.copy()).frozen()
    assert frozen == again
    assert hash(frozen) == hash(again)
    assert frozen != vi.from_numpyro(model, X, Y + 1.0).frozen()
    z = jnp.zeros(target.dim)
    copy = pickle.loads(pickle.dumps(frozen))
    assert float(copy.target.log_density(z)) == float(target.log_density(z))
