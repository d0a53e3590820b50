"""Several normals as one mixture: its density and score at points, and the batch that each normal was judged by."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vi_toolkit._types import Draws, LogWeights, Scalar
from vi_toolkit.algorithms._known_points import Normal, Points

NEGLIGIBLE = 1e-3  # weight, below which a component is not waited for


class Mixture(NamedTuple):
    """q = sum_k w_k q_k."""

    log_weights: Array  # (components,), normalised
    normals: Normal  # with a leading axis

    @property
    def weights(self) -> Array:
        return jnp.exp(self.log_weights)

    @property
    def counts(self) -> Array:
        """Whether each component has weight enough to be waited for."""
        return self.weights > NEGLIGIBLE


class Seen(NamedTuple):
    """Points as the mixture sees them, densities without the constant (dim / 2) log(2 pi)."""

    x: Array  # (components, points, dim): in the coordinates in which each component is standard normal
    log_each: Array  # (components, points): log q_k
    log_density: LogWeights  # log q
    score: Draws  # its gradient with respect to z


def seen_by(mixture: Mixture, z: Draws) -> Seen:
    """log q_k, log q and grad log q = sum_k (w_k q_k / q) grad log q_k at every point."""
    normals = mixture.normals
    x = jax.vmap(lambda q: (z - q.location) @ q.inverse.T)(normals)
    log_determinants = jnp.log(jnp.diagonal(normals.factor, axis1=1, axis2=2)).sum(1)
    log_each = -0.5 * jnp.sum(x**2, axis=-1) - log_determinants[:, None]
    joint = mixture.log_weights[:, None] + log_each
    log_density = jax.nn.logsumexp(joint, axis=0)
    shares = jnp.exp(joint - log_density)
    return Seen(x, log_each, log_density, -jnp.einsum("kn,kni,kij->nj", shares, x, normals.inverse))


def divergence(q: Normal, r: Normal) -> Scalar:
    """D(q || r), in nats."""
    root, shift = r.inverse @ q.factor, r.inverse @ (q.location - r.location)
    return 0.5 * (jnp.sum(root**2) + shift @ shift - len(shift)) + r.log_determinant - q.log_determinant


class Batch(NamedTuple):
    """Draws of each component, the second half mirroring the first, and the target there."""

    z: Array  # (components, draws, dim)
    value: Array  # (components, draws): log p~


class MixtureState(NamedTuple):
    """Where a fit stands between two looks at the target."""

    proposal: Mixture  # from which the next batches are drawn
    anchors: Mixture  # the last normals that were kept
    batch: Batch  # of the anchors
    gain: Array  # (components,): predicted, of each component's own objective
    length: Array  # (components,): D(next || anchor), in nats
    points: Points
    radius: Array  # (components,): of the trust regions, in nats
    refused: Array  # (components,): steps in a row
    rested: Array  # steps at which the points agreed on a mixture next to the present one
    spent: Scalar  # gradients of the start, to be counted with the first step
    outcome: Array


def of_pairs(each: Array) -> tuple[Array, Array]:
    """Means over mirrored pairs, (components, draws) to (components,), and standard errors; -inf where not finite."""
    half = each.shape[1] // 2
    pairs = 0.5 * (each[:, :half] + each[:, half:])
    finite = jnp.all(jnp.isfinite(each), axis=1)
    error = pairs.std(1) / np.sqrt(half)
    return jnp.where(finite, pairs.mean(1), -jnp.inf), jnp.where(finite, error, 0.0)


def own_objectives(mixture: Mixture, batch: Batch, normals: Normal) -> tuple[Array, Array]:
    """E_r[log p~ - log q + log q_k - log r] for each r of the normals, by its batch, with its standard error; in nats.

    With the responsibilities w_k q_k / q held fixed, this is what component k has a share in: raising it for any k
    raises the ELBO.
    """
    components, draws, dim = batch.z.shape
    flat = batch.z.reshape(-1, dim)
    seen, own = seen_by(mixture, flat), seen_by(mixture._replace(normals=normals), flat)
    shape, k = (components, components, draws), np.arange(components)
    before, after = seen.log_each.reshape(shape)[k, k], own.log_each.reshape(shape)[k, k]
    each = batch.value - seen.log_density.reshape(components, draws) + before - after
    return of_pairs(each + 0.5 * dim * np.log(2 * np.pi))


def elbo(mixture: Mixture, batch: Batch) -> Scalar:
    """sum_k w_k E_qk[log p~ - log q], by the batches of the components, in nats; those of no weight are left out."""
    means, _ = own_objectives(mixture, batch, mixture.normals)
    return jnp.sum(jnp.where(mixture.weights > 1e-12, mixture.weights * means, 0.0))
