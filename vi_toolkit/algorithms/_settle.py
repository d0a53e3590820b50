"""The normal at which all known points agree, found without a further look at the target."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array

from vi_toolkit._types import Scalar, Vector
from vi_toolkit.algorithms._known_points import View
from vi_toolkit.algorithms._score_regression import regress, weights

REACH = 0.4  # nats from the standard normal, beyond which the points say too little
LONGEST = 0.25  # nats, of one step
MEMORY = 8  # steps that the acceleration looks back
MAX_ITERATIONS = 100
LEAST_SHARE = 0.5  # of a batch, that the weights may rest on


class Rooted(NamedTuple):
    """N(mean, P^-1) with P = root root^T, root lower triangular."""

    mean: Vector
    root: Array

    @property
    def log_determinant(self) -> Scalar:
        """Of the root."""
        return jnp.log(jnp.diagonal(self.root)).sum()

    @property
    def covariance(self) -> Array:
        inverse = solve_triangular(self.root, jnp.eye(len(self.mean), dtype=self.mean.dtype), lower=True)
        return inverse.T @ inverse


class Settled(NamedTuple):
    """Where it came to rest, and whether it did: False where it ran to the edge of what the points can tell."""

    mean: Vector
    covariance: Array
    divergence: Scalar  # D(N(0, I) || it), in nats
    at_rest: Array


class _Search(NamedTuple):
    flat: Vector
    before: Vector  # the last place looked at
    step_before: Vector
    moves: Array  # (memory, parameters): changes of place
    turns: Array  # (memory, parameters): changes of the step
    looks: Array
    stopped: Array
    at_rest: Array


def settle(view: View, batch: int, diagonal: bool) -> Settled:
    """The fixed point of the damped Newton step on all points, from N(0, I), by Anderson acceleration.

    Slow directions, as between the scale of a hierarchy and what it scales, are what the acceleration is for. The
    search ends at rest, or at REACH nats from where it began, or where the importance weights rest on few points.

    Source: Walker & Ni (2011), Anderson acceleration for fixed-point iterations, doi:10.1137/10078356X.
    """
    dim, dtype = view.x.shape[1], view.x.dtype
    start = _flatten(Rooted(jnp.zeros(dim, dtype), jnp.eye(dim, dtype=dtype)))
    none = jnp.zeros((MEMORY, len(start)), dtype)
    no, zero = jnp.asarray(False), jnp.asarray(0)
    first = _Search(start, start, jnp.zeros_like(start), none, none, zero, no, no)
    precise = 1e-7 if dtype == jnp.float64 else 1e-5

    def body(s: _Search) -> _Search:
        q = _rooted(s.flat, dim)
        w = weights(view, q.mean, q.root)
        enough = 1 / jnp.sum(w**2) > LEAST_SHARE * batch
        following, length = _newton_step(view, w, q, diagonal)
        step = _flatten(following) - s.flat
        at_rest = enough & (length < precise)
        place = (s.looks - 1) % MEMORY
        remembers = s.looks > 0
        moves = jnp.where(remembers, s.moves.at[place].set(s.flat - s.before), s.moves)
        turns = jnp.where(remembers, s.turns.at[place].set(step - s.step_before), s.turns)
        new = jnp.where(remembers, s.flat + step - _correction(moves, turns, step), s.flat + 0.5 * step)
        shares = jnp.array([1.0, 0.5, 0.25, 0.1, 0.0], dtype)
        inside = jax.vmap(lambda share: _from_standard(_rooted(s.flat + share * (new - s.flat), dim)) < REACH)(shares)
        share = jnp.where(enough & jnp.isfinite(length), shares[jnp.argmax(inside)], 0.0)
        moved = jnp.where(share > 0, s.flat + share * (new - s.flat), s.flat)
        stopped = at_rest | (share < 1)
        return _Search(moved, s.flat, step, moves, turns, s.looks + 1, stopped, at_rest)

    done = jax.lax.while_loop(lambda s: ~s.stopped & (s.looks < MAX_ITERATIONS), body, first)
    q = _rooted(done.flat, dim)
    return Settled(q.mean, q.covariance, _from_standard(q), done.at_rest)


def _newton_step(view: View, w: Vector, q: Rooted, diagonal: bool) -> tuple[Rooted, Scalar]:
    """P <- (1 - r) P - r E_q[H], mean <- mean + r P^-1 E_q[g], and its length D(q || new): the largest r that works."""
    quadratic = regress(view, w, q.mean, diagonal)
    bent = -jnp.sum(quadratic.curvature * q.covariance)
    dim = len(q.mean)

    def tried(r: Scalar) -> tuple[Rooted, Scalar]:
        root = jnp.linalg.cholesky((1 - r) * q.root @ q.root.T - r * quadratic.curvature)
        shift = r * cho_solve((root, True), quadratic.slope)
        new = Rooted(q.mean + shift, root)
        trace, distance = (1 - r) * dim + r * bent, jnp.sum((shift @ root) ** 2)
        return new, 0.5 * (trace + distance - dim) - new.log_determinant + q.log_determinant

    all_tried, lengths = jax.vmap(tried)(jnp.array([1.0, 0.5, 0.25], w.dtype))
    works = lengths <= LONGEST  # not where the factorisation failed, which leaves NaN
    chosen = jnp.where(works.any(), jnp.argmax(works), 2)
    new, length = jax.tree.map(lambda leaf: leaf[chosen], (all_tried, lengths))
    return new, jnp.where(works.any(), length, jnp.nan)


def _correction(moves: Array, turns: Array, step: Vector) -> Vector:
    """What Anderson's method takes off a plain step: the part that the steps before explain."""
    gram = turns @ turns.T
    empty = jnp.diagonal(gram) == 0
    ridge = jnp.maximum(1e-6, 10 * np.finfo(step.dtype).eps) * jnp.trace(gram)
    shares = jnp.linalg.solve(gram + jnp.diag(jnp.where(empty, 1.0, ridge)), turns @ step)
    return shares @ (moves + turns)


def _from_standard(q: Rooted) -> Scalar:
    """D(N(0, I) || q)."""
    return 0.5 * (jnp.sum(q.root**2) + jnp.sum((q.mean @ q.root) ** 2) - len(q.mean)) - q.log_determinant


def _flatten(q: Rooted) -> Vector:
    dim = len(q.mean)
    root = jnp.where(jnp.eye(dim, dtype=bool), jnp.log(jnp.diagonal(q.root)), q.root)
    return jnp.concatenate([q.mean, root.ravel()])


def _rooted(flat: Vector, dim: int) -> Rooted:
    root = jnp.tril(flat[dim:].reshape(dim, dim))
    return Rooted(flat[:dim], jnp.where(jnp.eye(dim, dtype=bool), jnp.exp(root), root))
