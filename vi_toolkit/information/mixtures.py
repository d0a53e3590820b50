"""KL divergence between Gaussian mixtures, which has no closed form: by Monte Carlo, between two bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpyro.distributions import (
    Distribution,
    ExpandedDistribution,
    Independent,
    LowRankMultivariateNormal,
    MixtureGeneral,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)
from scipy.special import logsumexp

from vi_toolkit._checks import check_key, check_positive_int, describe
from vi_toolkit._types import Key
from vi_toolkit.information import _gaussian
from vi_toolkit.information._functionals import KL
from vi_toolkit.information._gaussian import Gaussian, as_gaussian
from vi_toolkit.information._measure import check_spaces
from vi_toolkit.information._monte_carlo import from_draws_of_both
from vi_toolkit.information.measurement import Measurement

NUM_SWEEPS = 300


@dataclass(frozen=True)
class MixtureDivergence:
    """D(p‖q) between mixtures: an estimate, and two bounds that hold without error. In nats.

    Attributes:
        estimate: by Monte Carlo, with its standard error.
        lower: no more than D(p‖q); at least 0.
        upper: no less than D(p‖q).

    Example:
        >>> import jax, jax.numpy as jnp, numpyro.distributions as dist
        >>> from vi_toolkit import information
        >>> even, normals = dist.Categorical(jnp.array([0.5, 0.5])), dist.Normal(jnp.array([-2.0, 2.0]), 1.0)
        >>> p = dist.MixtureSameFamily(even, normals)
        >>> found = information.kl_between_mixtures(jax.random.key(0), p, dist.Normal(0.0, 2.0))
        >>> found.lower <= found.estimate.value <= found.upper
        True
    """

    estimate: Measurement
    lower: float
    upper: float


def kl_between_mixtures(key: Key, p: Distribution, q: Distribution, *, num_draws: int = 10_000) -> MixtureDivergence:
    r"""D(p‖q) for p = sum_a w_a f_a and q = sum_b v_b g_b, all Gaussian: Monte Carlo, and two variational bounds.

    With D and H between single Gaussians and t_ab = ∫ f_a g_b in closed form, log q under f_a lies between

        log sum_b v_b e^(-D(f_a‖g_b)) - H(f_a)   and   log sum_b v_b t_ab

    and likewise log p; the bounds of D(p‖q) follow from the opposite ends. The upper one is the smaller of that and of
    sum_ab phi_ab (log(phi_ab / psi_ab) + D(f_a‖g_b)), minimised over phi and psi that split the weights w_a and v_b.

    Args:
        key: a JAX random key.
        p: NumPyro's `MixtureSameFamily` or `MixtureGeneral` of normals, or one normal.
        q: another, of the same event shape.
        num_draws: draws of the estimate, half from p and half from q.

    Returns:
        The estimate and the bounds, in nats.

    Raises:
        TypeError: if p or q is not a mixture of normals.
        ValueError: if their event shapes differ.

    Example:
        >>> import jax, numpyro.distributions as dist
        >>> from vi_toolkit import information
        >>> found = information.kl_between_mixtures(jax.random.key(0), dist.Normal(0.0, 1.0), dist.Normal(1.0, 1.0))
        >>> round(found.upper, 4)  # one component each: exact
        0.5

    Source: Durrieu, Thiran and Kelly (2012), Lower and upper bounds for approximation of the Kullback-Leibler
    divergence between Gaussian mixture models, doi:10.1109/ICASSP.2012.6289001; Hershey and Olsen (2007),
    Approximating the Kullback Leibler divergence between Gaussian mixture models, doi:10.1109/ICASSP.2007.366913.
    """
    check_key(key)
    (log_w, f), (log_v, g) = components(p, "p"), components(q, "q")
    check_spaces(p, q)
    estimate = from_draws_of_both(KL, p, q, key, check_positive_int(num_draws, "num_draws"))
    lower, upper = _bounds(log_w, f, log_v, g)
    return MixtureDivergence(estimate, max(lower, 0.0), min(upper, _matched_bound(log_w, f, log_v, g)))


def components(distribution: Any, name: str) -> tuple[np.ndarray, list[Gaussian]]:
    """Log weights (K,) and Gaussians of a mixture; components of weight zero are left out."""
    if isinstance(distribution, MixtureSameFamily):
        weights, parts = distribution.mixing_distribution.probs, _split(distribution.component_distribution)
    elif isinstance(distribution, MixtureGeneral):
        weights = distribution.mixing_distribution.probs
        parts = [as_gaussian(part) for part in distribution.component_distributions]
    else:
        weights, parts = np.ones(1), [as_gaussian(distribution) if isinstance(distribution, Distribution) else None]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts) or np.ndim(weights) != 1:
        raise TypeError(f"{name}: expected one normal distribution or mixture of them, got {describe(distribution)}.")
    weights = np.asarray(weights, np.float64)
    return np.log(weights[weights > 0.0]), [part for part, weight in zip(found, weights, strict=True) if weight > 0.0]


def _split(batch: Distribution) -> list[Gaussian | None]:
    """The components that NumPyro holds as one distribution with a batch axis."""
    (count,) = batch.batch_shape
    base = batch
    while isinstance(base, (Independent, ExpandedDistribution)):
        base = base.base_dist
    is_vector = isinstance(base, (MultivariateNormal, LowRankMultivariateNormal)) and len(batch.event_shape) == 1
    if not (is_vector or isinstance(base, Normal)):
        return [None] * count
    mean = np.asarray(batch.mean, np.float64).reshape(count, -1)
    if isinstance(base, Normal):
        sds = np.sqrt(np.asarray(batch.variance, np.float64)).reshape(count, -1)
        roots = np.stack([np.diag(sd) for sd in sds])
    elif isinstance(base, MultivariateNormal):
        roots = np.asarray(base.scale_tril, np.float64)
    else:
        roots = np.linalg.cholesky(np.asarray(base.covariance_matrix, np.float64))
    roots = np.broadcast_to(roots, (count, mean.shape[1], mean.shape[1]))
    return [Gaussian(*part) for part in zip(mean, roots, strict=True)]


def _bounds(log_w: np.ndarray, f: list[Gaussian], log_v: np.ndarray, g: list[Gaussian]) -> tuple[float, float]:
    weights, entropies = np.exp(log_w), np.array([_gaussian.entropy(a) for a in f])
    log_p_low = logsumexp(log_w - _divergences(f, f), axis=1) - entropies
    log_q_low = logsumexp(log_v - _divergences(f, g), axis=1) - entropies
    log_p_high = logsumexp(log_w + _log_overlaps(f, f), axis=1)
    log_q_high = logsumexp(log_v + _log_overlaps(f, g), axis=1)
    return float(weights @ (log_p_low - log_q_high)), float(weights @ (log_p_high - log_q_low))


def _matched_bound(log_w: np.ndarray, f: list[Gaussian], log_v: np.ndarray, g: list[Gaussian]) -> float:
    divergences = _divergences(f, g)
    log_phi = log_w[:, None] + log_v
    for _ in range(NUM_SWEEPS):
        log_psi = log_v + log_phi - logsumexp(log_phi, axis=0)
        log_phi = log_psi - divergences
        log_phi += (log_w - logsumexp(log_phi, axis=1))[:, None]
    log_psi = log_v + log_phi - logsumexp(log_phi, axis=0)
    with np.errstate(invalid="ignore"):
        terms = np.exp(log_phi) * (log_phi - log_psi + divergences)
    return float(np.nan_to_num(terms, nan=0.0).sum())


def _divergences(f: list[Gaussian], g: list[Gaussian]) -> np.ndarray:
    return np.array([[_gaussian.kl(a, b) for b in g] for a in f])


def _log_overlaps(f: list[Gaussian], g: list[Gaussian]) -> np.ndarray:
    return np.array([[_gaussian.log_overlap(a, b) for b in g] for a in f])
