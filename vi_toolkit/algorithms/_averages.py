"""Sums over the two halves of a window of steps, for methods that report averages."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array
from numpyro.distributions import Distribution

from vi_toolkit._types import Key, Params, Scalar

NUM_COMPARED = 256  # draws by which two distributions are compared


class Half(NamedTuple):
    """Sums over half a window, of the parameters less those of the window before."""

    sum: Params
    squares: Params
    steps: Scalar


class Averages(NamedTuple):
    first: Half
    present: Half
    before: Params  # the average over the window before


def no_averages(params: Params, dtype: Any) -> Averages:
    empty = _empty(params, jnp.zeros((), dtype))
    return Averages(empty, empty, params)


def _empty(params: Params, none: Scalar) -> Half:
    zeros = jax.tree.map(jnp.zeros_like, params)
    return Half(zeros, zeros, none)


def begin_half(averages: Averages) -> Averages:
    empty = _empty(averages.before, jnp.zeros_like(averages.present.steps))
    return averages._replace(first=averages.present, present=empty)


def add(averages: Averages, params: Params) -> Averages:
    moved = jax.tree.map(jnp.subtract, params, averages.before)
    total, squares, steps = averages.present
    present = Half(jax.tree.map(jnp.add, total, moved), jax.tree.map(lambda s, x: s + x**2, squares, moved), steps + 1)
    return averages._replace(present=present)


def halves_and_whole(averages: Averages) -> tuple[Params, Params, Params]:
    """The averages over the first half, over the second half, and over the whole window."""
    first, present, before = averages

    def mean(total: Params, steps: Scalar) -> Params:
        return jax.tree.map(lambda origin, x: origin + x / jnp.maximum(steps, 1), before, total)

    both = jax.tree.map(jnp.add, first.sum, present.sum)
    return mean(first.sum, first.steps), mean(present.sum, present.steps), mean(both, first.steps + present.steps)


def split_rhat(averages: Averages) -> Scalar:
    """The split R-hat of the parameters' course through the window, its square averaged over the parameters.

    For one parameter with means a and b and variances v and w over the two halves,
    R-hat^2 = 1 + (a - b)^2 / (v + w). A straight drift has sqrt(7) = 2.6, noise about its place 1. A parameter that
    stands still has no say.

    Source: Welandawe, Andersen, Vehtari and Huggins (2022), Robust, automated, and accurate black-box variational
    inference, arXiv:2203.15945.
    """

    def excess(a: Array, aa: Array, b: Array, bb: Array) -> Array:
        n, m = jnp.maximum(averages.first.steps, 1), jnp.maximum(averages.present.steps, 1)
        variances = jnp.maximum(aa / n - (a / n) ** 2, 0) + jnp.maximum(bb / m - (b / m) ** 2, 0)
        moves = variances > 0
        ratio = jnp.where(moves, (a / n - b / m) ** 2 / jnp.where(moves, variances, 1), jnp.nan)
        return ratio.ravel()

    first, present = averages.first, averages.present
    parts = jax.tree.map(excess, first.sum, first.squares, present.sum, present.squares)
    all_parts = jnp.concatenate(jax.tree.leaves(parts))
    mean = jnp.nanmean(all_parts)
    return jnp.sqrt(1 + jnp.where(jnp.isnan(mean), 0, mean))


def divergence(key: Key, before: Distribution, after: Distribution) -> Scalar:
    """D(before || after) in nats, estimated by the mean of r - 1 - log r, r = after / before: never negative."""
    draws = before.sample(key, (NUM_COMPARED,))
    log_ratio = after.log_prob(draws) - before.log_prob(draws)
    return (jnp.expm1(log_ratio) - log_ratio).mean()
