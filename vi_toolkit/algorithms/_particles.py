"""A set of particles as a distribution, and how far apart two such sets are."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array

from vi_toolkit._types import Draws, Scalar, Vector

SHRINKS = np.geomspace(0.02, 2.0, 40)  # bandwidths that are tried, in units of the rule of thumb


def kernel_density(particles: Draws, scale: Vector) -> dist.Distribution:
    """(1/n) sum_i N(z; z_i, h^2 L L^T), with h and L by the likelihood of every particle under all the others.

    L is the diagonal matrix of ``scale``, or the root of the particles' own covariance (of its diagonal where they
    are not twice as many as the dimensions). The bandwidths tried are shares of the rule of thumb for normals.
    """
    count, dim = particles.shape
    shapes = jnp.stack([jnp.diag(scale), _root(particles)])
    rule = (4.0 / ((dim + 2.0) * count)) ** (1.0 / (dim + 4.0))
    bandwidths, likelihoods = jax.vmap(lambda shape: _tried(particles, shape, rule))(shapes)
    best = jnp.argmax(jnp.where(jnp.isfinite(likelihoods), likelihoods, -jnp.inf))
    factor = bandwidths.reshape(-1)[best] * shapes[best // len(SHRINKS)]
    return dist.MixtureSameFamily(
        dist.Categorical(probs=jnp.full(count, 1.0 / count, particles.dtype), validate_args=False),
        dist.MultivariateNormal(particles, scale_tril=factor, validate_args=False),
        validate_args=False,
    )


def divergence_of_moments(before: Draws, after: Draws) -> Scalar:
    """D(N_before || N_after) in nats, between normals of the means and covariances of two sets of particles."""
    p, q = (dist.MultivariateNormal(x.mean(0), scale_tril=_root(x), validate_args=False) for x in (before, after))
    return dist.kl_divergence(p, q)


def _root(particles: Draws) -> Array:
    """L with L L^T the covariance, or where there are too few particles for it, its diagonal."""
    count, dim = particles.shape
    if count <= 2 * dim:
        return jnp.diag(jnp.std(particles, axis=0))
    return jnp.linalg.cholesky(jnp.atleast_2d(jnp.cov(particles, rowvar=False, bias=True)))


def _tried(particles: Draws, shape: Array, rule: float) -> tuple[Array, Array]:
    """The bandwidths tried with a shape L, and for each the mean log likelihood of a particle under the others."""
    y = jax.scipy.linalg.solve_triangular(shape, particles.T, lower=True).T
    squares = jnp.sum((y[:, None] - y) ** 2, axis=-1) + jnp.diag(jnp.full(len(y), jnp.inf, y.dtype))
    bandwidths = rule * jnp.sqrt(jnp.mean(jnp.var(y, axis=0))) * jnp.asarray(SHRINKS, y.dtype)
    volume = jnp.sum(jnp.log(jnp.diagonal(shape)))

    def likelihood(h: Scalar) -> Scalar:
        return jnp.mean(jax.nn.logsumexp(-squares / (2 * h**2), axis=-1)) - y.shape[1] * jnp.log(h) - volume

    return bandwidths, jax.lax.map(likelihood, bandwidths)
