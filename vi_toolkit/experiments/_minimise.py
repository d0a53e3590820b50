"""Minimisation without randomness: Newton steps within a trust region, with JAX's gradients and Hessians."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from vi_toolkit.experiments.experiment import rounding

Loss = Callable[..., Any]  # (theta, *arrays) -> a scalar
POLISHING_STEPS = 5


class Point(NamedTuple):
    """A loss at one theta, in float64: its value, gradient and Hessian."""

    value: float
    gradient: np.ndarray
    hessian: np.ndarray


class Minimum(NamedTuple):
    """A local minimum: where it is, its value, and the largest entry of the gradient there."""

    theta: np.ndarray
    value: float
    gradient: float


def evaluate(loss: Loss, theta: Any, *arrays: Any) -> Point:
    """``loss(theta, *arrays)`` with its derivatives by theta. A loss is compiled once for each shape of its arrays."""
    hessian, (value, gradient) = _compiled(loss)(jnp.asarray(theta, jnp.result_type(float)), *arrays)
    return Point(float(value), np.asarray(gradient, np.float64), np.asarray(hessian, np.float64))


@lru_cache(maxsize=64)
def _compiled(loss: Loss) -> Callable[..., Any]:
    def gradient(theta: Any, *arrays: Any) -> Any:
        value, slope = jax.value_and_grad(loss)(theta, *arrays)
        return slope, (value, slope)

    return jax.jit(jax.jacfwd(gradient, has_aux=True))


def minimise(loss: Loss, start: Any, *arrays: Any) -> Minimum:
    """The local minimum of ``loss(theta, *arrays)`` that is reached from ``start``."""
    seen: dict[bytes, Point] = {}

    def point(theta: np.ndarray) -> Point:
        where = theta.tobytes()
        if where not in seen:
            seen[where] = evaluate(loss, theta, *arrays)
        return seen[where]

    found = minimize(
        lambda theta: (point(theta).value, point(theta).gradient),
        np.asarray(start, np.float64),
        jac=True,
        hess=lambda theta: point(theta).hessian,
        method="trust-exact",
        options={"gtol": rounding() ** 0.5, "maxiter": 200},
    )
    return _polish(point, found.x)


def _polish(point: Callable[[np.ndarray], Point], theta: np.ndarray) -> Minimum:
    """Full Newton steps for as long as they make the gradient smaller: down to rounding."""
    here = point(theta)
    for _ in range(POLISHING_STEPS):
        moved = theta - np.linalg.lstsq(here.hessian, here.gradient)[0]
        there = point(moved)
        if not np.abs(there.gradient).max() < np.abs(here.gradient).max():
            break
        theta, here = moved, there
    return Minimum(theta, here.value, float(np.abs(here.gradient).max()))
