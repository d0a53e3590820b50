"""The upper tail of importance weights, and the generalised Pareto distribution with a given index through it."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

FURTHEST = 600.0  # nats above the cutoff, beyond which a weight is no number any more


def upper_tail(log_weights: np.ndarray) -> tuple[float, np.ndarray]:
    """The cutoff and the log weights above it, largest first: as many as Pareto smoothing looks at."""
    size = max(1, int(min(len(log_weights) / 5, 3 * np.sqrt(len(log_weights)))))
    ordered = np.sort(log_weights)[::-1]
    return float(ordered[size]), ordered[:size]


def pareto_scale(excess: np.ndarray, khat: float) -> float:
    """The likeliest scale s of P(x > t) = (1 + k t / s)^(-1/k) for excesses x > 0, the index k being given.

    It solves  sum_i (1 + k) x_i / (s + k x_i) = n,  whose left side falls in s. Where k <= -1 no scale is the
    likeliest, and that of the median is taken.
    """
    excess = excess[excess > 0]
    if not len(excess):
        return np.nan
    if khat <= -1:
        return scale_of_median(excess, khat)

    def surplus(log_scale: float) -> float:
        return float(np.mean((1 + khat) * excess / (np.exp(log_scale) + khat * excess)) - 1.0)

    # At the lower end the support just holds every excess; at the upper, no term is above its share.
    least = np.log(max(-khat, 1e-12) * excess.max()) + 1e-9
    most = np.log((1.0 + abs(khat)) * excess.max()) + 1.0
    return float(np.exp(brentq(surplus, least, most)))


def pareto_survival(excess: np.ndarray, khat: float, scale: float) -> np.ndarray:
    """P(x > t) = (1 + k t / s)^(-1/k) at every t of ``excess``."""
    if abs(khat) < 1e-8:
        return np.asarray(np.exp(-excess / scale))
    with np.errstate(divide="ignore"):
        return np.asarray(np.exp(-np.log(np.maximum(1 + khat * excess / scale, 0.0)) / khat))


def scale_of_median(excess: np.ndarray, khat: float) -> float:
    """The scale at which the median of the distribution is that of the excesses; k is not 0."""
    return float(np.median(excess) * khat / (2.0**khat - 1.0))
