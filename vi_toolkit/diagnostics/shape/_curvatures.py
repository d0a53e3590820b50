"""Gradients and Hessians of log p~ at several draws of q, in units of q's standard deviations."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vi_toolkit._types import Key, Vector, numpy_generator
from vi_toolkit.targets import Target

MOST_COLUMNS = 200  # coordinates that are looked at, evenly over the flat vector
PRODUCTS = 4096  # with the Hessian, about
POINTS = (16, 64)  # fewest and most


class Curvatures(NamedTuple):
    """log p~ about draws of q, for the coordinates looked at; units are q's sds."""

    columns: np.ndarray  # (c,), which coordinates they are
    points: np.ndarray  # (n, c), less q's mean
    gradients: np.ndarray  # (n, c)
    hessians: np.ndarray  # (n, c, c)
    num_gradients: float


def _look(target: Target, points: Any, columns: Any) -> tuple[Array, Array]:
    """Gradients and Hessians by derivatives, or where JAX cannot differentiate a gradient, by differences."""
    try:
        return _by_products(target, points, columns)
    except TypeError:  # a custom_vjp has no derivative forwards
        return _by_differences(target, points, columns)


@jax.jit
def _by_differences(target: Target, points: Any, columns: Any) -> tuple[Array, Array]:
    """As `_by_products`, with central differences of the gradient."""
    gradient_of = jax.grad(target.log_density)
    spread = jnp.std(points, axis=0)
    step = float(np.finfo(points.dtype).eps) ** (1 / 3) * jnp.where(spread > 0, spread, 1.0 + jnp.abs(points[0]))

    def one(z: Vector) -> tuple[Array, Array]:
        def row(i: Array) -> Array:
            h = jnp.zeros_like(z).at[i].set(step[i])
            return (gradient_of(z + h) - gradient_of(z - h))[columns] / (2 * step[i])

        return gradient_of(z)[columns], jax.vmap(row)(columns)

    return jax.lax.map(one, points)


@jax.jit
def _by_products(target: Target, points: Any, columns: Any) -> tuple[Array, Array]:
    """The gradient at each point (n, dim), and the Hessian of the columns, (n, c, c)."""
    gradient_of = jax.grad(target.log_density)
    units = jnp.eye(points.shape[1], dtype=points.dtype)[columns]

    def one(z: Vector) -> tuple[Array, Array]:
        rows = jax.vmap(lambda unit: jax.jvp(gradient_of, (z,), (unit,))[1])(units)
        return gradient_of(z)[columns], rows[:, columns]

    return jax.lax.map(one, points)  # one by one: a point takes c products at once


def curvatures(key: Key, target: Target, draws: np.ndarray, log_weights: np.ndarray) -> Curvatures:
    """Looks at a few draws where the density is finite; points whose derivatives are not finite are left out."""
    columns = evenly(target.dim, MOST_COLUMNS)
    centre, scale = draws.mean(axis=0), draws.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    finite = np.flatnonzero(np.isfinite(log_weights) & np.isfinite(draws).all(axis=1))
    wanted = num_points(len(columns))
    generator = numpy_generator(key)
    chosen = generator.choice(finite, wanted, replace=len(finite) < wanted) if len(finite) else finite
    points = draws[chosen]
    if not len(points):
        none, size = np.zeros((0, len(columns))), len(columns)
        return Curvatures(columns, none, none, np.zeros((0, size, size)), 0.0)
    found = _look(target, jnp.asarray(points, jnp.result_type(float)), jnp.asarray(columns))
    unit = scale[columns]
    gradients = np.asarray(found[0], np.float64) * unit
    hessians = np.asarray(found[1], np.float64) * unit * unit[:, None]
    ok = np.isfinite(gradients).all(axis=1) & np.isfinite(hessians).all(axis=(1, 2))
    _, first = np.unique(chosen, return_index=True)  # a draw that came twice counts once
    ok &= np.isin(np.arange(len(chosen)), first)
    centred = (points[:, columns] - centre[columns]) / unit
    hessians = 0.5 * (hessians + hessians.transpose(0, 2, 1))
    spent = float(len(points) * (1 + 2 * len(columns)))
    return Curvatures(columns, centred[ok], gradients[ok], hessians[ok], spent)


def hessians_at(target: Target, points: np.ndarray) -> np.ndarray:
    """The Hessians of log p~ at a few points (points, dim), by the same program."""
    columns = np.arange(target.dim)
    padded = np.resize(points, (max(num_points(target.dim), len(points)), target.dim))
    found = _look(target, jnp.asarray(padded, jnp.result_type(float)), jnp.asarray(columns))[1]
    hessians = np.asarray(found, np.float64)[: len(points)]
    return 0.5 * (hessians + hessians.transpose(0, 2, 1))


def num_points(num_columns: int) -> int:
    """At how many points Hessians are looked at."""
    return int(np.clip(PRODUCTS // num_columns, *POINTS))


def evenly(size: int, most: int) -> np.ndarray:
    """At most ``most`` of 0, 1, ..., size - 1, evenly spread."""
    return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(int))
