"""A natural-gradient step from a standard normal, as long as a bound on the divergence allows."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vi_toolkit._types import Scalar, Vector

BISECTIONS = 60


class Step(NamedTuple):
    """From N(0, I) to N(mean, covariance)."""

    mean: Vector
    covariance: Array
    divergence: Scalar  # D(new || old), in nats
    gain: Scalar  # of the ELBO, as the quadratic has it
    damping: Scalar  # eta below; zero for a full Newton step


def step_within(slope: Vector, curvature: Array, radius: Scalar) -> Step:
    """Maximises the ELBO of a quadratic log density minus eta D(q || N(0, I)), with the least eta that keeps in bounds.

    With -curvature = V diag(l) V^T and a = V^T slope, the new precision is V diag((bend + eta) / (1 + eta)) V^T and the
    new mean V (a / (bend + eta)): eta = 0 is the variational Newton step, eta -> infinity the natural gradient, and
    directions in which the log density is not concave need eta > -b.

    Args:
        slope: E_q[gradient], (dim,).
        curvature: E_q[Hessian], (dim, dim), symmetric.
        radius: the bound on D(new || old), in nats.

    Source: Abdolmaleki et al. (2015), Model-based relative entropy stochastic search, NeurIPS; Khan & Rue (2023), The
    Bayesian learning rule, arXiv:2107.04562.
    """
    bend, V = jnp.linalg.eigh(-curvature)
    a = V.T @ slope
    tiny = float(np.finfo(bend.dtype).eps)

    def divergence(eta: Scalar) -> Scalar:
        return _divergence((bend + eta) / (1 + eta), a / (bend + eta))

    least = jnp.maximum(tiny, -bend[0] * (1 + 10 * tiny) + tiny)
    size = 1 + jnp.linalg.norm(bend - 1) + jnp.linalg.norm(a) + jnp.abs(bend[0])
    most = 4 * size * (1 + 1 / jnp.sqrt(radius))

    def halve(_: Array, bounds: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = bounds
        middle = 0.5 * (low + high)
        too_long = ~(divergence(jnp.exp(middle)) <= radius)
        return jnp.where(too_long, middle, low), jnp.where(too_long, high, middle)

    found = jnp.exp(jax.lax.fori_loop(0, BISECTIONS, halve, (jnp.log(least), jnp.log(most)))[1])
    free = (bend[0] > 0) & (divergence(jnp.zeros_like(found)) <= radius)
    eta = jnp.where(free, 0.0, found)
    precision, mean = (bend + eta) / (1 + eta), a / (bend + eta)
    gain = (
        a @ mean
        - 0.5 * jnp.sum(bend * mean**2)
        - 0.5 * jnp.sum(bend * (1 / precision - 1))
        - 0.5 * jnp.log(precision).sum()
    )
    return Step(V @ mean, (V / precision) @ V.T, _divergence(precision, mean), gain, eta)


def _divergence(precision: Vector, mean: Vector) -> Scalar:
    """D(N(mean, 1 / precision) || N(0, 1)), summed over independent directions."""
    return 0.5 * jnp.sum(1 / precision - 1 + jnp.log(precision)) + 0.5 * jnp.sum(mean**2)
