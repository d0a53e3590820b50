"""The curvature of a log density at a point, in axes in which it is about one, and the step that it asks for."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vi_toolkit._types import Density, Scalar, Vector

BLOCK = 32  # Hessian-vector products at a time: memory of as many gradients, whatever the dimension
BISECTIONS = 60


class Curvature(NamedTuple):
    """A^T (-H) A = diag(values), H the Hessian."""

    axes: Array  # A, (dim, dim): an axis in each column
    values: Vector  # in nats
    noise: Vector  # how far the computed matrix was from symmetric along each axis: what rounding did to it


def curvature_at(target: Density, location: Vector, axes: Array) -> Curvature:
    """The axes turned so that minus the Hessian is diagonal in them.

    Products with axes that are scaled to the curvature lose no digits where a Hessian written out would: with two
    columns of a design alike, its entries hold n + 1e-6, of which float32 keeps n, while the product with (1, -1)
    is 1e-6. An axis found in one pass to few digits is found in the next to all of them.
    """
    _, product = jax.linearize(jax.grad(target.log_density), location)
    rows = jax.lax.map(product, axes.T, batch_size=min(BLOCK, len(location)))
    matrix = -_matmul(rows, axes)
    values, rotation = jnp.linalg.eigh(0.5 * (matrix + matrix.T))
    noise = jnp.linalg.norm(_matmul(matrix - matrix.T, rotation), axis=0)
    return Curvature(_matmul(axes, rotation), values, noise)


def newton_step(slope: Vector, values: Vector, radius: Scalar) -> tuple[Vector, Scalar]:
    """The u of length at most ``radius`` with the highest slope . u - sum_i values_i u_i^2 / 2, and that height.

    u = slope / (values + eta), with the least eta >= 0 that keeps it short and values + eta positive. Where that is
    too short still, it goes on along the axis of lowest curvature.

    Source: More & Sorensen (1983), Computing a trust region step, doi:10.1137/0904038.
    """
    tiny = np.finfo(values.dtype).eps
    lowest = values.min()
    least = jnp.where(lowest > 0, 0.0, -lowest + tiny * (1 + jnp.abs(values).max()))
    most = least + jnp.linalg.norm(slope) / radius + tiny

    def halve(_: Array, bounds: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = bounds
        middle = 0.5 * (low + high)
        too_long = ~(jnp.linalg.norm(slope / (values + middle)) <= radius)
        return jnp.where(too_long, middle, low), jnp.where(too_long, high, middle)

    free = jnp.linalg.norm(slope / (values + least)) <= radius
    found = jax.lax.fori_loop(0, BISECTIONS, halve, (least, most))[1]
    u = slope / (values + jnp.where(free, least, found))
    further = jnp.sqrt(jnp.maximum(radius**2 - u @ u, 0.0)) * jnp.where(slope >= 0, 1.0, -1.0)
    u = u + jnp.where((lowest <= 0) & (jnp.arange(len(u)) == jnp.argmin(values)), further, 0.0)
    return u, slope @ u - 0.5 * jnp.sum(values * u**2)


def cholesky_of_columns(columns: Array) -> Array:
    """The lower triangular L with a positive diagonal and L L^T = columns columns^T, which is never written out."""
    upper = jnp.linalg.qr(columns.T, mode="r")
    return (upper * jnp.where(jnp.diagonal(upper) < 0, -1.0, 1.0)[:, None]).T


def _matmul(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision="highest")  # an accelerator's default keeps three digits
