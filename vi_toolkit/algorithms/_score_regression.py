"""The quadratic that a log density looks like under a normal, from scores at points of any origin."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vi_toolkit._types import Draws, LogWeights, Scalar, Vector
from vi_toolkit.algorithms._known_points import View


class Quadratic(NamedTuple):
    """log p~(x) ~ const + slope . (x - mean) + (x - mean)^T curvature (x - mean) / 2 under the normal of that mean."""

    slope: Vector  # estimates E_q[gradient of log p~]
    curvature: Array  # estimates E_q[Hessian of log p~]
    centred: Draws  # the points about their weighted mean
    residuals: Draws  # what of the scores is not linear


def weights(view: View, mean: Vector, root: Array) -> LogWeights:
    """Importance weights, summing to one, of the points for N(mean, (root root^T)^-1); root is lower triangular."""
    y = (view.x - mean) @ root
    log_q = -0.5 * jnp.sum(y**2, axis=-1) + jnp.log(jnp.diagonal(root)).sum()
    return jax.nn.softmax(log_q - view.log_mixture)


def regress(view: View, weights: LogWeights, mean: Vector, diagonal: bool) -> Quadratic:
    """Weighted least squares of the scores on the points, which is exact where the log density is quadratic.

    By Stein's identity the slope of that regression under q is E_q[Hessian], and its value at the mean of q is
    E_q[gradient]: the two halves of the natural gradient of E_q[log p~].

    Source: Salimans & Knowles (2013), Fixed-form variational posterior approximation through stochastic linear
    regression, arXiv:1206.6679.
    """
    about_x, about_score = weights @ view.x, weights @ view.score
    centred = view.x - about_x
    weighted = centred * weights[:, None]
    dim = centred.shape[1]
    covariance = weighted.T @ centred
    ridge = 100 * np.finfo(covariance.dtype).eps * jnp.trace(covariance) / dim
    slopes = jnp.linalg.solve(covariance + ridge * jnp.eye(dim, dtype=ridge.dtype), weighted.T @ view.score)
    curvature = jnp.diag(jnp.diagonal(slopes)) if diagonal else 0.5 * (slopes + slopes.T)
    seen = slopes if diagonal else curvature
    residuals = view.score - about_score - centred @ seen
    return Quadratic(about_score + (mean - about_x) @ seen, curvature, centred, residuals)


class Errors(NamedTuple):
    """What the finite number of points leaves uncertain in a normal that is fitted to them."""

    nats: Scalar  # expected excess of D(q || p) over its minimum
    mean: Vector  # standard errors of the means, in the standard deviations of q, along the axes of x


def errors(quadratic: Quadratic, weights: LogWeights, diagonal: bool) -> Errors:
    """The noise of slope and curvature, from what is not linear in the scores, seen where q is the standard normal.

    With r the residuals and x the centred points, the estimates vary by V = sum_i w_i^2 r_i r_i^T and by
    sum_i w_i^2 (r_i x_i^T + x_i r_i^T)^2 / 4 entry by entry; a quarter of the latter's sum and half of V's trace are
    the divergence that they cause, to second order.
    """
    r, x, squared = quadratic.residuals, quadratic.centred, (weights**2)[:, None]
    of_mean = jnp.sum(squared * r**2, axis=0)
    if diagonal:
        of_curvature = jnp.sum(squared * r**2 * x**2)
    else:
        crossed = (squared * r**2).T @ x**2
        mixed = (squared * r * x).T @ (r * x)
        of_curvature = 0.5 * (jnp.sum(crossed) + jnp.sum(mixed))
    return Errors(0.5 * of_mean.sum() + 0.25 * of_curvature, jnp.sqrt(of_mean))
