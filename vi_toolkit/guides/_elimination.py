"""Which entries a Cholesky factor has, and the order of elimination that keeps them few."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit.guides._factors import Pattern

NUM_POINTS = 6  # at which the Hessian is looked at
RELATIVE_ZERO = 64.0  # in units of rounding, against sqrt(|H_ii H_jj|)


def hessian_pattern(target: Any) -> np.ndarray:
    """Which pairs of coordinates interact: (dim, dim), true where the Hessian of log p~ is not zero at some point.

    Raises:
        ValueError: if log p~ and its Hessian are finite at none of them.
    """
    points = _points(target)
    values, hessians = (np.asarray(part, np.float64) for part in _values_and_hessians(target, points))
    # where the density is zero or NaN, its derivatives say nothing
    hessians = hessians[np.isfinite(values) & np.isfinite(hessians).all((1, 2))]
    if not len(hessians):
        raise ValueError(
            f"target: its log density and the Hessian are not finite at any of the {len(points)} points tried, so its "
            "structure cannot be seen. Give the pattern: vi.SparsePrecisionNormal(pattern)."
        )
    own = np.sqrt(np.abs(np.diagonal(hessians, axis1=1, axis2=2)))
    rounding = RELATIVE_ZERO * float(np.finfo(points.dtype).eps) * own[:, :, None] * own[:, None, :]
    interact: np.ndarray = (np.abs(hessians) > rounding).any(0)
    return interact | interact.T


@jax.jit
def _values_and_hessians(target: Any, points: Any) -> Any:
    return jax.lax.map(lambda z: (target.log_density(z), jax.hessian(target.log_density)(z)), points)


def _points(target: Any) -> np.ndarray:
    """Points without any symmetry, about the origin and on several scales: the fractional parts of multiples of roots.

    Weyl's sequence: it has nothing to do with chance, so that the same model always gives the same structure.
    """
    roots = np.sqrt(np.arange(2, target.dim + 2) + 0.5)
    fractions = np.outer(np.arange(1, NUM_POINTS + 1), roots) % 1.0
    scales = np.geomspace(0.25, 2.0, NUM_POINTS)
    return np.asarray(scales[:, None] * (2 * fractions - 1), jnp.result_type(float))


def eliminate(interact: np.ndarray) -> tuple[tuple[int, ...], Pattern]:
    """An order of the coordinates, and the entries of a Cholesky factor in that order, below its diagonal.

    Minimum degree: next comes the coordinate with the fewest neighbours among those left (the first of them), whose
    neighbours then become neighbours of one another. These neighbours are the rows of its column.

    Source: George & Liu (1989), The evolution of the minimum degree ordering algorithm, doi:10.1137/1031001.
    """
    neighbours = {i: set(np.flatnonzero(row).tolist()) - {i} for i, row in enumerate(interact)}
    order, columns = [], []
    while neighbours:
        chosen = min(neighbours, key=lambda i: (len(neighbours[i]), i))
        around = neighbours.pop(chosen)
        for i in around:
            neighbours[i] = (neighbours[i] | around) - {i, chosen}
        order.append(chosen)
        columns.append(around)
    position = {coordinate: place for place, coordinate in enumerate(order)}
    pattern = [(position[i], column) for column, rows in enumerate(columns) for i in rows]
    return tuple(order), tuple(sorted(pattern))
