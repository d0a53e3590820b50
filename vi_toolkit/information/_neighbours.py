"""Estimates from two sets of draws by the distances to their nearest neighbours.

The draws are first brought to common units: divergences do not change, and neighbours are then near in every
coordinate. Errors are by the jackknife over blocks of both sets, since many draws share their neighbours; they are
rather too large than too small, by up to a factor of two, and leave out the bias.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.spatial import cKDTree
from scipy.special import digamma, gammaln

from vi_toolkit.information._monte_carlo import squared_error
from vi_toolkit.information.measurement import Measurement, plain
from vi_toolkit.information.sample import Sample

NUM_NEIGHBOURS = 5
NUM_BLOCKS = 16
ROUTE = f"{NUM_NEIGHBOURS} nearest neighbours"

Estimate = Callable[[np.ndarray, np.ndarray], Any]


def entropy(p: Sample, q: Sample) -> Measurement:
    """H = psi(n) - psi(k) + log V + d E[log rho_k], rho_k the distance to the k-th neighbour."""
    return with_error(lambda x, _: _entropy(x), p.draws, p.draws)


def cross_entropy(p: Sample, q: Sample) -> Measurement:
    """H(p, q) = log m - psi(k) + log V + d E[log nu_k], nu_k the distance to the k-th neighbour among q's m draws."""
    (x, y), log_scale = _pair(p, q)
    return with_error(lambda x, y: _cross_entropy(x, y) + log_scale, x, y)


def decomposed(p: Sample, q: Sample) -> Measurement:
    """[H(p), H(p, q), D(p || q)], the second as the sum of the others."""
    (x, y), log_scale = _pair(p, q)

    def estimate(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        first, second = _entropy(x) + log_scale, _kl(x, y)
        return np.array([first, first + second, second])

    return with_error(estimate, x, y)


def kl(p: Sample, q: Sample) -> Measurement:
    """D(p || q) = log(m / (n - 1)) + d E[log nu_k - log rho_k]."""
    return _between(_kl, p, q)


def jeffreys(p: Sample, q: Sample) -> Measurement:
    return _between(lambda x, y: _kl(x, y) + _kl(y, x), p, q)


def jensen_shannon(p: Sample, q: Sample) -> Measurement:
    """(D(p || m) + D(q || m)) / 2, with as many draws of each, together, for m."""
    return _between(_jensen_shannon, p, q)


def renyi(order: float, p: Sample, q: Sample) -> Measurement:
    return _between(lambda x, y: np.log(_power_integral(order, x, y)) / (order - 1.0), p, q)


def tsallis(order: float, p: Sample, q: Sample) -> Measurement:
    return _between(lambda x, y: (_power_integral(order, x, y) - 1.0) / (order - 1.0), p, q)


def hellinger(p: Sample, q: Sample) -> Measurement:
    """From H^2, estimated in both directions; its error is that of H^2 where H itself is near zero."""
    squared = _between(lambda x, y: 1.0 - 0.5 * (_power_integral(0.5, x, y) + _power_integral(0.5, y, x)), p, q)
    root = float(np.sqrt(max(squared.value, 0.0)))
    return Measurement(root, 0.5 * squared.se / max(root, float(np.sqrt(squared.se))), ROUTE)


def total_variation(p: Sample, q: Sample) -> Measurement:
    """E_m |p - q| / (p + q), by the shares of both sets among the sqrt(n) nearest neighbours: too large by their noise.

    With n draws of each, the noise is about n^(-1/4) where p and q are close.
    """
    k = int(np.ceil(np.sqrt(min(len(p.draws), len(q.draws)))))
    found = _between(partial(_total_variation, k), p, q)
    return Measurement(found.value, found.se, f"{k} nearest neighbours, biased upwards")


def _entropy(x: np.ndarray) -> float:
    (n, dim), k = x.shape, NUM_NEIGHBOURS
    (x,), log_scale = in_common_units(x)
    log_near = log_distances(x, x, k, itself=True)
    return float(digamma(n) - digamma(k) + log_ball(dim) + dim * log_near.mean() + log_scale)


def _cross_entropy(x: np.ndarray, y: np.ndarray) -> float:
    dim, k = x.shape[1], NUM_NEIGHBOURS
    return float(np.log(len(y)) - digamma(k) + log_ball(dim) + dim * log_distances(x, y, k).mean())


def _kl(x: np.ndarray, y: np.ndarray) -> float:
    return float(_log_ratios(x, y).mean())


def _jensen_shannon(x: np.ndarray, y: np.ndarray) -> float:
    size = min(len(x), len(y))
    x, y = x[:size], y[:size]
    return 0.5 * float(_log_ratios_to_both(x, y).mean() + _log_ratios_to_both(y, x).mean())


def _power_integral(order: float, x: np.ndarray, y: np.ndarray) -> float:
    """I = E_p[(q/p)^(1 - a)], each ratio by neighbours, with the factor that makes its power unbiased."""
    k = NUM_NEIGHBOURS
    if abs(order - 1.0) >= k:
        raise ValueError(f"order: expected below {k + 1} for draws, since {k} neighbours are used, got {order:g}.")
    log_factor = 2.0 * gammaln(k) - gammaln(k - order + 1.0) - gammaln(k + order - 1.0)
    return float(np.exp((order - 1.0) * _log_ratios(x, y) + log_factor).mean())


def _total_variation(k: int, x: np.ndarray, y: np.ndarray) -> float:
    size = min(len(x), len(y))
    both = np.concatenate([x[:size], y[:size]])
    near = cKDTree(both).query(both, k=min(k, size) + 1)[1][:, 1:]
    return float(np.abs(2.0 * (near < size).mean(axis=1) - 1.0).mean())


def _log_ratios(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """log p/q at every draw x of p, by k-th neighbours among the other x and among y."""
    k = NUM_NEIGHBOURS
    within, across = log_distances(x, x, k, itself=True), log_distances(x, y, k)
    return np.log(len(y) / (len(x) - 1)) + x.shape[1] * (across - within)


def _log_ratios_to_both(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """log p/m at every draw x of p, m being the mixture that both sets together were drawn from."""
    k, both = NUM_NEIGHBOURS, np.concatenate([x, y])
    within, across = (log_distances(x, others, k, itself=True) for others in (x, both))
    return np.log((len(both) - 1) / (len(x) - 1)) + x.shape[1] * (across - within)


def log_distances(x: np.ndarray, y: np.ndarray, k: int, *, itself: bool = False) -> np.ndarray:
    """log of the distance from every row of x to its k-th neighbour among the rows of y, itself not counted."""
    last = cKDTree(y).query(x, k=[k + itself])[0][:, 0]
    if (last == 0.0).any():
        raise ValueError(
            f"draws: a draw has {k} others at distance 0. Nearest neighbours need draws of a density, without "
            "repeats: thin a Markov chain, and give discrete draws as probability vectors."
        )
    return np.log(last)


def log_ball(dim: int) -> float:
    """log volume of the unit ball of R^dim."""
    return 0.5 * dim * float(np.log(np.pi)) - float(gammaln(0.5 * dim + 1.0))


def in_common_units(*sets: np.ndarray) -> tuple[list[np.ndarray], float]:
    """L^-1 x of all draws, with L L' the mean of the covariances of the sets, and log |L|."""
    covariance = np.mean([np.atleast_2d(np.cov(x.T)) for x in sets], axis=0)
    sds = np.sqrt(np.diag(covariance))
    if not (sds > 0.0).all():
        raise ValueError(f"draws: coordinate {int(np.argmin(sds))} is the same in all draws, which have no density.")
    try:
        root = sds[:, None] * cholesky(covariance / np.outer(sds, sds), lower=True)
    except LinAlgError:  # fewer draws than coordinates, for one
        root = np.diag(sds)
    centre = sets[0].mean(axis=0)
    return [solve_triangular(root, (x - centre).T, lower=True).T for x in sets], float(np.log(np.diag(root)).sum())


def _pair(p: Sample, q: Sample) -> tuple[list[np.ndarray], float]:
    dim = p.draws.shape[1]
    if q.draws.shape[1] != dim:
        raise ValueError(f"q: expected draws of dim {dim}, as p has, got {q.draws.shape[1]}.")
    return in_common_units(p.draws, q.draws)


def _between(estimate: Estimate, p: Sample, q: Sample) -> Measurement:
    (x, y), _ = _pair(p, q)
    return with_error(estimate, x, y)


def with_error(estimate: Estimate, x: np.ndarray, y: np.ndarray) -> Measurement:
    """An estimate from two sets of draws, and its standard error by the jackknife over blocks of both."""
    smallest = min(len(x), len(y))
    if smallest < 2 * NUM_NEIGHBOURS:
        raise ValueError(f"draws: expected at least {2 * NUM_NEIGHBOURS} of each, got {smallest}.")
    blocks = min(NUM_BLOCKS, smallest)
    of_x, of_y = (np.arange(len(draws)) * blocks // len(draws) for draws in (x, y))
    left_out = [estimate(x[of_x != block], y[of_y != block]) for block in range(blocks)]
    return Measurement(plain(estimate(x, y)), plain(np.sqrt(squared_error(left_out))), ROUTE)
