"""The normal that a quasi-Newton climb knows at a point of its path: a diagonal, and what a few steps taught."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vi_toolkit._types import Draws, LogWeights, Scalar, Vector
from vi_toolkit.guides._factors import solve_triangular
from vi_toolkit.guides._location_scale import LocationScale, StandardNormal


class PathFactor(NamedTuple):
    """L = diag(s) (I + Q (C - I) Q^T), Q orthonormal of few columns and C lower triangular; leading axes allowed."""

    scale: Array  # s, (..., dim)
    basis: Array  # Q, (..., dim, rank)
    core: Array  # C, (..., rank, rank)

    def times(self, t: Array) -> Array:
        inside = self._project(t)
        return self.scale * (t + _apply(self.basis, _apply(self.core, inside) - inside))

    def solve(self, r: Array) -> Array:
        v = r / self.scale
        inside = self._project(v)
        return v + _apply(self.basis, solve_triangular(self.core, inside) - inside)

    @property
    def log_determinant(self) -> Array:
        on = jnp.diagonal(self.core, axis1=-2, axis2=-1)
        return jnp.log(self.scale).sum(-1) + jnp.log(on).sum(-1)

    def matrix(self) -> Array:
        extra = self.core - jnp.eye(self.core.shape[-1], dtype=self.core.dtype)
        inner = self.basis @ extra @ jnp.swapaxes(self.basis, -1, -2)
        return self.scale[..., None] * (jnp.eye(self.scale.shape[-1], dtype=self.scale.dtype) + inner)

    def variances(self, v: Array) -> Array:
        return (self.matrix() ** 2 @ v[..., None])[..., 0]

    def _project(self, t: Array) -> Array:
        return _apply(jnp.swapaxes(self.basis, -1, -2), t)


class PathNormal(NamedTuple):
    """N(location, L L^T)."""

    location: Array
    factor: PathFactor

    @property
    def distribution(self) -> LocationScale:
        return LocationScale(self.location, self.factor, StandardNormal())


def standard(location: Vector, rank: int) -> PathNormal:
    """N(location, I)."""
    basis = jnp.eye(len(location), rank, dtype=location.dtype)
    return PathNormal(location, PathFactor(jnp.ones_like(location), basis, jnp.eye(rank, dtype=location.dtype)))


def path_normal(z: Vector, gradient: Vector, diagonal: Vector, moves: Draws, turns: Draws) -> PathNormal:
    """N(z + H g, H), with H the inverse of minus the Hessian that the last moves and turns of the gradient suggest.

    Args:
        z: the point, (dim,).
        gradient: of the log density there, (dim,).
        diagonal: that of H before the moves kept, (dim,).
        moves: s_k, (memory, dim), the oldest first; zero where there is none.
        turns: minus the change of the gradient along each, with s_k . y_k = 1.

    Source: Zhang et al. (2022), Pathfinder, arXiv:2108.03782, algorithms 3 and 4.
    """
    from blackjax.optimizers.lbfgs import lbfgs_inverse_hessian_factors  # it computes when it is imported

    beta, gamma = lbfgs_inverse_hessian_factors(moves.T, turns.T, diagonal)
    scale = jnp.sqrt(diagonal)
    basis, upper = jnp.linalg.qr(beta / scale[:, None])
    core = jnp.linalg.cholesky(jnp.eye(len(upper), dtype=z.dtype) + upper @ gamma @ upper.T)
    return PathNormal(z + diagonal * gradient + beta @ (gamma @ (beta.T @ gradient)), PathFactor(scale, basis, core))


def next_diagonal(diagonal: Vector, move: Vector, turn: Vector) -> Vector:
    """The diagonal after a move with move . turn = 1."""
    from blackjax.optimizers.lbfgs import lbfgs_recover_alpha  # it computes when it is imported

    new, _ = lbfgs_recover_alpha(diagonal, move, turn, 0.0)
    usable = jnp.all(jnp.isfinite(new) & (new > 0))
    return jnp.where(usable, new, diagonal)


def elbo(q: PathNormal, values: LogWeights, noise: Draws) -> tuple[Scalar, Scalar]:
    """The mean of log p~(z) - log q(z) over z = m + L e, e in mirrored pairs, and its standard error.

    -inf where it is not finite.
    """
    half = len(noise) // 2
    log_q = -0.5 * jnp.sum(noise**2, axis=1) - 0.5 * noise.shape[1] * np.log(2 * np.pi) - q.factor.log_determinant
    each = values - log_q
    pairs = 0.5 * (each[:half] + each[half:])
    finite = jnp.all(jnp.isfinite(each))
    return jnp.where(finite, pairs.mean(), -jnp.inf), jnp.where(finite, pairs.std() / np.sqrt(half), 0.0)


def _apply(matrix: Array, vector: Array) -> Array:
    return (matrix @ vector[..., None])[..., 0]


def log_densities_of(normals: PathNormal, points: Array) -> Array:
    """log q_k(z) of normals with a leading axis, at points (..., dim): (paths, ...)."""
    return jax.vmap(lambda q: q.distribution.log_prob(points))(normals)
