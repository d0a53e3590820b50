"""Exact tests of whether ranks, scaled to (0, 1), are uniform: as a whole, about the middle, and in their spread."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import gammaln, ndtri
from scipy.stats import binom, chi2, t as student

MOST_POINTS = 100  # at which a distribution function is looked at
ROUNDING = 1e-12  # below which one minus a probability is rounding
HALVINGS = 30


def uniformity(pit: np.ndarray) -> float:
    """The p-value of uniformity: how likely the ECDF of uniform numbers leaves the middle as far as this one does.

    With x_k of n numbers below z_k = k / K, the statistic is min_k 2 min(P(X <= x_k), P(X >= x_k)), X ~ Bin(n, z_k).

    Source: Säilynoja, Bürkner & Vehtari (2022), Graphical test for discrete uniformity and its applications in
    goodness-of-fit evaluation and multiple sample comparison, arXiv:2103.10522.
    """
    n = len(pit)
    table = _pointwise(n)
    counts = np.searchsorted(np.sort(pit), points(n), side="right")
    return float(max(1.0 - _stays_inside(table > table[np.arange(len(table)), counts].min()), ROUNDING))


@lru_cache(maxsize=32)
def band(n: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest number of n uniform numbers below each of `points`, that together hold but for level.

    Source: as for `uniformity`.
    """
    table = _pointwise(n)
    low, high = np.log(level / len(table)) - 3.0, np.log(level)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        holds = 1.0 - _stays_inside(table > np.exp(middle)) <= level
        low, high = (middle, high) if holds else (low, middle)
    inside = table > np.exp(low)
    return inside.argmax(axis=1), n - inside[:, ::-1].argmax(axis=1)


def points(n: int) -> np.ndarray:
    """Where the distribution function of n numbers is looked at."""
    size = min(n, MOST_POINTS)
    return np.arange(1, size) / size


def symmetry(pit: np.ndarray) -> tuple[float, float]:
    """The Kolmogorov-Smirnov distance of p and 1 - p, and its exact p-value where p is symmetric about 1/2.

    From the outermost p inwards, the sides on which they lie are then fair coins. n times the distance is the largest
    |sum of the first k of them|, of a random walk.

    Source: Yao, Vehtari, Simpson & Gelman (2018), Yes, but did it work?, arXiv:1802.02538, section 3.2; Butler (1969),
    A test for symmetry using the sample distribution function, doi:10.1214/aoms/1177697299.
    """
    off = pit - 0.5
    walk = np.cumsum(np.sign(off)[np.argsort(-np.abs(off), kind="stable")])
    reach = int(np.abs(walk).max())
    return reach / len(pit), _walk_reaches(reach, len(pit))


def location(pit: np.ndarray) -> float:
    """The p-value of Student's test of whether the normal scores x = Phi^-1(p) lie about zero."""
    scores = ndtri(pit)
    spread = float(scores.std(ddof=1))
    return float(2.0 * student.sf(np.abs(scores.mean()) * np.sqrt(len(pit)) / spread, len(pit) - 1)) if spread else 0.0


def dispersion(pit: np.ndarray) -> float:
    """The p-value of sum (x - mean)^2 ~ chi^2_(n-1), x = Phi^-1(p): whether normal scores spread as they should."""
    scores = ndtri(pit)
    total, freedom = float(np.sum((scores - scores.mean()) ** 2)), len(pit) - 1
    return float(min(1.0, 2.0 * min(chi2.cdf(total, freedom), chi2.sf(total, freedom))))


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values of any shape, adjusted so that the chance of a single false rejection among them all keeps its level.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure, doi:10.2307/4615733.
    """
    flat = p_values.ravel()
    order = np.argsort(flat)
    adjusted = np.maximum.accumulate(np.minimum(flat[order] * np.arange(len(flat), 0, -1), 1.0))
    out = np.empty_like(flat)
    out[order] = adjusted
    return out.reshape(p_values.shape)


@lru_cache(maxsize=8)
def _pointwise(n: int) -> np.ndarray:
    """2 min(P(X <= x), P(X >= x)), X ~ Bin(n, z_k), for every point z_k and x = 0..n: (points, n + 1)."""
    z, x = points(n)[:, None], np.arange(n + 1)
    return 2.0 * np.minimum(binom.cdf(x, n, z), binom.sf(x - 1, n, z))


def _stays_inside(inside: np.ndarray) -> float:
    """The probability that the numbers below each point are where ``inside`` (points, n + 1) is True."""
    n = inside.shape[1] - 1
    log_factorial = gammaln(np.arange(n + 1) + 1.0)
    z = np.concatenate([[0.0], points(n)])
    at, mass = np.zeros(1, int), np.ones(1)
    for k, allowed in enumerate(inside):
        to = np.flatnonzero(allowed)
        if not len(to):
            return 0.0
        share = (z[k + 1] - z[k]) / (1.0 - z[k])
        came = to - at[:, None]
        rest = n - to
        log_p = log_factorial[n - at][:, None] - log_factorial[np.maximum(came, 0)] - log_factorial[rest]
        log_p = log_p + came * np.log(share) + rest * np.log1p(-share)
        mass = mass @ np.where(came >= 0, np.exp(np.minimum(log_p, 0.0)), 0.0)
        at = to
    return float(mass.sum())


def _walk_reaches(reach: int, steps: int) -> float:
    """The probability that a fair walk of so many steps of one has been ``reach`` away from where it began."""
    mass = np.zeros(2 * reach + 1)
    mass[reach] = 1.0
    for _ in range(steps):
        inner = mass.copy()
        inner[[0, -1]] = 0.0  # who has arrived stays
        mass[1:-1] = 0.0
        mass[1:] += 0.5 * inner[:-1]
        mass[:-1] += 0.5 * inner[1:]
    return float(mass[0] + mass[-1])
