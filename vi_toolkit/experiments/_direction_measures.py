"""What a fitted q covers and misses: entropies, masses outside the other's region, at the modes, and in the tails."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit
from scipy.stats import norm, t

from vi_toolkit.experiments._direction_fits import Fitted
from vi_toolkit.experiments._direction_targets import TAIL_DEGREES, Grid

REGION = 0.99
TAIL_SDS = 4.0
TAIL_FROM = TAIL_SDS * np.sqrt(TAIL_DEGREES / (TAIL_DEGREES - 2))  # the variance of a Student-t is n / (n - 2)


class Cover(NamedTuple):
    """How q lies over p."""

    entropy: float  # H(q), in nats
    q_outside_p: float  # the mass of q outside the smallest region that holds 99 % of p
    p_outside_q: float  # and the other way round


def cover(grid: Grid, fitted: Fitted) -> Cover:
    log_p, log_q = grid.log_p, fitted.log_q
    q = grid.weights * np.exp(log_q)
    return Cover(
        entropy_of(grid, log_q),
        float(q[log_p < region_height(grid, log_p)].sum()),
        float((grid.weights * np.exp(log_p))[log_q < region_height(grid, log_q)].sum()),
    )


def entropy_of(grid: Grid, log_density: np.ndarray) -> float:
    """-integral of q log q."""
    return float(-(grid.weights * np.exp(log_density)) @ log_density)


def region_height(grid: Grid, log_density: np.ndarray) -> float:
    """The log density above which REGION of the mass lies."""
    order = np.argsort(log_density)[::-1]
    held = np.cumsum((grid.weights * np.exp(log_density))[order])
    return float(log_density[order][np.searchsorted(held, REGION * held[-1])])


def components(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and sds of one or two Gaussians on the line."""
    if len(theta) == 2:
        return np.ones(1), theta[:1], np.exp(-theta[1:])
    return expit(np.array([theta[0], -theta[0]])), theta[[1, 3]], np.exp(-theta[[2, 4]])


def mass_below(theta: np.ndarray, x: float) -> float:
    weights, means, sds = components(theta)
    return float(weights @ norm.cdf(x, means, sds))


def mass_in_tails(theta: np.ndarray) -> float:
    """P(|x| > TAIL_FROM) under q."""
    weights, means, sds = components(theta)
    return float(weights @ (norm.cdf(-TAIL_FROM, means, sds) + norm.sf(TAIL_FROM, means, sds)))


def tails_of_p() -> float:
    return float(2 * t.sf(TAIL_FROM, TAIL_DEGREES))
