"""Adaptive quadrature of a vector of integrands over boxes, all boxes of one round in one call.

SciPy's `cubature` evaluates one box at a time, which costs a thousand calls of a compiled density where this costs
twenty; and in its releases up to 1.18 at least, with ``points`` it does not halve the box with the largest error.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.polynomial.legendre import leggauss

Values = Callable[[np.ndarray], np.ndarray]  # (points, d) -> (points, components)

NUM_NODES = {1: 20, 2: 10}  # of an axis of a box
MAX_POINTS = {1: 300_000, 2: 6_000_000}
MAX_ROUNDS = 80


class Integral(NamedTuple):
    value: np.ndarray  # (components,)
    error: np.ndarray  # estimated, absolute


def integrate_boxes(f: Values, low: np.ndarray, high: np.ndarray, tolerance: float) -> Integral:
    """The integral of f over boxes (boxes, d): those whose parts do not add up to themselves are cut in all directions.

    It ends once less than ``tolerance`` of every component, and of a hundredth of the integral of its |f|, does not add
    up; or once too many points were spent, and then the error says so. On the line the parts of a box must add up once
    more before it is done with: about a kink they may do so by chance.
    """
    dim, sums = low.shape[1], _sums(f, low, high)
    calm = np.full(len(low), dim > 1)  # whether the box is a part of one that added up
    done, done_error, points = np.zeros(sums.shape[1]), np.zeros(sums.shape[1]), 0
    for _ in range(MAX_ROUNDS):
        low, high = _parts(low, high)
        parts = _sums(f, low, high)
        together = parts.reshape(2**dim, *sums.shape).sum(axis=0)  # the parts of one box lie len(sums) rows apart
        with np.errstate(invalid="ignore"):
            error = np.where(np.isfinite(together), np.abs(together - sums), 0.0)  # infinity needs no more digits
        integral, size = np.split(np.abs(done + together.sum(axis=0)), 2)
        rough = _largest(_shares(error, np.maximum(integral, 0.01 * size)), 0.5 * tolerance)
        again = rough | ~calm
        done, done_error = done + together[~again].sum(axis=0), done_error + error[~again].sum(axis=0)
        points += len(low) * NUM_NODES[dim] ** dim
        if not again.any() or points > MAX_POINTS[dim]:
            break
        of_again = np.tile(again, 2**dim)
        calm = np.tile((~rough | (dim > 1))[again], 2**dim)
        low, high, sums = low[of_again], high[of_again], parts[of_again]
    value, error = done + together[again].sum(axis=0), done_error + error[again].sum(axis=0)
    return Integral(np.split(value, 2)[0], np.split(error, 2)[0])


def _shares(error: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The largest error of each box among the components, each beside its scale; those of |f| do not count."""
    errors = np.split(error, 2, axis=1)[0]
    return np.max(np.divide(errors, scale, out=np.zeros_like(errors), where=errors > 0.0), axis=1)


def _parts(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every box cut in the middle along every axis."""
    for axis in range(low.shape[1]):
        middle = 0.5 * (low[:, axis] + high[:, axis])
        upper, lower = low.copy(), high.copy()
        upper[:, axis], lower[:, axis] = middle, middle
        low, high = np.concatenate([low, upper]), np.concatenate([lower, high])
    return low, high


def _sums(f: Values, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Gauss-Legendre sums of f and of |f| over every box: (boxes, 2 components)."""
    unit, weights = _rule(low.shape[1])
    nodes = (0.5 * (low + high))[:, None] + 0.5 * (high - low)[:, None] * unit
    values = f(nodes.reshape(-1, low.shape[1])).reshape(len(low), len(unit), -1)
    both = np.concatenate([values, np.abs(values)], axis=2)
    return np.prod(0.5 * (high - low), axis=1)[:, None] * np.einsum("n,bnc->bc", weights, both)


@cache
def _rule(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (nodes, dim) and weights of the box from -1 to 1."""
    x, weights = leggauss(NUM_NODES[dim])
    unit = np.stack(np.meshgrid(*[x] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    return unit, weights if dim == 1 else np.outer(weights, weights).ravel()


def _largest(share: np.ndarray, rest: float) -> np.ndarray:
    """The mask of the largest shares, as few as leave at most ``rest`` to the others together."""
    order = np.argsort(share)
    chosen = np.zeros(len(share), dtype=bool)
    chosen[order] = np.cumsum(share[order]) > rest
    return chosen
