"""Scale factors L of location-scale families z = m + L t: products, solutions and determinants, each by its own shape.

Every factor may have leading axes (components of a mixture). Vectors have these axes too, behind any number of others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass
from jaxtyping import Array

Blocks = tuple[tuple[int, ...], ...]  # groups of coordinates
Pattern = tuple[tuple[int, int], ...]  # (row, column) of the entries below the diagonal that may be other than zero


class Factor(Protocol):
    """An invertible matrix L, in the shape that its family has use for."""

    def times(self, t: Array) -> Array:
        """L t."""
        ...

    def solve(self, r: Array) -> Array:
        """L^-1 r."""
        ...

    @property
    def log_determinant(self) -> Array:
        """log |det L|."""
        ...

    def matrix(self) -> Array:
        """L written out, (..., dim, dim)."""
        ...

    def variances(self, v: Array) -> Array:
        """The diagonal of L diag(v) L^T."""
        ...


class Diagonal(NamedTuple):
    """L = diag(s)."""

    scale: Array

    def times(self, t: Array) -> Array:
        return self.scale * t

    def solve(self, r: Array) -> Array:
        return r / self.scale

    @property
    def log_determinant(self) -> Array:
        return jnp.log(self.scale).sum(-1)

    def matrix(self) -> Array:
        return self.scale[..., None] * np.eye(self.scale.shape[-1], dtype=self.scale.dtype)

    def variances(self, v: Array) -> Array:
        return self.scale**2 * v


class Triangular(NamedTuple):
    """L lower triangular."""

    lower: Array

    def times(self, t: Array) -> Array:
        return (self.lower @ t[..., None])[..., 0]

    def solve(self, r: Array) -> Array:
        return solve_triangular(self.lower, r)

    @property
    def log_determinant(self) -> Array:
        return jnp.log(_diagonal(self.lower)).sum(-1)

    def matrix(self) -> Array:
        return self.lower

    def variances(self, v: Array) -> Array:
        return (self.lower**2 @ v[..., None])[..., 0]


@partial(register_dataclass, data_fields=["stacks"], meta_fields=["blocks"])
@dataclass(frozen=True)
class BlockTriangular:
    """L with a lower triangular block for each group of coordinates, and zero between the groups."""

    stacks: tuple[Array, ...]  # for each size, the blocks of that size: (..., blocks, size, size)
    blocks: Blocks

    def times(self, t: Array) -> Array:
        return self._by_stack(Triangular.times, t)

    def solve(self, r: Array) -> Array:
        return self._by_stack(Triangular.solve, r)

    @property
    def log_determinant(self) -> Array:
        return sum((Triangular(stack).log_determinant.sum(-1) for stack in self.stacks), start=jnp.zeros(()))

    def matrix(self) -> Array:
        dim = sum(map(len, self.blocks))
        written = jnp.zeros((*self.stacks[0].shape[:-3], dim, dim), self.stacks[0].dtype)
        for stack, places in zip(self.stacks, stack_places(self.blocks), strict=True):
            written = written.at[..., places[:, :, None], places[:, None, :]].set(stack)
        return written

    def variances(self, v: Array) -> Array:
        return self._by_stack(Triangular.variances, v)

    def _by_stack(self, act: Any, x: Array) -> Array:
        """Acts on the coordinates of all the blocks of one size at once, and puts them back in their order."""
        places = stack_places(self.blocks)
        parts = [act(Triangular(stack), x[..., place]) for stack, place in zip(self.stacks, places, strict=True)]
        flat = jnp.concatenate([part.reshape(*part.shape[:-2], -1) for part in parts], axis=-1)
        return flat[..., np.argsort(np.concatenate([place.reshape(-1) for place in places]))]


@lru_cache(maxsize=256)
def stack_places(blocks: Blocks) -> tuple[np.ndarray, ...]:
    """For each size of block, from small to large, the coordinates of its blocks: (blocks, size)."""
    sizes = sorted({len(block) for block in blocks})
    return tuple(np.array([block for block in blocks if len(block) == size]) for size in sizes)


@partial(register_dataclass, data_fields=["diagonal", "below"], meta_fields=["pattern", "order"])
@dataclass(frozen=True)
class PrecisionRoot:
    """L = P^T C^-T, with C lower triangular and sparse, and P putting the coordinates in order.

    Then (L L^T)^-1 = P^T C C^T P. Products with C^T touch the entries of the pattern alone; solutions write C out.
    """

    diagonal: Array  # of C, (..., dim)
    below: Array  # the entries of C at the pattern, (..., entries)
    pattern: Pattern
    order: tuple[int, ...] | None

    @property
    def root(self) -> Array:
        """C written out."""
        dim = self.diagonal.shape[-1]
        rows, columns = self._entries
        written = self.diagonal[..., None] * np.eye(dim, dtype=self.diagonal.dtype)
        return written.at[..., rows, columns].set(self.below)

    def times(self, t: Array) -> Array:
        return self._from_order(solve_triangular(self.root, t, transposed=True))

    def solve(self, r: Array) -> Array:
        rows, columns = self._entries
        r = self._to_order(r)
        return (self.diagonal * r).at[..., columns].add(self.below * r[..., rows])

    @property
    def log_determinant(self) -> Array:
        return -jnp.log(self.diagonal).sum(-1)

    def matrix(self) -> Array:
        *batch, dim = self.diagonal.shape
        units = np.eye(dim, dtype=self.diagonal.dtype).reshape(dim, *(1 for _ in batch), dim)
        return jnp.moveaxis(self.times(jnp.broadcast_to(units, (dim, *batch, dim))), 0, -1)

    def variances(self, v: Array) -> Array:
        return (self.matrix() ** 2 @ v[..., None])[..., 0]

    @property
    def _entries(self) -> tuple[np.ndarray, np.ndarray]:
        return pattern_entries(self.pattern)

    def _to_order(self, x: Array) -> Array:
        return x if self.order is None else x[..., np.array(self.order)]

    def _from_order(self, x: Array) -> Array:
        return x if self.order is None else x[..., np.argsort(self.order)]


@lru_cache(maxsize=256)
def pattern_entries(pattern: Pattern) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a pattern."""
    entries = np.array(pattern, dtype=int).reshape(-1, 2)
    return entries[:, 0], entries[:, 1]


def solve_triangular(lower: Array, r: Array, *, transposed: bool = False) -> Array:
    """L^-1 r or L^-T r: one call for all vectors that share a factor, of shape (..., dim, dim)."""
    *batch, dim, _ = lower.shape
    columns = jnp.moveaxis(r.reshape(-1, *batch, dim), 0, -1)
    solved = jax.lax.linalg.triangular_solve(lower, columns, left_side=True, lower=True, transpose_a=transposed)
    return jnp.moveaxis(solved, -1, 0).reshape(r.shape)


def _diagonal(matrix: Array) -> Array:
    return jnp.diagonal(matrix, axis1=-2, axis2=-1)
