"""Local maxima of a smooth log density whose derivatives are known, in NumPy's float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

Derivatives = Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]  # z -> value, gradient, Hessian


def find_maxima(derivatives: Derivatives, starts: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The distinct maxima (maxima, d) that are reached from ``starts`` (starts, d), highest first.

    ``scale`` (d,) is the typical size of a step. Saddles, where a start of some symmetry may end, are left out.
    """
    found: list[tuple[float, np.ndarray]] = []
    for start in starts:
        z = _climb(derivatives, start, scale)
        value, _, hessian = derivatives(z)
        is_maximum = np.linalg.eigvalsh(hessian * np.outer(scale, scale))[-1] < 0
        if is_maximum and all(np.abs((z - other) / scale).max() > 1e-4 for _, other in found):
            found.append((value, z))
    found.sort(key=lambda pair: -pair[0])
    return np.stack([z for _, z in found])


def _climb(derivatives: Derivatives, start: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """A trust region climb in units of ``scale``, and two plain Newton steps, which reach the limits of rounding."""

    def loss(u: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient, _ = derivatives(start + scale * u)
        return -value, -scale * gradient

    def curvature(u: np.ndarray) -> np.ndarray:
        return -derivatives(start + scale * u)[2] * np.outer(scale, scale)

    end = minimize(loss, np.zeros_like(start), jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-6})
    z: np.ndarray = start + scale * end.x
    for _ in range(2):
        _, gradient, hessian = derivatives(z)
        z = z - np.linalg.solve(hessian, gradient)
    return z
