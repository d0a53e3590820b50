"""A multivariate normal whose precision matrix is sparse, as the model's conditional independence has it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array

from vi_toolkit._checks import describe
from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params
from vi_toolkit.guides._elimination import eliminate, hessian_pattern
from vi_toolkit.guides._factors import Pattern, PrecisionRoot
from vi_toolkit.guides._location_scale import LocationScale, StandardNormal
from vi_toolkit.guides.guide import Guide, GuideDraws, equally_weighted, normal_noise, rate_in_own_scale
from vi_toolkit.guides.noise import Noise


@dataclass(frozen=True)
class SparsePrecisionNormal(Guide):
    """q(z) = N(z; m, (C C^T)^-1), with C lower triangular and sparse.

    Where the precision matrix has a zero, two coordinates are independent given all others; a model with local
    structure (states in time, effects of groups) has many such zeros, and a Cholesky factor of its precision few
    entries, where the covariance has none to spare. Draws solve C^T x = e. A normal posterior whose precision has a
    factor with this pattern is met exactly.

    Parameters are ``location`` m (dim,), ``log_diagonal`` (dim,), the logs of C's diagonal, and ``below`` (entries,),
    C at the pattern; rows and columns of C are in the order given. The density costs as much as C has entries; a draw
    writes C out, in time and memory of the order of dim^2, and a step the squares of the columns' lengths.

    Args:
        pattern: (row, column) pairs of C that may be other than zero, below the diagonal.
        order: the coordinates of z in the order of C's rows; None is 0, 1, ... .

    Raises:
        TypeError: if ``pattern`` holds no pairs of whole numbers.
        ValueError: if a pair is not below the diagonal or comes twice, or ``order`` is no order of 0, 1, ... . A fit
            raises it too where they do not go with the target's dimension.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.SparsePrecisionNormal(((1, 0), (2, 1)))  # a chain z_0 - z_1 - z_2
        SparsePrecisionNormal(pattern=((1, 0), (2, 1)), order=None)

    Source: Tan & Nott (2018), Gaussian variational approximation with sparse precision matrices, arXiv:1605.05622.
    """

    pattern: Any  # Pattern, once made
    order: Any = None  # tuple[int, ...] | None, once made

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", _as_pattern(self.pattern))
        if self.order is not None:
            object.__setattr__(self, "order", tuple(int(i) for i in self.order))
            if sorted(self.order) != list(range(len(self.order))):
                raise ValueError(f"order: expected each of the coordinates 0, 1, ... once, got {describe(self.order)}.")

    @staticmethod
    def from_model(target: Any) -> SparsePrecisionNormal:
        """The pattern that the model's own conditional independence asks for, with the fill-in of a Cholesky factor.

        Two coordinates i and j are independent given all others where d^2 log p~ / dz_i dz_j is zero everywhere. Here
        the exact Hessian is evaluated at six fixed points around the origin; i and j interact where it is not zero,
        to rounding, at any of them. The order is by minimum degree (local unknowns come before the global ones that
        they hang on), and the pattern has all the entries that eliminating in this order fills.

        Its limit: an interaction that is there only far from these points (behind a branch, say) is not seen, and the
        guide then lacks it; a Hessian costs dim gradients and dim^2 numbers.

        Args:
            target: from `vi.from_numpyro` or `vi.from_log_density`.

        Raises:
            ValueError: if log p~ and its Hessian are finite at none of the points.

        Example:
            >>> import jax.numpy as jnp, vi_toolkit as vi
            >>> chain = lambda z: -0.5 * z[0] ** 2 - 0.5 * jnp.sum((z[1:] - 0.9 * z[:-1]) ** 2)
            >>> guide = vi.SparsePrecisionNormal.from_model(vi.from_log_density(chain, dim=4))
            >>> guide.order, guide.pattern  # from one end to the other
            ((0, 1, 2, 3), ((1, 0), (2, 1), (3, 2)))
        """
        order, pattern = eliminate(hessian_pattern(target))
        return SparsePrecisionNormal(pattern, order)

    def check(self, dim: int) -> None:
        """Pattern and order must be those of a matrix of the target's size."""
        largest = max((row for row, _ in self.pattern), default=-1)
        if largest >= dim or (self.order is not None and len(self.order) != dim):
            raise ValueError(
                f"pattern, order: the target has {dim} coordinates; the largest row of the pattern is {largest}, and "
                f"the order has {'no' if self.order is None else len(self.order)} coordinates. "
                "Use vi.SparsePrecisionNormal.from_model(target)."
            )

    def learning_rate(self, dim: int) -> float:
        """In units of the present scale."""
        return rate_in_own_scale(dim)

    def init(self, key: Key, start: Start) -> Params:
        """Centred at the start, uncorrelated, with its conditional standard deviations."""
        scale = start.scale if self.order is None else start.scale[np.array(self.order)]
        below = jnp.zeros(len(self.pattern), start.location.dtype)
        return {"location": start.location, "log_diagonal": -jnp.log(scale), "below": below}

    def factor(self, params: Params) -> PrecisionRoot:
        """L with L L^T = (C C^T)^-1."""
        return PrecisionRoot(jnp.exp(params["log_diagonal"]), params["below"], self.pattern, self.order)

    def distribution(self, params: Params) -> dist.Distribution:
        """The normal, with event_shape (dim,); mean, variance, covariance_matrix and entropy are in closed form."""
        return LocationScale(params["location"], self.factor(params), StandardNormal())

    def draw(self, key: Key, params: Params, num_draws: int, noise: Noise | None = None) -> GuideDraws:
        """m + C^-T e with normal noise e, in mirrored pairs unless told otherwise."""
        e = normal_noise(key, num_draws, params["location"], noise)
        return equally_weighted(params["location"] + self.factor(params).times(e))

    def move(self, params: Params, step: Params) -> Params:
        """m + C^-T u, and column j of C times its own triangle: C'_ij = sum_k C_ik S_kj over k in column j.

        S is lower triangular with diagonal exp(step). Without zeros this is C S, the affine map followed from the
        inside; with them, it is C S without what would fall outside the pattern.
        """
        root = self.factor(params).root
        dim = root.shape[-1]
        columns = _columns(self.pattern, dim)  # (dim, width); the column's own place first, then its rows; dim is none
        bordered = jnp.zeros((*root.shape[:-2], dim + 1, dim + 1), root.dtype).at[..., :dim, :dim].set(root)
        triangles = bordered[..., columns[:, :, None], columns[:, None, :]]
        moved = (triangles @ self._by_column(step, columns)[..., None])[..., 0]
        place, rank = _places_in_columns(self.pattern, dim)
        return {
            **params,
            "location": params["location"] + self.factor(params).times(step["location"]),
            "log_diagonal": params["log_diagonal"] + step["log_diagonal"],
            "below": moved[..., place, rank],
        }

    def _by_column(self, step: Params, columns: np.ndarray) -> Array:
        """S column by column, (..., dim, width), zero where a column has no more rows."""
        place, rank = _places_in_columns(self.pattern, len(columns))
        diagonal = jnp.exp(step["log_diagonal"])
        padded = jnp.zeros((*diagonal.shape, columns.shape[1]), diagonal.dtype)
        return padded.at[..., 0].set(diagonal).at[..., place, rank].set(step["below"])


@lru_cache(maxsize=64)
def _columns(pattern: Pattern, dim: int) -> np.ndarray:
    """The places in each column of C, its diagonal first: (dim, width), filled up with ``dim``."""
    rows: list[list[int]] = [[column] for column in range(dim)]
    for row, column in pattern:
        rows[column].append(row)
    width = max(map(len, rows))
    return np.array([places + [dim] * (width - len(places)) for places in rows])


@lru_cache(maxsize=64)
def _places_in_columns(pattern: Pattern, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each entry of the pattern stands in `_columns`: its column, and its rank there."""
    filled, rank = [1] * dim, []
    for _, column in pattern:
        rank.append(filled[column])
        filled[column] += 1
    return np.array([column for _, column in pattern], int), np.array(rank, int)


def _as_pattern(pattern: Any) -> Pattern:
    hint = "Give (row, column) pairs such as ((1, 0), (2, 1)), or use vi.SparsePrecisionNormal.from_model(target)."
    if not isinstance(pattern, Iterable) or isinstance(pattern, str):
        raise TypeError(f"pattern: expected pairs, got {describe(pattern)}. {hint}")
    entries = np.array(list(pattern) or np.zeros((0, 2), int))
    if entries.ndim != 2 or entries.shape[1] != 2 or entries.dtype.kind not in "iu":
        raise TypeError(f"pattern: expected pairs of whole numbers, got {describe(pattern)}. {hint}")
    pairs = tuple((int(row), int(column)) for row, column in entries)
    wrong = [pair for pair in pairs if not pair[0] > pair[1] >= 0]
    if wrong or len(set(pairs)) < len(pairs):
        what = f"{wrong[0]} is not below the diagonal" if wrong else "a pair comes twice"
        raise ValueError(f"pattern: {what}. {hint}")
    return pairs
