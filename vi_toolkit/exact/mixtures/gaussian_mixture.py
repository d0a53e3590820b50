"""Gaussian mixtures of any dimension."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from vi_toolkit._checks import describe
from vi_toolkit._types import Scalar, Vector
from vi_toolkit.exact._inputs import as_array
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import from_log_density


def gaussian_mixture(weights: Any, means: Any, covariances: Any) -> ExactPosterior:
    r"""The density p(z) = sum_k w_k N(z; mu_k, S_k) on R^d.

    Its mean is mu = sum_k w_k mu_k and its covariance sum_k w_k (S_k + (mu_k - mu)(mu_k - mu)'); log Z = 0.

    ``modes`` are the local maxima that are reached by climbing from the means mu_k: where components lie close
    together, there are fewer modes than components. A draw z is shared out by the probabilities
    w_k N(z; mu_k, S_k) / p(z) that it came from component k, summed over the components that climb to one mode; their
    expectation under p, ``mode_weights``, is exactly the sum of these components' weights.

    Args:
        weights: w, of shape (K,), above 0. They are divided by their sum.
        means: mu, of shape (K, d).
        covariances: S, of shape (K, d, d), positive definite.

    Returns:
        The posterior, of dim d, normalised: log evidence 0.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if shapes do not fit, a weight is not positive, or a covariance is not symmetric positive definite.

    Example:
        >>> import jax.numpy as jnp
        >>> from vi_toolkit import exact
        >>> mixture = exact.gaussian_mixture([0.25, 0.75], [[-4.0], [4.0]], [[[1.0]], [[1.0]]])
        >>> mixture.mean, mixture.covariance, mixture.mode_weights
        (array([2.]), array([[13.]]), array([0.25, 0.75]))

    Source: the climb is the mean shift of Carreira-Perpinan (2000), Mode-finding for mixtures of Gaussian
    distributions, doi:10.1109/34.888716.
    """
    weights, means, covariances = _check(weights, means, covariances)
    roots = np.linalg.cholesky(covariances)
    identity = np.eye(means.shape[1])
    whiteners = np.stack([solve_triangular(root, identity, lower=True) for root in roots])
    mean = weights @ means
    centred = means - mean
    modes, mode_of = _modes(weights, means, whiteners)
    density = jax.tree_util.Partial(_log_density, *map(jnp.asarray, (np.log(weights), means, whiteners)))
    return ExactPosterior(
        name=f"mixture of {len(weights)} Gaussians",
        target=from_log_density(density, dim=len(mean), log_evidence=0.0),
        how="closed form",
        sampler=partial(_draw, weights, means, roots),
        log_evidence=0.0,
        mean=mean,
        covariance=np.einsum("k,kij->ij", weights, covariances) + (weights[:, None] * centred).T @ centred,
        modes=modes,
        mode_weights=weights @ mode_of,
        shares=partial(_shares, weights, means, whiteners, mode_of),
        constrained_moments={},
    )


def _log_density(log_weights: Any, means: Any, whiteners: Any, z: Vector) -> Scalar:
    """log sum_k w_k N(z; mu_k, S_k), with whiteners W_k such that W_k S_k W_k' = I."""
    white = jnp.einsum("kij,kj->ki", whiteners, z - means)
    log_det = jnp.sum(jnp.log(jnp.diagonal(whiteners, axis1=1, axis2=2)), axis=1)
    log_normals = log_det - 0.5 * jnp.sum(white**2, axis=1) - 0.5 * z.size * jnp.log(2.0 * jnp.pi)
    return jax.nn.logsumexp(log_weights + log_normals)


def _responsibilities(weights: np.ndarray, means: np.ndarray, whiteners: np.ndarray, z: np.ndarray) -> np.ndarray:
    """(points, K): the probabilities that points z (points, d) came from each component."""
    white = np.einsum("kij,nkj->nki", whiteners, z[:, None] - means)
    log_det = np.log(np.diagonal(whiteners, axis1=1, axis2=2)).sum(axis=1)
    log_terms = np.log(weights) + log_det - 0.5 * np.sum(white**2, axis=2)
    return np.exp(log_terms - logsumexp(log_terms, axis=1, keepdims=True))


def _shares(
    weights: np.ndarray, means: np.ndarray, whiteners: np.ndarray, mode_of: np.ndarray, z: np.ndarray
) -> np.ndarray:
    return _responsibilities(weights, means, whiteners, z) @ mode_of


def _modes(weights: np.ndarray, means: np.ndarray, whiteners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The maxima (M, d) that the means climb to, and which component climbs where (K, M), one or zero."""
    precisions = np.einsum("kij,kil->kjl", whiteners, whiteners)
    z = means.copy()
    for _ in range(10_000):
        share = _responsibilities(weights, means, whiteners, z)
        left = np.einsum("nk,kij->nij", share, precisions)
        right = np.einsum("nk,kij,kj->ni", share, precisions, means)
        previous, z = z, np.linalg.solve(left, right[..., None])[..., 0]
        if np.abs(np.einsum("kij,kj->ki", whiteners, z - previous)).max() < 1e-12:
            break
    modes: list[np.ndarray] = []
    mode_of = np.zeros((len(z), len(z)))
    for k, point in enumerate(z):  # in units of the component's sds
        distances = [np.linalg.norm(whiteners[k] @ (point - mode)) for mode in modes]
        if not distances or min(distances) > 1e-2:
            modes.append(point)
            distances.append(0.0)
        mode_of[k, int(np.argmin(distances))] = 1.0
    return np.stack(modes), mode_of[:, : len(modes)]


def _draw(
    weights: np.ndarray, means: np.ndarray, roots: np.ndarray, generator: np.random.Generator, num_draws: int
) -> np.ndarray:
    component = generator.choice(len(weights), size=num_draws, p=weights)
    noise = generator.standard_normal((num_draws, means.shape[1]))
    draws = np.empty_like(noise)
    for k in np.unique(component):
        chosen = component == k
        draws[chosen] = means[k] + noise[chosen] @ roots[k].T
    return draws


def _check(weights: Any, means: Any, covariances: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    weights, means = as_array(weights, "weights", 1), as_array(means, "means", 2)
    covariances = as_array(covariances, "covariances", 3)
    (K,), d = weights.shape, means.shape[1]
    if (weights <= 0).any():
        raise ValueError(f"weights: expected numbers above 0, got {weights.min()} at index {int(weights.argmin())}.")
    if len(means) != K:
        raise ValueError(f"means: expected shape ({K}, dim), one row a weight, got {describe(means)}.")
    if covariances.shape != (K, d, d):
        raise ValueError(f"covariances: expected shape {(K, d, d)}, got {describe(covariances)}.")
    for k, covariance in enumerate(covariances):
        symmetric = np.allclose(covariance, covariance.T, rtol=0.0, atol=1e-10 * np.abs(covariance).max())
        if not symmetric or np.linalg.eigvalsh(covariance)[0] <= 0:
            raise ValueError(f"covariances: expected symmetric positive definite ones; number {k} is not.")
    return weights / weights.sum(), means, covariances
