"""Why a density is not finite: the site, its kind, the entry, its value, and the parameter that is wrong."""

import re

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi


def in_a_plate(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", 3):
        numpyro.sample("y", dist.Normal(mean, jnp.array([1.0, -1.0, 1.0])), obs=y)


def of_vectors(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", 3):
        numpyro.sample("y", dist.Normal(jnp.array([mean, jnp.nan]), 1.0).to_event(1), obs=y)


def of_shares(y):
    numpyro.sample("y", dist.Dirichlet(jnp.exp(numpyro.sample("mean", dist.Normal(0.0, 1.0))) * jnp.ones(2)), obs=y)


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        (
            in_a_plate,
            np.arange(3.0),
            r"'y' \(Normal\): 1 of 3 .* first nan, for the value 1.0 at index 1, with scale -1.0 ",
        ),
        (
            of_vectors,
            np.ones((3, 2)),
            r"'y' \(Normal\): 3 of 3 .* first nan, for the value \[1. 1.\] at index 0, with loc nan",
        ),
        (
            of_shares,
            np.array([[0.5, 0.5], [0.5, 0.9]]),
            r"'y' \(Dirichlet\): 1 of 2 .*value \[0.5 0.9\] at index 1, which is ",
        ),
    ],
)
def test_the_entry_and_the_parameter_are_named(model, data, words):
    target = vi.from_numpyro(model, data)
    said = target.explain(jnp.array([0.25]))
    assert re.search(words, said), said
    assert said.endswith("(at mean = 0.25)")


def test_where_only_the_gradient_fails():
    target = vi.from_numpyro(lambda: numpyro.factor("root", jnp.sqrt(numpyro.sample("mean", dist.Normal(0.0, 1.0)))))
    assert target.explain(jnp.array([0.0])).startswith("every site is finite, but the gradient")
