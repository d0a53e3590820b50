"""Closed forms between Gaussians, in NumPy's float64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpyro.distributions import (
    Distribution,
    ExpandedDistribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)
from scipy.linalg import cho_solve, eigh, solve_triangular, svdvals
from scipy.special import erf, ndtr


class Gaussian(NamedTuple):
    mean: np.ndarray  # (d,)
    root: np.ndarray  # (d, d), lower triangular, root root' being the covariance

    @property
    def covariance(self) -> np.ndarray:
        return self.root @ self.root.T


def as_gaussian(distribution: Distribution) -> Gaussian | None:
    """A NumPyro distribution without batch dimensions as a Gaussian, or None where it is none."""
    base = distribution
    while isinstance(base, (Independent, ExpandedDistribution)):
        base = base.base_dist
    if distribution.batch_shape or not isinstance(base, (Normal, MultivariateNormal, LowRankMultivariateNormal)):
        return None
    mean = np.asarray(distribution.mean, np.float64).ravel()
    if isinstance(distribution, LowRankMultivariateNormal):
        factor, diagonal = (np.asarray(x, np.float64) for x in (distribution.cov_factor, distribution.cov_diag))
        return Gaussian(mean, np.linalg.cholesky(factor @ factor.T + np.diag(diagonal)))
    if isinstance(distribution, MultivariateNormal):
        return Gaussian(mean, np.asarray(distribution.scale_tril, np.float64).reshape(len(mean), len(mean)))
    if isinstance(base, Normal):
        return Gaussian(mean, np.diag(np.sqrt(np.asarray(distribution.variance, np.float64).ravel())))
    return None


def entropy(p: Gaussian) -> float:
    """(d/2) log(2 pi e) + log |L_p|."""
    return 0.5 * len(p.mean) * float(np.log(2.0 * np.pi * np.e)) + _log_det_root(p)


def kl(p: Gaussian, q: Gaussian) -> float:
    """(|L_q^-1 (m_p - m_q)|^2 + sum_i (l_i - 1 - log l_i)) / 2 with l the eigenvalues of S_q^-1 S_p."""
    shift = solve_triangular(q.root, p.mean - q.mean, lower=True)
    less_one = _eigenvalues_less_one(p, q)
    if (np.abs(less_one) < 0.5).all():
        spread = float(np.sum(less_one - np.log1p(less_one)))
    else:  # no digits cancel, but those of l - 1 are lost where l is near zero
        ratio = solve_triangular(q.root, p.root, lower=True)
        spread = float(np.sum(ratio**2)) - len(shift) - 2.0 * (_log_det_root(p) - _log_det_root(q))
    return 0.5 * (float(shift @ shift) + spread)


def renyi(order: float, p: Gaussian, q: Gaussian) -> float:
    """(a/2) (m_p - m_q)' S^-1 (m_p - m_q) - log(|S| / (|S_p|^(1-a) |S_q|^a)) / (2 (a - 1)), S = (1-a) S_p + a S_q.

    Infinite where S is not positive definite, which happens for a > 1 only. With l the eigenvalues of S_p^-1 S_q and
    b = a - 1, the logarithm is the sum of log(1 + b (l - 1) / l) - b log l.
    """
    b = order - 1.0
    try:
        root = np.linalg.cholesky((1.0 - order) * p.covariance + order * q.covariance)
    except np.linalg.LinAlgError:
        return float("inf")
    less_one = _eigenvalues_less_one(q, p)
    if (np.abs(less_one) < 0.5).all():
        ratio, logs = b * less_one / (1.0 + less_one), np.log1p(less_one)
    else:  # no digits cancel, but those of l - 1 are lost where l is near zero
        roots = svdvals(solve_triangular(p.root, q.root, lower=True))
        ratio, logs = b * (1.0 - 1.0 / roots**2), 2.0 * np.log(roots)
    if (ratio <= -1.0).any():
        return float("inf")
    shift = solve_triangular(root, p.mean - q.mean, lower=True)
    return 0.5 * order * float(shift @ shift) - 0.5 * float(np.sum(np.log1p(ratio) - b * logs)) / b


def fisher(p: Gaussian, q: Gaussian) -> float:
    """E_p |(S_q^-1 - S_p^-1)(x - m_p) + S_q^-1 (m_p - m_q)|^2 = tr(A S_p A) + |S_q^-1 (m_p - m_q)|^2."""
    identity = np.eye(len(p.mean))
    difference = cho_solve((q.root, True), identity) - cho_solve((p.root, True), identity)
    shift = cho_solve((q.root, True), p.mean - q.mean)
    return float(np.sum((difference @ p.root) ** 2) + shift @ shift)


def wasserstein_2(p: Gaussian, q: Gaussian) -> float:
    """The root of |m_p - m_q|^2 + tr(S_p + S_q - 2 (S_q^(1/2) S_p S_q^(1/2))^(1/2)).

    The trace is |A - B|^2 for the closest square roots A A' = S_p, B B' = S_q: B = L_q and A = L_p U with U the
    orthogonal matrix of the polar decomposition of L_p' L_q.
    """
    left, _, right = np.linalg.svd(p.root.T @ q.root)
    return float(np.sqrt(np.sum((p.mean - q.mean) ** 2) + np.sum((p.root @ left @ right - q.root) ** 2)))


def total_variation(p: Gaussian, q: Gaussian) -> float | None:
    """erf(|m_p - m_q| / sqrt 8) in units of a common covariance; on the line, the mass between the crossings."""
    if np.allclose(p.covariance, q.covariance, rtol=1e-14, atol=0.0):
        shift = solve_triangular(p.root, p.mean - q.mean, lower=True)
        return float(erf(np.sqrt(shift @ shift) / np.sqrt(8.0)))
    if len(p.mean) > 1:
        return None
    wide, narrow = (p, q) if p.root[0, 0] > q.root[0, 0] else (q, p)
    (m, s), (m_1, s_1) = ((float(g.mean[0]), float(abs(g.root[0, 0]))) for g in (wide, narrow))
    # The narrow one is higher between the two roots of (x - m)^2 / s^2 - (x - m_1)^2 / s_1^2 + 2 log(s / s_1) = 0.
    a, b = s_1**2 - s**2, s**2 * m_1 - s_1**2 * m  # a x^2 + 2 b x + c = 0
    half = s * s_1 * np.sqrt((m - m_1) ** 2 + 2.0 * (s**2 - s_1**2) * np.log(s / s_1)) / abs(a)
    low, high = -b / a - half, -b / a + half
    mass_1 = ndtr((high - m_1) / s_1) - ndtr((low - m_1) / s_1)
    return float(mass_1 - (ndtr((high - m) / s) - ndtr((low - m) / s)))


def mutual_information(p: Gaussian, split: int) -> float:
    """(log|S_xx| + log|S_yy| - log|S|) / 2 ."""
    given = p.root[split:, split:]  # |S| = |S_xx| |S_yy given x|
    y_root = np.linalg.cholesky(p.covariance[split:, split:])
    return float(np.log(np.diag(y_root)).sum() - np.log(np.abs(np.diag(given))).sum())


def log_overlap(p: Gaussian, q: Gaussian) -> float:
    """log of the integral of p q: log N(m_p; m_q, S_p + S_q)."""
    root = np.linalg.cholesky(p.covariance + q.covariance)
    shift = solve_triangular(root, p.mean - q.mean, lower=True)
    return float(-0.5 * shift @ shift - np.log(np.diag(root)).sum() - 0.5 * len(p.mean) * np.log(2.0 * np.pi))


def _log_det_root(p: Gaussian) -> float:
    """log |L_p|, half of log |S_p|."""
    return float(np.log(np.abs(np.diag(p.root))).sum())


def _eigenvalues_less_one(p: Gaussian, q: Gaussian) -> np.ndarray:
    """The eigenvalues of S_q^-1 S_p, less one, which keeps their digits where the covariances are nearly equal."""
    difference = p.covariance - q.covariance
    white = solve_triangular(q.root, solve_triangular(q.root, difference, lower=True).T, lower=True)
    return np.asarray(eigh(0.5 * (white + white.T), eigvals_only=True))
