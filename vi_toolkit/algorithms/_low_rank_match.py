"""Gaussians whose covariance is a diagonal plus a matrix of low rank: a match, and the way back into the family."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpyro.distributions import Distribution

from vi_toolkit._types import Draws, Key, Params, Scalar, Vector
from vi_toolkit.algorithms._batch_match_rule import Root, match_in_roots
from vi_toolkit.algorithms._match_pace import Batch
from vi_toolkit.guides import LowRankNormal

PATCHES = 20  # EM steps of a match's way back into the family; they begin at the present q and cost no gradients


class LowRank(NamedTuple):
    """N(m, S (I + W W') S) with S = diag(s)."""

    location: Vector
    log_scale: Vector  # log s
    factor: Array  # W (dim, rank)


@dataclass(frozen=True)
class LowRankMatcher:
    """Covariances S (I + W W') S; a `Matcher` whose cost grows with dim alone, not with its square."""

    rank: int
    draws: int | None = None

    def check(self, dim: int) -> None:
        if self.rank > dim:
            raise ValueError(
                f"rank: expected at most the target's {dim} dimensions, got {self.rank}. Without a rank, "
                "vi.batch_and_match() takes any covariance."
            )

    def num_draws(self, dim: int) -> int:
        return self.draws or min(math.ceil(1.5 * dim) + 4, 3 * self.rank + 16)

    def most_weight(self, dim: int) -> float:
        draws = self.num_draws(dim)
        return 1.0 if draws > dim + 1 else 0.9

    def start(self, key: Key, location: Vector, scale: Scalar) -> LowRank:
        """A small random factor, since zero is a saddle point of the way back."""
        factor = 0.1 / math.sqrt(self.rank) * jax.random.normal(key, (len(location), self.rank), location.dtype)
        return LowRank(location, jnp.full_like(location, jnp.log(scale)), factor)

    def place(self, q: LowRank, x: Draws) -> Draws:
        return q.location + jnp.exp(q.log_scale) * _inner(q).times(x.T).T

    def pull_back(self, q: LowRank, slopes: Draws) -> Draws:
        return _inner(q).times((slopes * jnp.exp(q.log_scale)).T).T

    def log_determinant(self, q: LowRank) -> Scalar:
        return q.log_scale.sum() + jnp.log1p(_inner(q).added).sum()

    def match(self, q: LowRank, batch: Batch, weight: Scalar) -> tuple[LowRank, Scalar]:
        """In units of s: the match has covariance G G' with G = B R T, B^2 = I + W W', and is patched from there."""
        inner = _inner(q)
        mean, first, second = match_in_roots(batch.whitened, batch.scores, weight)
        noise, factor = patch(LowRankPlus.of(inner, first, second), q.factor)
        location = q.location + jnp.exp(q.log_scale) * inner.times(mean[:, None])[:, 0]
        new = LowRank(location, q.log_scale + 0.5 * jnp.log(noise), factor / jnp.sqrt(noise)[:, None])
        # D(new || q) = (tr B^-2 (N + F F') + |u|^2 - dim) / 2 - log-determinants, B^-2 = I - Q' diag(k) Q
        k = 1 - 1 / (1 + inner.added) ** 2
        trace = jnp.sum(noise) + jnp.sum(factor**2)
        trace -= jnp.sum(k * (inner.axes**2 @ noise)) + jnp.sum(k[:, None] * (inner.axes @ factor) ** 2)
        size = 0.5 * (trace + jnp.sum(mean**2) - len(mean))
        return new, size - (self.log_determinant(new) - self.log_determinant(q))

    def params(self, q: LowRank) -> Params:
        return q._asdict()

    def distribution(self, params: Params) -> Distribution:
        return LowRankNormal(self.rank).distribution(params)


class LowRankPlus(NamedTuple):
    """The matrix G = a I + U V'."""

    rest: Scalar  # a
    left: Array  # U (dim, k)
    right: Array  # V (dim, k)

    @classmethod
    def of(cls, *roots: Root) -> LowRankPlus:
        """The product of symmetric roots: (a I + U V')(b I + C D') = a b I + U (b V)' + (a C + U V' C) D'."""
        first, *others = roots
        product = cls(first.rest, first.axes.T * first.added, first.axes.T)
        for root in others:
            ahead = root.axes.T * root.added
            ahead = product.rest * ahead + product.left @ (product.right.T @ ahead)
            left = jnp.concatenate([product.left, ahead], axis=1)
            right = jnp.concatenate([root.rest * product.right, root.axes.T], axis=1)
            product = cls(product.rest * root.rest, left, right)
        return product

    def covariance_times(self, columns: Array) -> Array:
        """G G' columns."""
        once = self.rest * columns + self.right @ (self.left.T @ columns)
        return self.rest * once + self.left @ (self.right.T @ once)

    def variances(self) -> Vector:
        """The diagonal of G G' = a^2 I + a (U V' + V U') + U V'V U'."""
        square = jnp.sum((self.left @ (self.right.T @ self.right)) * self.left, axis=1)
        return self.rest**2 + 2 * self.rest * jnp.sum(self.left * self.right, axis=1) + square


def patch(match: LowRankPlus, factor: Array) -> tuple[Vector, Array]:
    """N (dim,) and F (dim, rank) with diag(N) + F F' near M = G G': min D(N(0, M) || N(0, diag(N) + F F')).

    By the EM steps of factor analysis, each of which brings it nearer, from N = 1 and the given factor on:

        b = F' (diag(N) + F F')^-1,   C = M b',   F <- C (I - b F + b C)^-1,   N <- diag(M - F C').

    Source: Rubin & Thayer (1982), EM algorithms for ML factor analysis, doi:10.1007/BF02293851.
    """
    variances, unit = match.variances(), jnp.eye(factor.shape[1], dtype=factor.dtype)
    # No noise below the share of a variance that rounding could not tell from nought.
    least = float(np.finfo(factor.dtype).eps) * variances

    def em(_: Any, both: tuple[Vector, Array]) -> tuple[Vector, Array]:
        noise, factor = both
        scaled = factor / noise[:, None]
        regression = jnp.linalg.solve(unit + factor.T @ scaled, scaled.T)
        cross = match.covariance_times(regression.T)
        second = unit - regression @ factor + regression @ cross
        factor = jnp.linalg.solve(second, cross.T).T
        return jnp.maximum(variances - jnp.sum(factor * cross, axis=1), least), factor

    return jax.lax.fori_loop(0, PATCHES, em, (jnp.ones_like(variances), factor))


def _inner(q: LowRank) -> Root:
    """(I + W W')^1/2."""
    axes, t, _ = jnp.linalg.svd(q.factor, full_matrices=False)
    return Root(jnp.ones_like(t[0]), jnp.sqrt(1 + t**2) - 1, axes.T)
