"""The normal-inverse-Wishart distribution of a covariance and a mean, on the unconstrained space.

The covariance is S = (L L')^-1 with L the lower Cholesky factor of the precision. By Bartlett's decomposition L = T B
with T the lower Cholesky factor of P^-1 for the scale matrix P, where B is lower triangular, all its entries are
independent, those below the diagonal are standard normal, and B_jj, j = 0..d-1, is chi of nu - j degrees of freedom.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import digamma, multigammaln, poch, polygamma

from vi_toolkit.exact.conjugate._least_squares import inverse_root


class NormalInverseWishart(NamedTuple):
    """S ~ InverseWishart(nu, P);  mu given S ~ N(m, S / k).

    On the unconstrained space z = (entries of L below its diagonal, row by row; log diagonal of L; mu).
    """

    mean: np.ndarray  # m, (d,)
    mean_count: float  # k
    degrees: float  # nu
    scale: np.ndarray  # P, (d, d)
    root: np.ndarray  # T, (d, d)


def update(prior: NormalInverseWishart, y: np.ndarray) -> NormalInverseWishart:
    """The posterior given rows y (n, d). Its P is the cross-product of stacked rows, of which T needs no product."""
    n, average = len(y), y.mean(axis=0)
    count = prior.mean_count + n
    to_prior = np.sqrt(prior.mean_count * n / count) * (average - prior.mean)
    rows = np.vstack([np.linalg.cholesky(prior.scale).T, y - average, to_prior])
    mean = (prior.mean_count * prior.mean + n * average) / count
    return NormalInverseWishart(mean, count, prior.degrees + n, rows.T @ rows, inverse_root(rows))


def log_mass(p: NormalInverseWishart) -> float:
    """log of the integral of |S|^-(nu/2 + d/2 + 1) exp(-(tr(P S^-1) + k (mu - m)' S^-1 (mu - m)) / 2) over S and mu.

    Left out are the factors 2^(nu d / 2), which the caller's power of pi accounts for, and (2 pi)^(d / 2).
    """
    d = len(p.mean)
    log_det_scale = -2.0 * np.log(np.diag(p.root)).sum()
    return float(multigammaln(0.5 * p.degrees, d) - 0.5 * p.degrees * log_det_scale - 0.5 * d * np.log(p.mean_count))


def covariance_of_mean(p: NormalInverseWishart) -> np.ndarray | None:
    """E[S] / k; None where it does not exist."""
    spare = p.degrees - len(p.mean) - 1.0
    return p.scale / (p.mean_count * spare) if spare > 0 else None


def unconstrained_mean(p: NormalInverseWishart) -> np.ndarray:
    """E[z]."""
    k = chi_degrees(p)
    log_diagonal = np.log(np.diag(p.root)) + 0.5 * (np.log(2.0) + digamma(0.5 * k))
    return np.concatenate([below_diagonal(p.root * chi_mean(k)), log_diagonal, p.mean])


def unconstrained_covariance(p: NormalInverseWishart) -> np.ndarray | None:
    """Cov[z]; None where that of mu does not exist. Given L, the mean of mu is m: it is uncorrelated with L.

    Column j of L depends on column j of B alone, so that columns are independent. With c = B_jj,
    Cov(c, log c) = E[c] (digamma((k + 1) / 2) - digamma(k / 2)) / 2 at k = nu - j, which is d/ds E[c^s] at s = 1
    less E[c] E[log c].
    """
    of_mean = covariance_of_mean(p)
    if of_mean is None:
        return None
    d, k = len(p.mean), chi_degrees(p)
    variance = chi_variance(k)
    with_log = 0.5 * chi_mean(k) * (digamma(0.5 * (k + 1.0)) - digamma(0.5 * k))
    num_below = d * (d - 1) // 2
    covariance = np.zeros((num_below + 2 * d,) * 2)
    for j in range(d):
        rows = np.arange(j + 1, d)
        entries, log_entry = rows * (rows - 1) // 2 + j, num_below + j
        of_column = np.append(variance[j], np.ones(d - j - 1))  # variances of B[j:, j]
        covariance[np.ix_(entries, entries)] = p.root[rows, j:] * of_column @ p.root[rows, j:].T
        covariance[entries, log_entry] = covariance[log_entry, entries] = p.root[rows, j] * with_log[j]
        covariance[log_entry, log_entry] = 0.25 * polygamma(1, 0.5 * k[j])
    covariance[-d:, -d:] = of_mean
    return covariance


def mode(p: NormalInverseWishart) -> np.ndarray:
    """The density of z is highest at mu = m, B diagonal and B_jj^2 = nu - j + 1."""
    B = np.sqrt(chi_degrees(p) + 1.0)
    return np.concatenate([below_diagonal(p.root * B), np.log(np.diag(p.root) * B), p.mean])


def constrained_moments(p: NormalInverseWishart) -> dict[str, tuple[Any, Any]]:
    """Means and sds of L, and where they exist of mu and S."""
    d, k = len(p.mean), chi_degrees(p)
    of_entries = np.tril(np.ones((d, d)), -1) + np.diag(chi_variance(k))  # variances of the entries of B
    moments: dict[str, tuple[Any, Any]] = {
        "precision_root": (p.root * chi_mean(k), np.sqrt(p.root**2 @ of_entries)),
    }
    spare, of_mean = p.degrees - d - 1.0, covariance_of_mean(p)
    if of_mean is not None:
        moments["mean"] = (p.mean, np.sqrt(np.diag(of_mean)))
    if spare > 2.0:
        diagonals = np.outer(np.diag(p.scale), np.diag(p.scale))
        squared = ((spare + 2.0) * p.scale**2 + spare * diagonals) / ((spare + 1.0) * spare**2 * (spare - 2.0))
        moments["covariance"] = (p.scale / spare, np.sqrt(squared))
    return moments


def draw(p: NormalInverseWishart, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    d = len(p.mean)
    B = np.tril(generator.standard_normal((num_draws, d, d)), -1)
    diagonal = np.arange(d)
    B[:, diagonal, diagonal] = np.sqrt(generator.chisquare(chi_degrees(p), (num_draws, d)))
    L = p.root @ B
    noise = generator.standard_normal((num_draws, d, 1))
    mu = p.mean + np.linalg.solve(np.swapaxes(L, 1, 2), noise)[..., 0] / np.sqrt(p.mean_count)
    return np.hstack([below_diagonal(L), np.log(L[:, diagonal, diagonal]), mu])


def below_diagonal(L: np.ndarray) -> np.ndarray:
    """The entries of L (..., d, d) below its diagonal, row by row."""
    rows, columns = np.tril_indices(L.shape[-1], -1)
    return L[..., rows, columns]


def chi_degrees(p: NormalInverseWishart) -> np.ndarray:
    """The degrees of freedom of B_jj: nu - j."""
    return p.degrees - np.arange(len(p.mean))


def chi_mean(k: np.ndarray) -> np.ndarray:
    """2^(1/2) G((k + 1) / 2) / G(k / 2) for the gamma function G."""
    return np.sqrt(2.0) * poch(0.5 * k, 0.5)


def chi_variance(k: np.ndarray) -> np.ndarray:
    """k - chi_mean(k)^2, whose limit is 1/2; for large k, where digits cancel, by its series in h = 2 / k."""
    h = 2.0 / k
    series = 0.5 - h / 16 - h**2 / 64 + 5 * h**3 / 1024 + 23 * h**4 / 4096 - 53 * h**5 / 32768
    return np.where(k > 80.0, series, k - chi_mean(k) ** 2)
