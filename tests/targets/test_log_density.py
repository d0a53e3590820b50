"""Targets from a function."""

import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi


def standard(z):
    return -0.5 * jnp.sum(z**2)


@pytest.mark.any_precision
def test_value_sites_and_evidence():
    target = vi.from_log_density(
        standard, dim=3, constrain=lambda z: {"b": jnp.exp(z[:2]), "a": z[2]}, log_evidence=2.5
    )
    assert float(target.log_density(jnp.array([1.0, 2.0, 0.0]))) == -2.5
    assert {site.name: site.shape for site in target.sites} == {"b": (2,), "a": ()}
    np.testing.assert_allclose(target.constrain(jnp.array([0.0, 1.0, 3.0]))["b"], [1.0, np.e], rtol=1e-6)
    assert target.log_evidence == 2.5
    assert (target.observed(), target.log_likelihood(jnp.zeros(3))) == ({}, {})
    assert vi.from_log_density(standard, dim=3).sites[0].name == "z"


@pytest.mark.parametrize(
    ("f", "kwargs", "error", "words"),
    [
        (3.0, {"dim": 2}, TypeError, r"f: expected a function of one point of shape \(2,\), got float 3.0"),
        (standard, {"dim": 2, "constrain": 1}, TypeError, "constrain: expected a function"),
        (standard, {"dim": 0}, ValueError, "dim: expected at least 1"),
        (standard, {"dim": 2.0}, TypeError, "dim: expected a whole number"),
        (standard, {"dim": True}, TypeError, "dim: expected a whole number"),
        (lambda z: z**2, {"dim": 2}, TypeError, r"f: expected one real number .* shape \(2,\) and dtype"),
        (lambda z: jnp.sum(z > 0), {"dim": 2}, TypeError, "f: expected one real number .* dtype int"),
        (lambda z: (z.sum(), 1.0), {"dim": 2}, TypeError, "f: expected one real number .* got tuple"),
        (lambda z: float(z[0]), {"dim": 2}, TypeError, r"f: JAX could not trace it at one point of shape \(2,\)"),
        (
            lambda z: z[0] if z[0] > 0 else z[1],
            {"dim": 2},
            TypeError,
            "f: JAX could not trace it.*Write f with jax.numpy",
        ),
        (lambda x, y: x.sum(), {"dim": 2}, TypeError, "f: JAX could not trace it.*one point at a time"),
        (standard, {"dim": 2, "constrain": lambda z: z}, TypeError, "constrain: expected it to return a dict"),
        (standard, {"dim": 2, "constrain": lambda z: {1: z}}, TypeError, "constrain: expected it to return a dict"),
        (standard, {"dim": 2, "constrain": np.exp}, TypeError, "constrain: JAX could not trace it|return a dict"),
    ],
)
def test_what_is_refused(without_type_checks, f, kwargs, error, words):
    with pytest.raises(error, match=f"(?s){words}"):
        vi.from_log_density(f, **kwargs)
