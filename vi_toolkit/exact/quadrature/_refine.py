"""Which cells are halved: those that polynomials do not resolve, and those that are too wide for what is near."""

from __future__ import annotations

import numpy as np

from vi_toolkit.exact.quadrature._cells import (
    Cells,
    Density,
    cut_every_axis,
    halve,
    integrals_by_halves,
    join,
    make_cells,
    select,
    touching,
)

MAX_CELLS = 40_000
POINTS_IN_A_CELL = 8
MAX_RATIO = 8.0
ROUGH = 0.1


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
        _check_number(len(chosen) + int(chosen.sum()), float(_shares(cells).sum()), tolerance)
        cells = _cut(density, cells, chosen, ratio.argmax(axis=1))


def resolve(density: Density, cells: Cells, tolerance: float) -> Cells:
    """Halves cells until less than ``tolerance`` of the integrals of f and of (1 + |u|^2) f is unresolved.

    However little a cell holds, it is resolved to a tenth of that, unless all such cells together hold less than
    ``tolerance``: what is narrow in it may lead on into a cell where it is not seen yet.
    """
    while True:
        share, mass = _shares(cells), cells.integrals[:, 0]
        chosen = (mass > tolerance * mass.sum() / len(mass)) & (cells.unresolved.max(axis=1) > ROUGH * mass)
        if share.sum() > 0.5 * tolerance:
            chosen |= largest(share, 0.25 * tolerance)
        if not chosen.any():
            return cells
        _check_number(len(share) + int(chosen.sum()), float(share.sum()), tolerance)
        cells = _cut(density, cells, chosen, cells.unresolved.argmax(axis=1))


def verify(density: Density, cells: Cells, tolerance: float) -> tuple[Cells, float, bool]:
    """Holds every new cell against its halves: (the cells, those that changed cut; the error; whether none was cut).

    The error is the sum of the relative changes of all cells. Beside them, a cell is cut when its halves see more than
    twice what it saw, however little that is: it is where something narrow comes in, and may lead to more.
    """
    new = np.isnan(cells.change[:, 0])
    change = cells.change.copy()
    change[new] = integrals_by_halves(density, cells.low[new], cells.high[new]) - cells.integrals[new]
    cells = cells._replace(change=change)
    share = np.abs(change) / (cells.integrals + change).sum(axis=0)
    error = float(share.sum(axis=0).max())
    surprising = (np.abs(change) > cells.integrals) & (share > tolerance / len(share))
    chosen = surprising.any(axis=1)
    if error > tolerance:
        chosen |= largest(share.max(axis=1), 0.5 * tolerance)
    if not chosen.any():
        return cells, error, True
    _check_number(len(chosen) + (2 ** cells.low.shape[1] - 1) * int(chosen.sum()), error, tolerance)
    halves = make_cells(density, *cut_every_axis(cells.low[chosen], cells.high[chosen]))
    return join(select(cells, ~chosen), halves), error, False


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


def largest(share: np.ndarray, rest: float) -> np.ndarray:
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


def _check_number(number: int, share: float, tolerance: float) -> None:
    if number > MAX_CELLS:
        raise ValueError(
            f"grid: {MAX_CELLS} cells are not enough: a share of {share:.1e} of the integral is not resolved yet, and "
            f"relative_tolerance asks for {tolerance:.1e}. The density may have jumps or kinks, or be too thin a "
            "ridge; a larger relative_tolerance may be reached."
        )
