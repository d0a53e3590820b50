"""The integral of a density over all of R^d: a box that grows until it holds the mass, and cells put to the test."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from vi_toolkit.exact.quadrature._cells import Cells, join, make_cells, nodes
from vi_toolkit.exact.quadrature._explore import Map, explore
from vi_toolkit.exact.quadrature._refine import largest, partition, resolve, settle, verify
from vi_toolkit.exact.quadrature._table import Frame
from vi_toolkit.targets import Target

MAX_DOUBLINGS = 64
MAX_CHECKS = 20


class Integral(NamedTuple):
    """The density on cells that hold all of its mass."""

    frame: Frame
    cells: Cells
    tolerance: float  # what was asked for, or what the precision allows
    error: float  # of the integral, relative to it
    has_moment: tuple[bool, bool]  # whether the first and second moments exist


class Box(NamedTuple):
    """Where cells lie, and how much of it was there before it was doubled for the last time."""

    low: np.ndarray
    high: np.ndarray


def integrate(target: Target, tolerance: float) -> Integral:
    """Cells whose integrals of f and of (1 + |u|^2) f are right to ``tolerance``, or to what the precision allows.

    Twice what halving every cell changes, and three times what the last doubling of the box brought, which is more than
    what lies further out even for the heaviest tails that are accepted, stay below the tolerance. The tolerance itself
    is stated as the error all the same: what halves do not see either is not in their change.
    """
    found = explore(target)
    frame = Frame(target, found.points.mean(axis=0), _root(found.points), found.peak)
    tolerance = max(tolerance, _precision(frame))
    cells, inner, has_moment = _cover(frame, found, tolerance)
    cells, change = _verified(frame, cells, tolerance)
    error = 2.0 * change + 3.0 * _shares_outside(cells, inner)[0]
    return Integral(frame, cells, tolerance, max(error, tolerance), has_moment)


def posterior_nodes(integral: Integral) -> tuple[np.ndarray, np.ndarray]:
    """Points z (nodes, d) and weights (nodes,) that sum to one: sums over them are integrals over the posterior.

    Nodes that hold less than a tenth of the tolerance, all together, are left out.
    """
    masses, u = (np.concatenate(parts) for parts in zip(*nodes(integral.cells), strict=True))
    kept = largest(masses, 0.1 * integral.tolerance * masses.sum())
    return integral.frame.to_z(u[kept]), masses[kept] / masses[kept].sum()


def _precision(frame: Frame) -> float:
    """What rounding leaves of the relative precision: of log p~ at its peak, and of z on the scale of the posterior.

    The factors are the noise that was measured in the highest Legendre coefficients, in float32 and in float64.
    """
    epsilon = float(np.finfo(jnp.result_type(float)).eps)
    shift = float(np.max(np.abs(frame.centre) / np.linalg.norm(frame.root, axis=1)))
    precision = epsilon * (200.0 * max(abs(frame.peak), 10.0) + 30.0 * shift)
    if precision > 0.1:
        raise ValueError(
            f"target: in {jnp.result_type(float)} its density has a relative error of about {precision:.1g}. Shift or "
            "rescale the target, or switch on JAX's float64: jax.config.update('jax_enable_x64', True)."
        )
    return precision


def _root(points: np.ndarray) -> np.ndarray:
    return np.linalg.cholesky(np.atleast_2d(np.cov(points.T)))


def _cover(frame: Frame, found: Map, tolerance: float) -> tuple[Cells, Box, tuple[bool, bool]]:
    """Cells over all the mass, the box before the last doubling, and whether the first and second moments exist."""
    both = np.concatenate([found.points, found.wide_points])
    points = np.linalg.solve(frame.root, (both - frame.centre).T).T
    margin = 0.5 * (points.max(axis=0) - points.min(axis=0))
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    cells = settle(frame.density, make_cells(frame.density, *partition(low, high, points)), tolerance)
    largest_z = 1e-2 * float(np.finfo(jnp.result_type(float)).max) ** 0.5
    for _ in range(MAX_DOUBLINGS):
        inner, margin = Box(low, high), 0.5 * (high - low)
        cells = join(cells, make_cells(frame.density, *_shell(low, high, margin)))
        cells = resolve(frame.density, cells, tolerance)
        shares = _shares_outside(cells, inner)
        low, high = low - margin, high + margin
        if shares.max() < 0.1 * tolerance:
            return cells, inner, (True, True)
        if np.abs(frame.to_z(np.stack([low, high]))).max() > largest_z:  # beyond, squares overflow
            break
    if shares[0] > 0.1 * tolerance:
        raise ValueError(
            f"target: its tails still hold a share {shares[0]:.1e} of the integral in a box that reaches to "
            f"{np.abs(frame.to_z(high)).max():.0e}. The posterior is improper, or its tails are too "
            "heavy for quadrature."
        )
    return cells, inner, (bool(shares[1] < 0.1 * tolerance), False)


def _shell(low: np.ndarray, high: np.ndarray, margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The boxes that lie between a box and the one that is wider by ``margin`` on every side."""
    lows, highs = [], []
    inner_low, inner_high = low.copy(), high.copy()
    for axis in range(len(low)):
        for edge, direction in ((inner_low[axis], -1), (inner_high[axis], 1)):
            box_low, box_high = inner_low.copy(), inner_high.copy()
            box_low[axis], box_high[axis] = sorted((edge, edge + direction * margin[axis]))
            lows.append(box_low)
            highs.append(box_high)
        inner_low[axis] -= margin[axis]
        inner_high[axis] += margin[axis]
    return np.stack(lows), np.stack(highs)


def _shares_outside(cells: Cells, box: Box) -> np.ndarray:
    """The shares of the integrals of f, |u| f and |u|^2 f that lie outside the box: (3,)."""
    outside = np.any((cells.low >= box.high) | (cells.high <= box.low), axis=1)
    mass, weighted = cells.integrals.T
    radial = np.stack([mass, cells.first_moment, weighted - mass])
    return radial[:, outside].sum(axis=1) / radial.sum(axis=1)


def _verified(frame: Frame, cells: Cells, tolerance: float) -> tuple[Cells, float]:
    """Cells that halving changes by less than 0.35 of ``tolerance``, and by how much."""
    for _ in range(MAX_CHECKS):
        cells = settle(frame.density, cells, tolerance)
        cells, change, is_done = verify(frame.density, cells, 0.35 * tolerance)
        if is_done:
            return cells, change
    raise ValueError(
        f"grid: two resolutions differ by {change:.1e}, and relative_tolerance asks for {tolerance:.1e}. The density "
        "may have jumps or be too thin a ridge; a larger relative_tolerance may be reached."
    )
