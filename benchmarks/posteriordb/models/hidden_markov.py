"""A hidden Markov chain with two states and normal emissions of sd 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logsumexp
from numpyro.distributions import constraints

from benchmarks.posteriordb.models._flat import flat_on


def hmm_example(y: Any) -> None:
    """p(y) = sum over paths s of prod_t N(y_t; mu_{s_t}, 1) prod_{t>1} A_{s_{t-1}, s_t}; row j of A is theta_j."""
    theta1 = numpyro.sample("theta1", dist.Dirichlet(jnp.ones(2)))
    theta2 = numpyro.sample("theta2", dist.Dirichlet(jnp.ones(2)))
    first = numpyro.sample("first", flat_on(constraints.positive))
    gap = numpyro.sample("gap", flat_on(constraints.positive))
    mu = numpyro.deterministic("mu", jnp.stack([first, first + gap]))
    numpyro.factor("mu_prior", dist.Normal(jnp.array([3.0, 10.0]), 1.0).log_prob(mu).sum())
    transitions = jnp.log(jnp.stack([theta1, theta2]))
    emissions = dist.Normal(mu, 1.0).log_prob(y[:, None])  # (times, states)

    def step(forward: Any, emission: Any) -> tuple[Any, None]:
        return logsumexp(forward[:, None] + transitions, axis=0) + emission, None

    # the first state has weight 1 in each state, as the database's model has it
    forward, _ = jax.lax.scan(step, emissions[0], emissions[1:], unroll=4)
    numpyro.factor("y", logsumexp(forward))


def hmm_example_sites(draw: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The draws hold the ordered means; |d mu / d (first, gap)| = 1."""
    return {**draw, "first": draw["mu"][0], "gap": draw["mu"][1] - draw["mu"][0]}


def hmm_example_arguments(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"y": np.asarray(data["y"], np.float64)}
