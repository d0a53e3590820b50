"""A square root of the covariance of a guide, for objectives that measure in its units."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array

from vi_toolkit.guides._location_scale import LocationScale
from vi_toolkit.guides.guide import GuideDraws


def covariance_root(q: Any, draws: GuideDraws) -> Array:
    """R with R R^T = Cov(q): of shape (dim, columns), or (dim,), its diagonal, where q's coordinates are independent.

    In closed form for normals, other location-scale families and mixtures of these; for any other q it is that of
    ``draws``, unbiased where they are independent.
    """
    known = _known_root(q)
    return _root_of_draws(draws) if known is None else known


def standard_deviations(root: Array) -> Array:
    """The standard deviations (dim,) that belong to a root."""
    return root if root.ndim == 1 else jnp.sqrt(jnp.sum(root**2, axis=-1))


def _known_root(q: Any) -> Array | None:
    if isinstance(q, dist.Independent) and isinstance(q.base_dist, dist.Normal):
        return q.base_dist.scale
    if isinstance(q, dist.MultivariateNormal):
        return q.scale_tril
    if isinstance(q, dist.LowRankMultivariateNormal):
        return jnp.concatenate([_diagonal(jnp.sqrt(q.cov_diag)), q.cov_factor], axis=-1)
    if isinstance(q, dist.MultivariateStudentT):
        return jnp.sqrt(q.df / (q.df - 2))[..., None, None] * q.scale_tril
    if isinstance(q, LocationScale):
        spread = jnp.broadcast_to(jnp.sqrt(q.standard.variance), q.shape())
        return q.factor.matrix() * spread[..., None, :]
    if isinstance(q, dist.MixtureSameFamily):
        return _root_of_mixture(q)
    return None


def _root_of_mixture(q: dist.MixtureSameFamily) -> Array | None:
    """sum_k w_k (C_k + (m_k - m) (m_k - m)^T): the roots of its terms, side by side."""
    within = _known_root(q.component_distribution)
    if within is None:
        return None
    matrices = _diagonal(within) if within.ndim == 2 else within  # (components, dim, columns)
    shares = jnp.sqrt(q.mixing_distribution.probs)[:, None]
    between = shares * (q.component_distribution.mean - q.mean)
    columns = (shares[..., None] * matrices).transpose(1, 0, 2).reshape(matrices.shape[1], -1)
    return jnp.concatenate([columns, between.T], axis=-1)


def _root_of_draws(draws: GuideDraws) -> Array:
    """Sample covariance: columns sqrt(w_i) (z_i - m), divided by sqrt(1 - sum w_i^2), which takes out the bias."""
    points, weights = draws.points, draws.weights
    centred = points - weights @ points
    return (jnp.sqrt(weights / (1 - jnp.sum(weights**2)))[:, None] * centred).T


def _diagonal(values: Array) -> Array:
    return values[..., None] * jnp.eye(values.shape[-1], dtype=values.dtype)
