"""A memory of weighted points, from which they are drawn in proportion to their weights."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from vi_toolkit._types import Draws, Key, LogWeights, Scalar

BISECTIONS = 15
Places = Int[Array, "draws"]


class Buffer(NamedTuple):
    """Weighted points, the oldest of which give way to the newest; an empty place has the log weight -inf."""

    points: Draws
    log_weights: LogWeights
    log_q: LogWeights  # of the q that the weights refer to
    next: Int[Array, ""]  # where the next points go


def empty(capacity: int, like: Draws) -> Buffer:
    """Room for ``capacity`` points in the precision of ``like`` (..., dim)."""
    nothing = jnp.zeros(capacity, like.dtype)
    return Buffer(
        jnp.zeros((capacity, like.shape[-1]), like.dtype), nothing - jnp.inf, nothing, jnp.zeros((), jnp.int32)
    )


def add(buffer: Buffer, points: Draws, log_weights: LogWeights, log_q: LogWeights) -> Buffer:
    """The buffer with points in the place of its oldest; their number divides the capacity."""
    write = partial(jax.lax.dynamic_update_slice_in_dim, start_index=buffer.next, axis=0)
    return Buffer(
        write(buffer.points, points),
        write(buffer.log_weights, log_weights),
        write(buffer.log_q, log_q),
        (buffer.next + len(points)) % len(buffer.log_q),
    )


def pick(key: Key, buffer: Buffer, num_draws: int, temper: Scalar | float = 1.0) -> Places:
    """The places of ``num_draws`` points, drawn systematically: each comes n w^temper times, rounded up or down.

    Source: Kitagawa (1996), Monte Carlo filter and smoother, doi:10.1080/10618600.1996.10474692.
    """
    sums = jnp.cumsum(_shares(buffer, temper))
    ticks = (jnp.arange(num_draws) + jax.random.uniform(key, (), sums.dtype)) / num_draws * sums[-1]
    return jnp.clip(jnp.searchsorted(sums, ticks, side="right"), 0, len(sums) - 1)


def refer(buffer: Buffer, places: Places, log_q: LogWeights) -> Buffer:
    """The buffer with the weights of the points at ``places``, which stand for p^2 / q, made to refer to a new q."""
    moved = buffer.log_weights[places] + buffer.log_q[places] - log_q
    return buffer._replace(
        log_weights=buffer.log_weights.at[places].set(moved), log_q=buffer.log_q.at[places].set(log_q)
    )


def effective(buffer: Buffer, temper: Scalar | float = 1.0) -> Scalar:
    """The effective number of points, 1 / sum_i v_i^2 with v_i proportional to w_i^temper."""
    return 1 / jnp.sum(_shares(buffer, temper) ** 2)


def temper(buffer: Buffer, wanted: float) -> Scalar:
    """The largest power of the weights, at most 1, that leaves ``wanted`` effective points; by bisection."""

    def halve(_: Any, bounds: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = bounds
        middle = (low + high) / 2
        enough = effective(buffer, middle) >= wanted
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    one = jnp.ones((), buffer.log_q.dtype)
    low, _ = jax.lax.fori_loop(0, BISECTIONS, halve, (0 * one, one))
    return jnp.where(effective(buffer) >= wanted, one, low)


def _shares(buffer: Buffer, temper: Scalar | float) -> LogWeights:
    # an empty place stays empty, whatever the power
    return jax.nn.softmax(jnp.where(buffer.log_weights > -jnp.inf, temper * buffer.log_weights, -jnp.inf))
