"""Points at which a target is known, with the mixture of all normals that they were drawn from."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from vi_toolkit._types import Draws, LogWeights, Scalar, Vector


class Normal(NamedTuple):
    """N(location, factor factor^T) on R^dim, with the inverse of its lower triangular factor."""

    location: Vector
    factor: Array
    inverse: Array

    @property
    def log_determinant(self) -> Scalar:
        """Of the factor."""
        return jnp.log(jnp.diagonal(self.factor)).sum()


class Points(NamedTuple):
    """The latest batches of points; a new one takes the place of the oldest."""

    z: Draws
    value: LogWeights  # log p~(z)
    score: Draws  # its gradient; zero where the target is not finite
    known: Array  # whether the place is taken by a point at which the target is finite
    proposals: Normal  # what each batch was drawn from, with a leading axis
    log_proposals: Array  # (batches, points): log of the batch size times each proposal's density; -inf where empty
    num_batches: Array  # taken so far


def no_points(num_batches: int, batch: int, dim: int, dtype: Any) -> Points:
    zeros = jnp.zeros((num_batches * batch, dim), dtype)
    empty = Normal(
        jnp.zeros((num_batches, dim), dtype),
        jnp.tile(jnp.eye(dim, dtype=dtype), (num_batches, 1, 1)),
        jnp.tile(jnp.eye(dim, dtype=dtype), (num_batches, 1, 1)),
    )
    log_proposals = jnp.full((num_batches, len(zeros)), -jnp.inf, dtype)
    known = jnp.zeros(len(zeros), bool)
    return Points(zeros, zeros[:, 0], zeros, known, empty, log_proposals, jnp.asarray(0))


def add(points: Points, proposal: Normal, z: Draws, value: LogWeights, score: Draws) -> Points:
    """The points with a batch of draws of a normal."""
    batch, slots = len(z), len(points.log_proposals)
    slot = points.num_batches % slots
    first = slot * batch
    known = jnp.isfinite(value) & jnp.all(jnp.isfinite(score), axis=1)
    proposals = jax.tree.map(lambda all_of, one: all_of.at[slot].set(one), points.proposals, proposal)
    points = points._replace(
        z=_placed(points.z, z, first),
        value=_placed(points.value, jnp.where(known, value, 0.0), first),
        score=_placed(points.score, jnp.where(known[:, None], score, 0.0), first),
        known=_placed(points.known, known, first),
        proposals=proposals,
        num_batches=points.num_batches + 1,
    )
    taken = jnp.arange(slots) < points.num_batches
    of_new = jax.vmap(lambda q: log_density(q, z))(proposals) + jnp.log(batch)
    table = jax.lax.dynamic_update_slice_in_dim(
        points.log_proposals, jnp.where(taken[:, None], of_new, -jnp.inf), first, 1
    )
    return points._replace(log_proposals=table.at[slot].set(log_density(proposal, points.z) + jnp.log(batch)))


def _placed(all_of: Array, new: Array, first: Array) -> Array:
    return jax.lax.dynamic_update_slice_in_dim(all_of, new, first, 0)


def log_density(q: Normal, z: Draws) -> LogWeights:
    """log q(z), without the constant (dim / 2) log(2 pi)."""
    return -0.5 * jnp.sum(((z - q.location) @ q.inverse.T) ** 2, axis=-1) - q.log_determinant


class View(NamedTuple):
    """The points in coordinates x = L^-1 (z - m), where a normal N(m, L L^T) is the standard one."""

    x: Draws
    score: Draws  # the gradient of log p~ with respect to x
    log_mixture: LogWeights  # log of the number of points times the density of what they were drawn from; inf: none


def seen_from(points: Points, anchor: Normal) -> View:
    log_mixture = jax.nn.logsumexp(points.log_proposals, axis=0) + anchor.log_determinant
    x = jnp.where(points.known[:, None], (points.z - anchor.location) @ anchor.inverse.T, 0.0)
    return View(x, points.score @ anchor.factor, jnp.where(points.known, log_mixture, jnp.inf))
