"""Coordinates in which a cloud of points, or q, has about unit covariance."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float

from vi_toolkit._types import Draws, Key, Vector

NUM_DRAWS = 256  # of q, by which its covariance is known where it has no closed form

Root = Float[Array, "dim dim"] | Float[Array, "dim"]  # R with R R^T the covariance; a vector is its diagonal


def root_of(q: Any, key: Key) -> Root:
    """A square root of the covariance of q: in closed form for normals, else by draws."""
    if isinstance(q, dist.Independent) and isinstance(q.base_dist, dist.Normal):
        return q.base_dist.scale
    if isinstance(q, dist.MultivariateNormal):
        return q.scale_tril
    return root_of_points(q.sample(key, (NUM_DRAWS,)))


def root_of_points(points: Draws) -> Root:
    """A Cholesky factor of the points' covariance, drawn towards its diagonal where the points are few."""
    count, dim = points.shape
    centred = points - points.mean(0)
    covariance = centred.T @ centred / count
    scale = jnp.sqrt(jnp.diagonal(covariance))
    scale = jnp.where(scale > 0, scale, 1.0)
    shrink = (dim + 1) / (count + dim + 1)
    correlation = (1 - shrink) * covariance / scale / scale[:, None] + shrink * jnp.eye(dim, dtype=points.dtype)
    return scale[:, None] * jnp.linalg.cholesky(correlation)


def stretch(root: Root, e: Vector) -> Vector:
    """R e."""
    return root @ e if root.ndim == 2 else root * e
