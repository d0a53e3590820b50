"""Which cells are halved: those that polynomials do not resolve, and those that are too wide for what is near."""

from __future__ import annotations

import numpy as np

from vi_toolkit.exact.quadrature._cells import Cells, Density, halve, join, make_cells, select, touching

MAX_CELLS = 40_000
POINTS_IN_A_CELL = 8
MAX_RATIO = 8.0


def settle(density: Density, cells: Cells, tolerance: float) -> Cells:
    """Resolves cells, and lets none stay beside a cell that holds mass and is more than eight times as narrow.

    A narrow peak or ridge could reach into the wide cell and pass between its nodes, unseen.
    """
    while True:
        cells = resolve(density, cells, tolerance)
        ratio = _width_ratios(cells, 10.0 * tolerance)
        chosen = (ratio > MAX_RATIO).any(axis=1)
        cells = cells._replace(settled=np.ones(len(chosen), dtype=bool))
        if not chosen.any():
            return cells
        cells = _cut(density, cells, chosen, ratio.argmax(axis=1))


def resolve(density: Density, cells: Cells, tolerance: float) -> Cells:
    """Halves cells until less than ``tolerance`` of the integrals of f and of (1 + |u|^2) f is unresolved."""
    while True:
        share = _shares(cells)
        if share.sum() <= 0.5 * tolerance:
            return cells
        chosen = _largest(share, 0.25 * tolerance)
        if len(share) + chosen.sum() > MAX_CELLS:
            raise ValueError(
                f"grid: with {len(share)} cells, a share of {share.sum():.1e} of the integral is not resolved yet, and "
                f"relative_tolerance asks for {tolerance:.1e}. The density may have jumps or be too thin a ridge; a "
                "larger relative_tolerance may be reached."
            )
        cells = _cut(density, cells, chosen, cells.unresolved.argmax(axis=1))


def verify(density: Density, cells: Cells, tolerance: float) -> tuple[Cells, float]:
    """Holds every cell against its halves along every axis: (the cells, those that changed cut; the relative error)."""
    low, high = cells.low, cells.high
    for axis in range(low.shape[1]):
        low, high = halve(low, high, np.full(len(low), axis))
    halves = make_cells(density, low, high)
    coarse = cells.integrals
    fine = halves.integrals.reshape(-1, *coarse.shape).sum(axis=0)  # the parts of one cell lie len(cells) rows apart
    change = np.abs(fine - coarse) / fine.sum(axis=0)
    chosen = _largest(change.max(axis=1), 0.25 * tolerance)
    error = float(np.max(np.abs(coarse.sum(axis=0) / fine.sum(axis=0) - 1.0)))
    parts = np.tile(chosen, len(low) // len(coarse))
    return join(select(cells, ~chosen), select(halves, parts)), error


def partition(low: np.ndarray, high: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a box into cells with few of the points (points, d) each."""
    crowded, done = [(low, high, np.unique(points, axis=0))], []
    while crowded:
        low, high, inside = crowded.pop()
        spread = inside.std(axis=0) if len(inside) else np.zeros_like(low)
        if len(inside) <= POINTS_IN_A_CELL or spread.max() < 1e-12:
            done.append((low, high))
            continue
        axis = int(np.argmax((high - low) / np.maximum(spread, 1e-12)))
        middle = 0.5 * (low[axis] + high[axis])
        is_lower = inside[:, axis] < middle
        at_axis = np.arange(len(low)) == axis
        crowded.append((low, np.where(at_axis, middle, high), inside[is_lower]))
        crowded.append((np.where(at_axis, middle, low), high, inside[~is_lower]))
    lows, highs = (np.stack(ends) for ends in zip(*done, strict=True))
    return lows, highs


def _width_ratios(cells: Cells, share: float) -> np.ndarray:
    """How much wider a cell is, along every axis, than any that it touches and that holds mass: (cells, d).

    Zero for pairs that are both settled: they have been looked at before.
    """
    mass = cells.integrals[:, 1]
    full = mass > share * mass.sum() / len(mass)
    inverse = np.zeros_like(cells.low)
    for rows, columns in ((~cells.settled, full), (cells.settled, full & ~cells.settled)):
        narrow = select(cells, columns)
        candidates = 1.0 / (narrow.high - narrow.low)
        found = [
            np.stack([np.where(near, axis, 0.0).max(axis=1, initial=0.0) for axis in candidates.T], axis=1)
            for near in touching(select(cells, rows), narrow)
        ]
        inverse[rows] = np.concatenate([np.zeros((0, cells.low.shape[1])), *found])
    return (cells.high - cells.low) * inverse


def _largest(share: np.ndarray, rest: float) -> np.ndarray:
    """The mask of the largest shares, as few as leave at most ``rest`` to the others together."""
    order = np.argsort(share)
    chosen = np.zeros(len(share), dtype=bool)
    chosen[order] = np.cumsum(share[order]) > rest
    return chosen


def _shares(cells: Cells) -> np.ndarray:
    """Each cell's unresolved share of the integrals of f and of (1 + |u|^2) f, whichever is larger: (cells,)."""
    weight = 1.0 + np.sum(np.maximum(cells.low**2, cells.high**2), axis=1)
    mass, weighted = cells.integrals.sum(axis=0)
    return cells.unresolved.max(axis=1) * np.maximum(1.0 / mass, weight / weighted)


def _cut(density: Density, cells: Cells, chosen: np.ndarray, axis: np.ndarray) -> Cells:
    """Halves the chosen cells, each along its axis."""
    halves = make_cells(density, *halve(cells.low[chosen], cells.high[chosen], axis[chosen]))
    return join(select(cells, ~chosen), halves)
