"""Estimates from two sets of draws by the distances to their nearest neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import digamma, gammaln

from vi_toolkit.information.measurement import Measurement
from vi_toolkit.information.sample import Sample

NUM_NEIGHBOURS = 5


def log_distances(x: np.ndarray, y: np.ndarray, k: int, *, itself: bool = False) -> np.ndarray:
    """log of the distance from every row of x to its k-th neighbour among the rows of y, itself not counted."""
    if len(y) < k + itself:
        raise ValueError(f"draws: expected at least {k + itself} of each, got {len(y)}.")
    distances = cKDTree(y).query(x, k=k + itself)[0]
    last = distances[:, -1] if distances.ndim == 2 else distances
    if (last == 0.0).any():
        raise ValueError(
            f"draws: a draw has {k} others at distance 0. Nearest neighbours need draws of a density, without "
            "repeats: thin a Markov chain, and give discrete draws as probability vectors."
        )
    return np.log(last)


def log_ball(dim: int) -> float:
    """log volume of the unit ball of R^dim."""
    return 0.5 * dim * float(np.log(np.pi)) - float(gammaln(0.5 * dim + 1.0))


def check_pair(p: Sample, q: Sample) -> int:
    dim = p.draws.shape[1]
    if q.draws.shape[1] != dim:
        raise ValueError(f"q: expected draws of dim {dim}, as p has, got {q.draws.shape[1]}.")
    return dim


def entropy(p: Sample, q: Sample) -> Measurement:
    """H = psi(n) - psi(k) + log V + d E[log rho_k], rho_k the distance to the k-th neighbour."""
    (n, dim), k = p.draws.shape, NUM_NEIGHBOURS
    surprise = digamma(n) - digamma(k) + log_ball(dim) + dim * log_distances(p.draws, p.draws, k, itself=True)
    return _mean(surprise)


def cross_entropy(p: Sample, q: Sample) -> Measurement:
    """H(p, q) = log m - psi(k) + log V + d E[log nu_k], nu_k the distance to the k-th neighbour among q's m draws."""
    dim, k = check_pair(p, q), NUM_NEIGHBOURS
    return _mean(np.log(len(q.draws)) - digamma(k) + log_ball(dim) + dim * log_distances(p.draws, q.draws, k))


def kl(p: Sample, q: Sample) -> Measurement:
    """D(p || q) = log(m / (n - 1)) + d E[log nu_k - log rho_k]."""
    return _mean(_log_ratios(p.draws, q.draws))


def decomposed(p: Sample, q: Sample) -> Measurement:
    """[H(p), H(p, q), D(p || q)], the second as the sum of the others."""
    parts = entropy(p, p), kl(p, q)
    values, errors = [part.value for part in parts], [part.se for part in parts]
    se = cross_entropy(p, q).se
    return Measurement(np.array([values[0], sum(values), values[1]]), np.array([errors[0], se, errors[1]]),
                       parts[0].route)  # fmt: skip


def jeffreys(p: Sample, q: Sample) -> Measurement:
    both = kl(p, q), kl(q, p)
    return Measurement(both[0].value + both[1].value, float(np.hypot(both[0].se, both[1].se)), both[0].route)


def jensen_shannon(p: Sample, q: Sample) -> Measurement:
    """(D(p || m) + D(q || m)) / 2, with as many draws of each, together, for m."""
    check_pair(p, q)
    size = min(len(p.draws), len(q.draws))
    x, y = p.draws[:size], q.draws[:size]
    terms = [_log_ratios_to_both(x, y), _log_ratios_to_both(y, x)]
    parts = [_mean(term) for term in terms]
    return Measurement(0.5 * (parts[0].value + parts[1].value), 0.5 * float(np.hypot(parts[0].se, parts[1].se)),
                       parts[0].route)  # fmt: skip


def power_integral(order: float, p: Sample, q: Sample) -> Measurement:
    """I = E_p[(q/p)^(1 - a)], each ratio by neighbours, with the factor that makes its power unbiased."""
    k = NUM_NEIGHBOURS
    if abs(order - 1.0) >= k:
        raise ValueError(f"order: expected below {k + 1} for draws, since {k} neighbours are used, got {order:g}.")
    log_factor = 2.0 * gammaln(k) - gammaln(k - order + 1.0) - gammaln(k + order - 1.0)
    return _mean(np.exp((order - 1.0) * _log_ratios(p.draws, q.draws) + log_factor))


def renyi(order: float, p: Sample, q: Sample) -> Measurement:
    found = power_integral(order, p, q)
    return _transformed(found, np.log(found.value) / (order - 1.0), 1.0 / (found.value * (order - 1.0)))


def tsallis(order: float, p: Sample, q: Sample) -> Measurement:
    found = power_integral(order, p, q)
    return _transformed(found, (found.value - 1.0) / (order - 1.0), 1.0 / (order - 1.0))


def hellinger(p: Sample, q: Sample) -> Measurement:
    """From H^2, estimated in both directions; its error is that of H^2 where H itself is near zero."""
    both = power_integral(0.5, p, q), power_integral(0.5, q, p)
    squared = Measurement(1.0 - 0.5 * (both[0].value + both[1].value), 0.5 * (both[0].se + both[1].se), both[0].route)
    root = float(np.sqrt(max(squared.value, 0.0)))
    return _transformed(squared, root, 0.5 / max(root, np.sqrt(squared.se)))


def total_variation(p: Sample, q: Sample) -> Measurement:
    """E_m |p - q| / (p + q), by the shares of both sets among the sqrt(n) nearest neighbours: too large by their noise.

    With n draws of each, the noise is about n^(-1/4) where p and q are close.
    """
    check_pair(p, q)
    size = min(len(p.draws), len(q.draws))
    both = np.concatenate([p.draws[:size], q.draws[:size]])
    of_p = np.arange(2 * size) < size
    k = int(np.ceil(np.sqrt(size)))
    near = cKDTree(both).query(both, k=k + 1)[1][:, 1:]
    share = of_p[near].mean(axis=1)
    return Measurement(
        float(np.abs(2.0 * share - 1.0).mean()),
        float(np.abs(2.0 * share - 1.0).std(ddof=1) / np.sqrt(len(share))),
        f"{k} nearest neighbours, biased upwards",
    )


def _transformed(found: Measurement, value: float, slope: float) -> Measurement:
    """A function of an estimate, by the delta method."""
    return Measurement(float(value), float(abs(slope) * found.se), found.route)


def _log_ratios(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """log p/q at every draw x of p, by k-th neighbours among the other x and among y."""
    check_pair(Sample(x), Sample(y))
    k = NUM_NEIGHBOURS
    within, across = log_distances(x, x, k, itself=True), log_distances(x, y, k)
    return np.log(len(y) / (len(x) - 1)) + x.shape[1] * (across - within)


def _log_ratios_to_both(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """log p/m at every draw x of p, m being the mixture that both sets together were drawn from."""
    k, both = NUM_NEIGHBOURS, np.concatenate([x, y])
    within, across = (log_distances(x, others, k, itself=True) for others in (x, both))
    return np.log((len(both) - 1) / (len(x) - 1)) + x.shape[1] * (across - within)


def _mean(terms: Any) -> Measurement:
    return Measurement(
        float(np.mean(terms)),
        float(np.std(terms, ddof=1) / np.sqrt(len(terms))),
        f"{NUM_NEIGHBOURS} nearest neighbours",
    )
