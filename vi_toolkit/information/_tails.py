"""What lies beyond the ends of an axis: nothing, a little that is extrapolated, or infinity."""

from __future__ import annotations

import numpy as np

from vi_toolkit.information._adaptive import Integral
from vi_toolkit.information._space import Values, corners

LEAST_SLOPE = 1e-3  # of -log of an integrand, along an axis, for its integral to exist


def tail(f: Values, edges: list[np.ndarray], scale: np.ndarray) -> Integral:
    """What lies beyond the ends of the line: the integrand there is e^(-s |v|); infinite where s is not positive."""
    value, error = np.zeros(len(scale)), np.zeros(len(scale))
    for end in (edges[0][0], edges[0][-1]):
        far, slope, alive = _decay(f, np.array([end]), scale)
        with np.errstate(divide="ignore", invalid="ignore"):
            there = np.where(slope > LEAST_SLOPE, far / slope, np.copysign(np.inf, far))
        value = value + np.where(alive, there, 0.0)
        error = error + np.where(alive & (slope > LEAST_SLOPE), np.abs(there) / (1.0 + slope * abs(end)), 0.0)
    return Integral(value, error)


def tails_of_the_plane(f: Values, edges: list[np.ndarray], scale: np.ndarray) -> Integral:
    """Nothing where the integrand has died out, infinite where it never will, and NaN where that is not clear."""
    value = np.zeros(len(scale))
    for end in corners_and_sides(edges):
        far, slope, alive = _decay(f, end, scale)
        unclear = np.where(np.abs(far) > 1e-13 * scale, np.nan, 0.0)
        value = value + np.where(alive & ~(slope > LEAST_SLOPE), np.copysign(np.inf, far), unclear)
    return Integral(value, np.zeros(len(scale)))


def _decay(f: Values, end: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At an end: the integrand, the slope of -log of it on the way there, and whether it counts beside ``scale``."""
    near, far = f(np.stack([0.8 * end, end]))
    length = float(np.linalg.norm(end))
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.log(np.abs(near) / np.abs(far)) / (0.2 * length)
    return far, slope, np.abs(far) * length > 1e-20 * scale


def corners_and_sides(edges: list[np.ndarray]) -> np.ndarray:
    """The corners of the box and the middles of its sides: (points, d)."""
    return np.array([v for v in corners([np.array([e[0], 0.0, e[-1]]) for e in edges]) if v.any()])
