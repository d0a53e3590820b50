"""Adaptive quadrature of a density over boxes of one or two dimensions that are halved until polynomials resolve it.

In every cell the density f is known at Gauss-Legendre nodes, which give its integral, and its Legendre coefficients,
f(x) = sum_i c_i P_i(x) on (-1, 1)^d. The last two coefficients of an axis say how well that axis is resolved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.polynomial.legendre import leggauss, legvander

Density = Callable[[np.ndarray], np.ndarray]  # (points, d) -> (points,), not negative


class Cells(NamedTuple):
    """Boxes that do not overlap, and the density at their nodes."""

    low: np.ndarray  # (cells, d)
    high: np.ndarray  # (cells, d)
    values: np.ndarray  # (cells, n) or (cells, n, n)
    integrals: np.ndarray  # (cells, 2), of f and of (1 + |u|^2) f
    unresolved: np.ndarray  # (cells, d), what is not resolved of the integral of f along every axis
    settled: np.ndarray  # (cells,), whether the widths of its neighbours have been looked at


def num_nodes(dim: int) -> int:
    """Nodes of each axis of a cell."""
    return {1: 20, 2: 12}[dim]


def make_cells(density: Density, low: np.ndarray, high: np.ndarray) -> Cells:
    """Evaluates the density at the nodes of the boxes between ``low`` and ``high`` (cells, d)."""
    dim = low.shape[1]
    nodes = node_positions(low, high)
    values = density(nodes.reshape(-1, dim)).reshape(len(low), *[num_nodes(dim)] * dim)
    mass = _node_masses(low, high, values)
    squared = 1.0 + np.sum(nodes**2, axis=2)
    integrals = np.stack([mass.sum(axis=1), (mass * squared).sum(axis=1)], axis=1)
    return Cells(low, high, values, integrals, _unresolved(low, high, values), np.zeros(len(low), dtype=bool))


def node_positions(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The nodes of every cell: (cells, n^d, d)."""
    dim = low.shape[1]
    x = leggauss(num_nodes(dim))[0]
    unit = np.stack(np.meshgrid(*[x] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    return (0.5 * (low + high))[:, None] + 0.5 * (high - low)[:, None] * unit


def node_masses(cells: Cells) -> np.ndarray:
    """Quadrature weight times density at every node: (cells, n^d). Its sum is the integral."""
    return _node_masses(cells.low, cells.high, cells.values)


def coefficients(values: np.ndarray) -> np.ndarray:
    """Legendre coefficients of every cell from the density at its nodes: c_i = (i + 1/2) sum_k w_k P_i(x_k) f(x_k)."""
    x, weights = leggauss(values.shape[-1])
    transform = (np.arange(len(x)) + 0.5)[:, None] * legvander(x, len(x) - 1).T * weights
    if values.ndim == 2:
        return values @ transform.T
    return np.einsum("ik,jl,nkl->nij", transform, transform, values, optimize=True)


def select(cells: Cells, mask: np.ndarray) -> Cells:
    """The cells where ``mask`` is true."""
    return Cells(*(part[mask] for part in cells))


def join(first: Cells, second: Cells) -> Cells:
    """The cells of both."""
    return Cells(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))


def halve(low: np.ndarray, high: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both halves of every box, cut along its ``axis``."""
    rows = np.arange(len(low))
    middle = 0.5 * (low + high)[rows, axis]
    upper_low, lower_high = low.copy(), high.copy()
    upper_low[rows, axis] = middle
    lower_high[rows, axis] = middle
    return np.concatenate([low, upper_low]), np.concatenate([lower_high, high])


def peaks(cells: Cells) -> np.ndarray:
    """The highest node of every cell that no touching cell surpasses: (peaks, d)."""
    rows = np.arange(len(cells.low))
    values = cells.values.reshape(len(rows), -1)
    best = values.argmax(axis=1)
    top = values[rows, best]
    highest = np.concatenate([np.where(near, top, 0.0).max(axis=1) for near in touching(cells, cells)])
    chosen = (top >= highest) & (top > 1e-12 * top.max())
    return node_positions(cells.low, cells.high)[rows, best][chosen]


def touching(cells: Cells, others: Cells) -> Iterator[np.ndarray]:
    """Which cells touch which others, in blocks of rows of the table: a whole one may not fit into memory."""
    for start in range(0, len(cells.low), 256):
        rows = slice(start, start + 256)
        touching = np.ones((len(cells.low[rows]), len(others.low)), dtype=bool)
        for axis in range(cells.low.shape[1]):
            touching &= cells.low[rows, axis, None] <= others.high[:, axis]
            touching &= others.low[:, axis] <= cells.high[rows, axis, None]
        yield touching


def _node_masses(low: np.ndarray, high: np.ndarray, values: np.ndarray) -> np.ndarray:
    dim = low.shape[1]
    weights = leggauss(num_nodes(dim))[1]
    product = weights if dim == 1 else np.outer(weights, weights).ravel()
    return np.prod(0.5 * (high - low), axis=1)[:, None] * product * values.reshape(len(low), -1)


def _unresolved(low: np.ndarray, high: np.ndarray, values: np.ndarray) -> np.ndarray:
    c = np.abs(coefficients(values))
    tails = [np.take(c, (-2, -1), axis=axis).reshape(len(low), -1).sum(axis=1) for axis in range(1, c.ndim)]
    return np.prod(high - low, axis=1)[:, None] * np.stack(tails, axis=1)
