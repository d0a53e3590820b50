"""The mean of the squared importance weights, and how much larger it may be than its draws show."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vi_toolkit.diagnostics.weights.evidence import Estimate
from vi_toolkit.diagnostics.weights.khat_error import raw_khat, tail_size
from vi_toolkit.diagnostics.weights.psis import MIN_DRAWS

TAIL_SES = 3.0  # how far above k-hat the tail index may lie


class Squares(NamedTuple):
    """The mean of w^2 over draws of q.

    Attributes:
        log_mean: log of (1/S) sum_i w_i^2, in nats.
        terms: w_i^2 over their mean, of shape (draws,): their spread is that of log_mean.
        rise: nats by which log_mean would be higher, were the tail index of w three standard errors above k-hat.
    """

    log_mean: float
    terms: np.ndarray
    rise: float


def are_trustworthy(khat: Estimate, num_draws: int) -> bool:
    """Whether the mean of w^2 exists and can be estimated: k + 3 se < 1/2, since w^2 has twice the tail index of w.

    k-hat alone, without its error, lets through just those sets of draws that lack their rare large weights, and in
    these the mean of w^2 is too low.
    """
    return num_draws >= MIN_DRAWS and khat.value + TAIL_SES * khat.se < 0.5


def squares(log_weights: np.ndarray, khat: Estimate) -> Squares:
    """The mean of w^2 of log weights of which one at least is finite, and none NaN or +inf."""
    top = log_weights.max()
    squared = np.exp(2.0 * (log_weights - top))
    mean = squared.mean()
    rise = np.log(max(_mean_with_heavier_tail(log_weights - top, khat) / mean, 1.0)) if khat.se > 0.0 else 0.0
    return Squares(float(2.0 * top + np.log(mean)), squared / mean, float(rise))


def _mean_with_heavier_tail(below: np.ndarray, khat: Estimate) -> float:
    """E[w^2] with the largest weights, u + X, from a generalised Pareto distribution three standard errors heavier.

        E X = s / (1 - k),    E X^2 = 2 s^2 / ((1 - k) (1 - 2 k))

    At the tail index k itself s is such that E X is the mean of the draws; as k rises, s falls with it as its estimate
    does, by -s / (1 + k), the ratio of their asymptotic covariance to the variance of k.
    """
    size = tail_size(len(below))
    weights = np.sort(np.exp(below))
    cutoff = weights[-size - 1]
    index = min(raw_khat(khat.value, len(below)), 0.5)
    heavier = khat.value + TAIL_SES * khat.se
    fall = (heavier - index) / (1.0 + max(index, -0.5))
    scale = (1.0 - index) * (weights[-size:] - cutoff).mean() * np.exp(-fall)
    tail = (
        cutoff**2 + 2.0 * cutoff * scale / (1.0 - heavier) + 2.0 * scale**2 / ((1.0 - heavier) * (1.0 - 2.0 * heavier))
    )
    return float((weights[:-size] ** 2).sum() + size * tail) / len(below)
