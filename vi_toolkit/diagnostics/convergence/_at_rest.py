"""Whether a gradient known by independent estimates is zero, and what a step along it would gain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import f as fisher_f

from vi_toolkit.diagnostics.weights.evidence import Estimate


class Slope(NamedTuple):
    """What independent estimates of a gradient say of it."""

    square: Estimate  # |g|^2, without the noise's share: it may come out below zero
    ratio: float  # B |mean|^2 / tr C, with C the covariance of one of the B estimates: about 1 at rest
    p_value: float  # of a ratio that large, were the gradient zero


def slope_of(gradients: np.ndarray) -> Slope:
    r"""|g|^2 and its error from B independent estimates g_b (B, params), through their products alone.

        |g|^2 is estimated by sum over b != c of g_b . g_c / (B (B - 1)),    its error by the jackknife

    The ratio is held against an F distribution with Welch and Satterthwaite's degrees of freedom, (tr C)^2 / tr C^2 and
    B - 1 times that.
    """
    B = len(gradients)
    products = gradients @ gradients.T
    own, rows, total = np.diag(products), products.sum(axis=1), products.sum()
    square = (total - own.sum()) / (B * (B - 1))
    without = (total - 2 * rows + own - (own.sum() - own)) / ((B - 1) * (B - 2))
    se = np.sqrt((B - 1) / B * ((without - without.mean()) ** 2).sum())
    centred = gradients - gradients.mean(axis=0)
    spread = centred @ centred.T
    trace = np.trace(spread) / (B - 1)
    of_square = (np.sum(spread**2) - np.sum(np.diag(spread) ** 2)) / (B * (B - 1))
    if not trace > 0:
        return Slope(Estimate(float(square), float(se)), np.inf if square > 0 else 0.0, float(square <= 0))
    freedom = max(1.0, trace**2 / of_square) if of_square > 0 else float(B)
    ratio = total / B / trace
    return Slope(
        Estimate(float(square), float(se)), float(ratio), float(fisher_f.sf(ratio, freedom, freedom * (B - 1)))
    )


def gain_of(square: Estimate, curvature: float) -> Estimate:
    """What the best step of at most one unit along -g gains where the loss bends by ``curvature`` along it.

    max over s <= 1 of s |g| - s^2 h / 2
    """
    size = np.sqrt(max(square.value, 0.0))
    per_size = 1 / curvature if curvature > size else 1 / max(size, np.sqrt(square.se), np.finfo(float).tiny)
    step = per_size * size
    return Estimate(float(step * size - 0.5 * curvature * step**2), float(0.5 * per_size * square.se))
