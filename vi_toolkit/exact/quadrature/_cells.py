"""Adaptive quadrature of a density over boxes of one to three dimensions that are halved until polynomials resolve it.

In every cell the density f is known at Gauss-Legendre nodes, which give its integral, and its Legendre coefficients,
f(x) = sum_i c_i P_i(x) on (-1, 1)^d. The last two coefficients of an axis say how well that axis is resolved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.polynomial.legendre import leggauss, legvander

Density = Callable[[np.ndarray], np.ndarray]  # (points, d) -> (points,), not negative

NODES = {1: 20, 2: 12, 3: 8}  # of each axis of a cell, by dimension
CHECK_NODES = {1: 20, 2: 12, 3: 5}  # of each axis of a cell's half, when the cell is held against its halves
BLOCK = 1_000_000  # nodes that are looked at together


class Cells(NamedTuple):
    """Boxes that do not overlap, and the density at their nodes."""

    low: np.ndarray  # (cells, d)
    high: np.ndarray  # (cells, d)
    values: np.ndarray  # (cells, n), (cells, n, n) or (cells, n, n, n)
    integrals: np.ndarray  # (cells, 2), of f and of (1 + |u|^2) f
    first_moment: np.ndarray  # (cells,), the integral of |u| f
    unresolved: np.ndarray  # (cells, d), what is not resolved of the integral of f along every axis
    change: np.ndarray  # (cells, 2), of the integrals when the cell is halved along every axis; nan: not known yet
    settled: np.ndarray  # (cells,), whether the widths of its neighbours have been looked at


def make_cells(density: Density, low: np.ndarray, high: np.ndarray) -> Cells:
    """Evaluates the density at the nodes of the boxes between ``low`` and ``high`` (cells, d)."""
    dim, number = low.shape[1], len(low)
    nodes = node_positions(low, high, NODES[dim])
    values = density(nodes.reshape(-1, dim)).reshape(number, *[NODES[dim]] * dim)
    masses = _node_masses(low, high, values)
    return Cells(
        low=low,
        high=high,
        values=values,
        integrals=_integrals(nodes, masses),
        first_moment=np.einsum("cn,cn->c", masses, np.linalg.norm(nodes, axis=2)),
        unresolved=_unresolved(low, high, values),
        change=np.full((number, 2), np.nan),
        settled=np.zeros(number, dtype=bool),
    )


def integrals_by_halves(density: Density, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The integrals of f and of (1 + |u|^2) f over boxes (cells, d), each from its 2^d halves: (cells, 2)."""
    dim = low.shape[1]
    size = max(1, BLOCK // (2 * CHECK_NODES[dim]) ** dim)
    found = [np.zeros((0, 2))]
    for start in range(0, len(low), size):
        ends = cut_every_axis(low[start : start + size], high[start : start + size])
        nodes = node_positions(*ends, CHECK_NODES[dim])
        values = density(nodes.reshape(-1, dim)).reshape(len(nodes), *[CHECK_NODES[dim]] * dim)
        parts = _integrals(nodes, _node_masses(*ends, values))
        found.append(parts.reshape(2**dim, -1, 2).sum(axis=0))  # a cell's parts lie whole rounds of cells apart
    return np.concatenate(found)


def node_positions(low: np.ndarray, high: np.ndarray, number: int) -> np.ndarray:
    """The nodes of every cell, ``number`` along each axis: (cells, number^d, d)."""
    dim = low.shape[1]
    x = leggauss(number)[0]
    unit = np.stack(np.meshgrid(*[x] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    return (0.5 * (low + high))[:, None] + 0.5 * (high - low)[:, None] * unit


def node_masses(cells: Cells) -> np.ndarray:
    """Quadrature weight times density at every node: (cells, n^d). Its sum is the integral."""
    return _node_masses(cells.low, cells.high, cells.values)


def nodes(cells: Cells) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(masses (nodes,), positions (nodes, d)) of all cells, in blocks: the whole may not fit into memory."""
    dim = cells.low.shape[1]
    size = max(1, BLOCK // NODES[dim] ** dim)
    for start in range(0, len(cells.low), size):
        block = select(cells, slice(start, start + size))
        yield node_masses(block).ravel(), node_positions(block.low, block.high, NODES[dim]).reshape(-1, dim)


def coefficients(values: np.ndarray) -> np.ndarray:
    """Legendre coefficients of every cell from the density at its nodes: c_i = (i + 1/2) sum_k w_k P_i(x_k) f(x_k)."""
    x, weights = leggauss(values.shape[-1])
    transform = (np.arange(len(x)) + 0.5)[:, None] * legvander(x, len(x) - 1).T * weights
    for _ in range(values.ndim - 1):  # the first axis is summed over and comes back as the last: a full turn
        values = np.tensordot(values, transform, axes=([1], [1]))
    return values


def select(cells: Cells, rows: np.ndarray | slice) -> Cells:
    """The cells of these rows."""
    return Cells(*(part[rows] for part in cells))


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


def cut_every_axis(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 2^d halves of every box."""
    for axis in range(low.shape[1]):
        low, high = halve(low, high, np.full(len(low), axis))
    return low, high


def peaks(cells: Cells) -> np.ndarray:
    """The highest node of every cell that no touching cell surpasses: (peaks, d)."""
    rows = np.arange(len(cells.low))
    values = cells.values.reshape(len(rows), -1)
    best = values.argmax(axis=1)
    top = values[rows, best]
    highest = np.concatenate([np.where(near, top, 0.0).max(axis=1) for near in touching(cells, cells)])
    chosen = (top >= highest) & (top > 1e-12 * top.max())
    low, high = cells.low[chosen], cells.high[chosen]
    return node_positions(low, high, NODES[low.shape[1]])[np.arange(len(low)), best[chosen]]


def touching(cells: Cells, others: Cells) -> Iterator[np.ndarray]:
    """Which cells touch which others, in blocks of rows of the table: a whole one may not fit into memory."""
    for start in range(0, len(cells.low), 256):
        rows = slice(start, start + 256)
        touching = np.ones((len(cells.low[rows]), len(others.low)), dtype=bool)
        for axis in range(cells.low.shape[1]):
            touching &= cells.low[rows, axis, None] <= others.high[:, axis]
            touching &= others.low[:, axis] <= cells.high[rows, axis, None]
        yield touching


def _integrals(nodes: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """The integrals of f and of (1 + |u|^2) f of every cell, from its nodes and their masses: (cells, 2)."""
    squared = 1.0 + np.einsum("cni,cni->cn", nodes, nodes)
    return np.stack([masses.sum(axis=1), np.einsum("cn,cn->c", masses, squared)], axis=1)


def _node_masses(low: np.ndarray, high: np.ndarray, values: np.ndarray) -> np.ndarray:
    weights = reduce(np.multiply.outer, [leggauss(values.shape[-1])[1]] * low.shape[1]).ravel()
    return np.prod(0.5 * (high - low), axis=1)[:, None] * weights * values.reshape(len(low), -1)


def _unresolved(low: np.ndarray, high: np.ndarray, values: np.ndarray) -> np.ndarray:
    """What each axis leaves unresolved of the integral of f: (cells, d).

    In one and two dimensions, what the polynomial itself leaves: the last two coefficients of the axis, added up. In
    three that would cost much more than the integral does: n nodes integrate degree 2n - 1 exactly, so that the error
    of the integral is as small as the square of the coefficients, and is taken to be the share of the integral of f^2
    that the last two have. The polynomials, and with them the draws, then are resolved to its square root.
    """
    c, volume = coefficients(values), np.prod(high - low, axis=1)
    dim = c.ndim - 1
    if dim < 3:
        return volume[:, None] * _tails(np.abs(c))
    squares = c**2 * reduce(np.multiply.outer, [1.0 / (np.arange(c.shape[-1]) + 0.5)] * dim)  # |P_i|^2 = 1 / (i + 1/2)
    total = squares.reshape(len(c), -1).sum(axis=1)
    mass = volume * c.reshape(len(c), -1)[:, 0]
    return np.divide(mass, total, out=np.zeros_like(mass), where=total > 0)[:, None] * _tails(squares)


def _tails(c: np.ndarray) -> np.ndarray:
    """The sum over the last two coefficients of every axis: (cells, d)."""
    return np.stack([np.take(c, (-2, -1), axis).reshape(len(c), -1).sum(axis=1) for axis in range(1, c.ndim)], axis=1)
