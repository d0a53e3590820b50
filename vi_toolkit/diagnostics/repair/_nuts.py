"""A few steps of NumPyro's NUTS from given points, all chains in one compiled program."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array
from numpyro.infer.hmc import hmc

from vi_toolkit._types import Draws, Key, Vector
from vi_toolkit.targets import Target

MOST_DOUBLINGS = 8  # of a trajectory
ACCEPT = 0.9  # more than NumPyro's own 0.8: q is taken further where p is curved


class Chains(NamedTuple):
    """What the chains were, after warming up."""

    draws: Array  # (chains, draws, dim)
    steps: Array  # (chains,), leapfrog steps, those of the warm-up included
    divergences: Array  # (chains,), after it


@partial(jax.jit, static_argnames=("num_warmup", "num_draws"))
def run_chains(key: Key, target: Target, starts: Draws, covariance: Any, num_warmup: int, num_draws: int) -> Chains:
    """NUTS with the covariance as its first inverse mass matrix; the warm-up finds step sizes, and mends the matrix."""

    def energy(z: Vector) -> Array:
        value = -target.log_density(z)
        return jnp.where(jnp.isnan(value), jnp.inf, value)

    begin, step = hmc(energy, algo="NUTS")

    def chain(key: Key, start: Vector) -> Chains:
        state = begin(
            start, num_warmup, step_size=0.5, inverse_mass_matrix=covariance, dense_mass=True,
            target_accept_prob=ACCEPT, max_tree_depth=MOST_DOUBLINGS, rng_key=key,
        )  # fmt: skip

        def one(state: Any, _: Any) -> tuple[Any, tuple[Array, Array, Array]]:
            state = step(state)
            return state, (state.z, state.num_steps, state.diverging)

        warm, (_, spent, _) = jax.lax.scan(one, state, None, num_warmup)
        _, (draws, steps, diverging) = jax.lax.scan(one, warm, None, num_draws)
        return Chains(draws, spent.sum() + steps.sum(), diverging.sum())

    return jax.vmap(chain)(jax.random.split(key, len(starts)), starts)
