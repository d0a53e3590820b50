"""Sums over the two halves of a window of steps, for methods that report averages."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution

from vi_toolkit._types import Key, Params, Scalar

NUM_COMPARED = 256  # draws by which two distributions are compared


class Averages(NamedTuple):
    first_sum: Params  # of the parameters over the first half of the window
    first_steps: Scalar
    sum: Params  # over the present half
    steps: Scalar
    before: Params  # the average over the window before


def no_averages(params: Params, dtype: Any) -> Averages:
    zeros, none = jax.tree.map(jnp.zeros_like, params), jnp.zeros((), dtype)
    return Averages(zeros, none, zeros, none, params)


def begin_half(averages: Averages) -> Averages:
    zeros = jax.tree.map(jnp.zeros_like, averages.sum)
    return averages._replace(
        first_sum=averages.sum, first_steps=averages.steps, sum=zeros, steps=jnp.zeros_like(averages.steps)
    )


def add(averages: Averages, params: Params) -> Averages:
    return averages._replace(sum=jax.tree.map(jnp.add, averages.sum, params), steps=averages.steps + 1)


def halves_and_whole(averages: Averages) -> tuple[Params, Params, Params]:
    """The averages over the first half, over the second half, and over the whole window."""

    def mean(total: Params, steps: Scalar) -> Params:
        return jax.tree.map(lambda x: x / jnp.maximum(steps, 1), total)

    both = jax.tree.map(jnp.add, averages.first_sum, averages.sum)
    return (
        mean(averages.first_sum, averages.first_steps),
        mean(averages.sum, averages.steps),
        mean(both, averages.first_steps + averages.steps),
    )


def divergence(key: Key, before: Distribution, after: Distribution) -> Scalar:
    """D(before || after) in nats, estimated by the mean of r - 1 - log r, r = after / before: never negative."""
    draws = before.sample(key, (NUM_COMPARED,))
    log_ratio = after.log_prob(draws) - before.log_prob(draws)
    return (jnp.expm1(log_ratio) - log_ratio).mean()
