"""What curvatures at several draws say: scales that depend on a coordinate, bent dependence, flat directions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import norm, rankdata, t as student

from vi_toolkit.diagnostics.shape._curvatures import Curvatures

MIN_POINTS = 16
FALSE_ALARMS = 1e-4  # of all pairs together
FUNNEL = 0.8  # sum of the variances of log curvature that one coordinate explains
PART = 0.05  # variance of log curvature below which a coordinate is not named
BENT = 0.3  # sd of a conditional mean's bend, in conditional sds
FLAT = 0.01  # curvature, in units of q's own


class Explained(NamedTuple):
    """Shares explained, (c, c): row i by column j; zero where chance would do."""

    share: np.ndarray
    size: np.ndarray


def scales_explained(found: Curvatures) -> tuple[Explained, np.ndarray]:
    """How far the rank of coordinate j explains log |H_ii|, with the variance that it explains; signs of the ranks."""
    n, c = found.points.shape
    diagonal = np.abs(np.diagonal(found.hessians, axis1=1, axis2=2))
    usable = (diagonal > 0).all(axis=0)
    logs = np.log(np.where(diagonal > 0, diagonal, 1.0))
    sd = np.where(usable, np.subtract(*np.quantile(logs, [0.75, 0.25], axis=0)) / 1.349, 0.0)
    ranks = _standardised(rankdata(np.round(logs, 10), axis=0)).T @ _standardised(rankdata(found.points, axis=0)) / n
    bound = norm.isf(FALSE_ALARMS / max(1, c * (c - 1)))
    certain = np.arctanh(np.minimum(np.abs(ranks), 1 - 1e-12)) * np.sqrt(n - 3) / 1.03 > bound
    share = np.where(certain & ~np.eye(c, dtype=bool), ranks**2, 0.0)
    return Explained(share, share * sd[:, None] ** 2), np.sign(ranks)


def bends_explained(found: Curvatures) -> Explained:
    """How far coordinate j explains, by a parabola, where log p~ has its top in i with all others held.

    The top is z_i - g_i / H_ii, right where log p~ is quadratic in z_i. The size is the sd of the parabola's bend, in
    conditional sds of i.
    """
    n, c = found.points.shape
    diagonal = np.diagonal(found.hessians, axis1=1, axis2=2)
    usable = (diagonal < 0).mean(axis=0) >= 0.9
    tops = found.points - found.gradients / np.where(diagonal < 0, diagonal, -np.inf)
    width = 1 / np.sqrt(np.median(np.abs(diagonal), axis=0) + 1e-300)
    bound = student.isf(FALSE_ALARMS / max(1, c * (c - 1)), n - 3)
    share, size = np.zeros((c, c)), np.zeros((c, c))
    spread = tops - tops.mean(axis=0)
    total = (spread**2).sum(axis=0)
    for j in range(c):
        e = _standardised(found.points[:, j : j + 1])[:, 0]
        basis, upper = np.linalg.qr(np.stack([np.ones(n), e, e**2], axis=1))
        parts = basis.T @ tops
        residual = np.maximum(((tops - basis @ parts) ** 2).sum(axis=0), 1e-20 * total + 1e-300) / (n - 3)
        bend = parts[2] / upper[2, 2] * np.std(e**2)
        certain = usable & (np.abs(parts[2]) > bound * np.sqrt(residual)) & (np.arange(c) != j)
        share[:, j] = np.where(certain, 1 - residual * (n - 3) / np.maximum(total, 1e-300), 0.0)
        size[:, j] = np.where(certain, np.abs(bend) / width, 0.0)
    return Explained(share, size)


def correlations(found: Curvatures) -> tuple[np.ndarray, np.ndarray] | None:
    """Those of -H^-1, H the mean Hessian, with their standard errors from four groups of points; None where H bends up.

    Where coordinates were left out, these are conditional on them, and there is no saying.
    """
    whole = _correlation(found.hessians)
    parts = [_correlation(part) for part in np.array_split(found.hessians, 4)]
    if whole is None or any(part is None for part in parts):
        return None
    return whole, np.std(np.array(parts), axis=0, ddof=1) / 2


def flattest(found: Curvatures, root: np.ndarray) -> tuple[float, np.ndarray]:
    """The least curvature of -log p~ over directions in which q has unit sd, and that direction in q's sds.

    Args:
        found: curvatures in units of q's sds.
        root: (c, c), whose product with its transpose is q's correlation.
    """
    values, vectors = np.linalg.eigh(-root.T @ found.hessians.mean(axis=0) @ root)
    return float(values[0]), root @ vectors[:, 0]


def _correlation(hessians: np.ndarray) -> np.ndarray | None:
    precision = -hessians.mean(axis=0)
    values = np.linalg.eigvalsh(precision)
    if not values[0] > 1e-10 * abs(values[-1]):
        return None
    covariance = np.linalg.inv(precision)
    sd = np.sqrt(np.diag(covariance))
    return np.asarray(covariance / sd / sd[:, None])


def _standardised(columns: np.ndarray) -> np.ndarray:
    centred = columns - columns.mean(axis=0)
    sd = centred.std(axis=0)
    return np.asarray(centred / np.where(sd > 0, sd, 1.0))
