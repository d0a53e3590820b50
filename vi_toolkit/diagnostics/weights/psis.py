"""Pareto-smoothed importance sampling: smoothed weights, and k-hat, the index of their tail."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from vi_toolkit._checks import describe

MIN_REPEATS = 5  # how often the largest weight has to come up to be taken for the upper end of the weights
MIN_DRAWS = 25  # the generalised Pareto is fitted to the largest fifth, at least five weights


class Smoothed(NamedTuple):
    """Smoothed weights and their tail index.

    Attributes:
        log_weights: of shape (draws,), normalised: their exponentials sum to one.
        khat: the tail index; inf where the weights are of no use, -inf where they are all alike.

    Example:
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.smooth([0.0] * 100).khat
        -inf
    """

    log_weights: np.ndarray
    khat: float


def smooth(log_weights: Any, *, rounding: float = 0.0) -> Smoothed:
    r"""Smooths importance weights w_i = p~(z_i) / q(z_i) by a generalised Pareto distribution fitted to the largest.

        P(w > u + x | w > u) = (1 + k x / s)^(-1/k),    k-hat = the estimate of k

    Moments of w up to order 1/k exist. k-hat below 0.5: the variance is finite, estimates from the weights settle fast.
    Below 0.7: they are still usable. Above: they are not. The smoothed weights replace the largest ones by the expected
    order statistics of that distribution. The computation is ArviZ's.

    Args:
        log_weights: log p~(z_i) - log q(z_i) in nats, of shape (draws,), up to a common constant.
        rounding: differences as small as this, in nats, are rounding: they do not count, and ties closer than this are
            broken evenly.

    Returns:
        Normalised log weights and k-hat. The edges:

        - all weights the same (q = p): k-hat is -inf, as good as it gets, and the weights are uniform; likewise -inf,
          with the weights as they are, where the largest ones are all the same, or the very largest came up five
          times: the weights then have an upper end, as those of a discrete q have, and it was seen;
        - some log weights -inf (q has draws where p is zero): these draws get weight zero;
        - any NaN or +inf: k-hat is inf; NaN counts as weight zero, and +inf takes all the weight;
        - no usable tail (weights so far apart that a few carry everything, nearly all of them zero, or fewer than 30
          draws): k-hat is inf, and the weights are only normalised; where all are zero, they are uniform.

    Raises:
        ValueError: if there are fewer than 25 draws, or ``log_weights`` is not one-dimensional.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import diagnostics
        >>> tail = np.linspace(0.0, 1.0, 4000, endpoint=False)[1:]
        >>> round(diagnostics.smooth(-0.6 * np.log(tail)).khat, 1)  # w = u^-0.6 has the tail index 0.6
        0.6

    Source: Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, arXiv:1507.02646.
    """
    log_weights = as_log_weights(log_weights)
    if len(log_weights) < MIN_DRAWS:
        raise ValueError(
            f"num_draws: expected at least {MIN_DRAWS} draws to fit the tail of their weights, got {len(log_weights)}."
        )
    unusable = np.isnan(log_weights) | (log_weights == np.inf)
    if unusable.any() or (log_weights == -np.inf).all():
        return Smoothed(_normalise_unusable(log_weights), np.inf)
    if np.ptp(log_weights) <= rounding:
        return Smoothed(np.full(len(log_weights), -np.log(len(log_weights))), -np.inf)
    below = log_weights - log_weights.max()
    if (below >= -rounding).sum() >= MIN_REPEATS:
        return Smoothed(below - logsumexp(below), -np.inf)
    return _fit_tail(below + _dither(len(log_weights), rounding))


def _fit_tail(log_weights: np.ndarray) -> Smoothed:
    """Smooths log weights whose maximum is about zero and which are not all the same."""
    from arviz_stats.base.array import array_stats  # it takes a second to import

    normalised = log_weights - logsumexp(log_weights)
    num_tail = int(min(len(log_weights) / 5, 3 * np.sqrt(len(log_weights))))  # as psislw has it
    if np.ptp(np.sort(log_weights)[-num_tail:]) == 0:
        return Smoothed(normalised, -np.inf)
    with np.errstate(all="ignore"):
        # psislw takes minus the log ratio, as for leave-one-out; it subtracts their maximum itself
        smoothed, khat = array_stats.psislw(-log_weights)  # type: ignore[no-untyped-call]
    if np.isnan(khat) or khat == np.inf or np.isnan(smoothed).any():
        return Smoothed(normalised, np.inf)
    return Smoothed(np.asarray(smoothed, np.float64), float(khat))


def _dither(size: int, rounding: float) -> np.ndarray:
    """Evenly spread offsets of at most half the rounding, since a tail of tied weights cannot be fitted."""
    golden = 0.5 * (np.sqrt(5.0) - 1.0)
    return rounding * (np.modf(golden * np.arange(size))[0] - 0.5)


def _normalise_unusable(log_weights: np.ndarray) -> np.ndarray:
    counted = np.where(np.isnan(log_weights), -np.inf, log_weights)
    if (counted == np.inf).any():
        counted = np.where(counted == np.inf, 0.0, -np.inf)
    elif (counted == -np.inf).all():
        counted = np.zeros(len(counted))
    return counted - logsumexp(counted)


def as_log_weights(log_weights: Any) -> np.ndarray:
    """``log_weights`` as float64 of shape (draws,); raises ValueError on another shape."""
    array = np.asarray(log_weights, np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"log_weights: expected shape (draws,), one for each draw, got {describe(log_weights)}.")
    return array
