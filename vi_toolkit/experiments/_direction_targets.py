"""What p is in the experiment on directions, with quadrature over it: points, log p and weights.

Each p comes with two grids: one on which q is fitted, and a finer and wider one on which the fit is measured.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm, t

from vi_toolkit import zoo

BIMODAL_WEIGHTS, BIMODAL_MEANS = np.array([0.4, 0.6]), np.array([-3.0, 3.0])
TAIL_DEGREES = 3
CURVATURE, BANANA_SD = 0.5, 2.0


class Grid(NamedTuple):
    """Integrals are sums: the integral of f is sum_i weights_i f(points_i)."""

    points: np.ndarray  # (points, dim)
    log_p: np.ndarray  # (points,)
    weights: np.ndarray  # (points,)


class TargetGrids(NamedTuple):
    """A p, known on two grids."""

    name: str
    coarse: Grid
    fine: Grid


def bimodal() -> TargetGrids:
    """0.4 N(-3, 1) + 0.6 N(3, 1)."""

    def grid(step: float) -> Grid:
        x = np.arange(-24.0, 24.0 + step / 2, step)
        log_p = logsumexp(norm.logpdf(x[:, None], BIMODAL_MEANS), axis=1, b=BIMODAL_WEIGHTS)
        return Grid(x[:, None], log_p, np.full(len(x), step))

    return TargetGrids("two modes", grid(0.04), grid(0.01))


def heavy_tail() -> TargetGrids:
    """Student-t with three degrees of freedom: its variance exists, as D(p‖q) to a Gaussian needs. Here x = sinh u."""

    def grid(step: float) -> Grid:
        u = step * np.arange(-24.0 / step, 24.0 / step + 0.5)
        x = np.sinh(u)
        return Grid(x[:, None], t.logpdf(x, TAIL_DEGREES), step * np.cosh(u))

    return TargetGrids("heavy tail", grid(0.04), grid(0.01))


def banana() -> TargetGrids:
    """zoo.banana: over z_0 and the distance of z_1 from the parabola, a change of coordinates that keeps areas."""
    target = zoo.banana(curvature=CURVATURE, sd=BANANA_SD).target

    def grid(step: float, across: float, below: float, above: float) -> Grid:
        first, distance = np.arange(-across, across + step / 2, step), np.arange(-below, above + step / 2, step)
        z, v = (axis.ravel() for axis in np.meshgrid(first, distance, indexing="ij"))
        points = np.stack([z, v + CURVATURE * (z**2 - BANANA_SD**2)], axis=1)
        log_p = jax.vmap(target.log_density)(jnp.asarray(points, jnp.result_type(float)))
        return Grid(points, np.asarray(log_p, np.float64), np.full(len(points), step**2))

    return TargetGrids("banana", grid(0.35, 11.9, 24.5, 9.8), grid(0.25, 14.0, 110.0, 30.0))


def line_of_modes(separation: float, x: np.ndarray) -> np.ndarray:
    """Log of the density (N(-s/2, 1) + N(s/2, 1)) / 2 for a separation s."""
    return np.logaddexp(norm.logpdf(x, -separation / 2), norm.logpdf(x, separation / 2)) - np.log(2)
