"""Where a search for the mode stands, and what its axes say: lengths, flat directions, the fall of the density."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vi_toolkit._types import Scalar, Vector
from vi_toolkit.algorithms._curvature import Curvature
from vi_toolkit.targets import Target


class LaplaceState(NamedTuple):
    """The point reached and the curvature there."""

    location: Vector
    value: Scalar  # log p~ there
    gradient: Vector
    scale: Vector  # conditional sds where the Newton steps began: the unit in which lengths are judged
    curvature: Curvature
    look: Array  # whether the curvature has to be found anew
    radius: Scalar  # of the trust region, in sds
    decrement: Scalar  # what the last full Newton step would have gained, in nats
    flat: Array  # (dim,): which axes are flat
    factor: Array  # (dim, dim): of the covariance, lower triangular
    unsettled: Vector  # (dim,): the share of each coordinate in the direction that did not come to rest, or is flat
    num_trials: Scalar
    spent: Scalar  # gradients, to be counted with the first step
    outcome: Scalar


def rounding_floor(values: Vector) -> Scalar:
    """The smallest curvature that is told from zero next to the largest."""
    largest = jnp.abs(values).max()
    return 16 * np.finfo(values.dtype).eps * jnp.where(largest > 0, largest, 1.0)


def known_directions(curvature: Curvature) -> Vector:
    """The curvature with what is rounding replaced by the least that can be told."""
    values, noise = curvature.values, curvature.noise
    return jnp.where(
        values < -jnp.maximum(4 * noise, rounding_floor(values)), values, jnp.maximum(values, rounding_floor(values))
    )


def is_clear(values: Vector, flat: Array) -> Array:
    """Whether the axes are so well scaled that the smallest curvature has half of the digits at least."""
    most, least = jnp.where(flat, 0.0, values).max(), jnp.where(flat, jnp.inf, values).min()
    return least * 0.003 > most * jnp.sqrt(np.finfo(values.dtype).eps)


def lengths(axes: Array, scale: Vector) -> Vector:
    return jnp.linalg.norm(axes / scale[:, None], axis=0)


def shares(axes: Array, scale: Vector, weights: Array) -> Vector:
    """How much each coordinate takes part in the axes that have weight, from 0 to 1."""
    directions = jnp.abs(axes / scale[:, None]) / lengths(axes, scale)
    shares = jnp.max(directions * weights, axis=1)
    return shares / jnp.maximum(shares.max(), np.finfo(shares.dtype).tiny)


def axis_columns(state: LaplaceState) -> Array:
    """Columns whose outer products sum to the covariance; a flat axis has the length that the start gave it."""
    axes, values, _ = state.curvature
    sds = 1.0 / jnp.sqrt(jnp.maximum(jnp.abs(values), rounding_floor(values)))
    return axes * jnp.where(state.flat, 1.0 / lengths(axes, state.scale), jnp.where(jnp.isfinite(sds), sds, 1.0))


def least_fall(target: Target, state: LaplaceState) -> tuple[Scalar, Array]:
    """By how much the density falls one sd from the mode, where it falls least, and along which axis that is."""
    columns = jnp.where(state.flat, 0.0, axis_columns(state)).T
    both = jax.lax.map(
        lambda column: jnp.stack([target.log_density(state.location + sign * column) for sign in (1.0, -1.0)]),
        columns,
        batch_size=32,
    )
    falls = jnp.where(jnp.isnan(both), jnp.inf, state.value - both).min(axis=1)
    falls = jnp.where(state.flat, jnp.inf, falls)
    return falls.min(), jnp.where(jnp.arange(len(falls)) == jnp.argmin(falls), 1.0, 0.0)


def not_asked(state: LaplaceState) -> tuple[Scalar, Array]:
    return jnp.full_like(state.value, 0.5), jnp.zeros_like(state.location)


def next_radius(radius: Scalar, length: Scalar, ratio: Scalar) -> Scalar:
    longer = jnp.where((ratio > 0.75) & (length > 0.9 * radius), 4.0 * radius, radius)
    return jnp.where(ratio >= 0.25, longer, 0.25 * jnp.minimum(length, radius))


def entries(site: Any, indices: np.ndarray) -> str:
    """A site with the entries meant, such as "tau" or "theta[0, 3]"."""
    if not len(indices):
        return ""
    if site.unconstrained_shape in ((), (1,)):
        return site.name
    return f"{site.name}[{', '.join(str(i) for i in indices[:5])}{', ...' if len(indices) > 5 else ''}]"
