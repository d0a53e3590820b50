"""Means and spreads of q held against those of p, coordinate by coordinate."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpyro.distributions import Distribution

from vi_toolkit._checks import describe
from vi_toolkit.diagnostics.weights.evidence import correlated_error


class Measured(NamedTuple):
    """Numbers and their standard errors, of one shape.

    Example:
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.mean_errors([1.0], [0.0], [2.0]).values
        array([0.5])
    """

    values: np.ndarray
    ses: np.ndarray


class Moments(NamedTuple):
    """Means and standard deviations of coordinates, with the standard errors of the means and of log sd.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.moments_of_draws(np.array([[0.0], [2.0]])).mean
        array([1.])
    """

    mean: np.ndarray
    sd: np.ndarray
    mean_se: np.ndarray
    log_sd_se: np.ndarray

    def and_of(self, draws: Any, *, correlated: bool = False) -> Moments:
        """These, followed by those of the columns of ``draws``, as `moments_of_draws` has them."""
        more = moments_of_draws(draws, correlated=correlated)
        return Moments(*(np.concatenate(pair) for pair in zip(self, more, strict=True)))


def moments_of_draws(draws: Any, log_weights: Any = None, *, correlated: bool = False) -> Moments:
    """Means and sds of draws, (draws, ...), perhaps weighted by normalised log weights, (draws,).

        mean = sum_i w_i z_i,  sd^2 = sum_i w_i (z_i - mean)^2,  se(mean)^2 = sum_i w_i^2 (z_i - mean)^2

    and likewise for sd^2, whose relative error is twice that of sd. Without weights w_i = 1 / draws.

    Args:
        draws: of shape (draws, ...).
        log_weights: of shape (draws,); they are normalised here.
        correlated: whether the draws come from a Markov chain, in order (without weights only).

    Returns:
        Means and sds in the units of the draws; the error of log sd is relative.

    Raises:
        ValueError: if there are fewer than two draws.

    Example:
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.moments_of_draws([[0.0], [2.0], [9.0]], [0.0, 0.0, float("-inf")]).mean
        array([1.])

    Source: Owen (2013), Monte Carlo theory, methods and examples, chapter 9, artowen.su.domains/mc.
    """
    draws = np.asarray(draws, np.float64)
    if len(draws) < 2:
        raise ValueError(f"draws: expected at least two draws along the first axis, got {describe(draws)}.")
    weights = _normalise(log_weights, len(draws)).reshape(-1, *[1] * (draws.ndim - 1))
    with np.errstate(over="ignore", invalid="ignore"):  # infinite draws have no moments: NaN
        mean = (weights * draws).sum(axis=0)
        squares = (draws - mean) ** 2
        variance = (weights * squares).sum(axis=0)
        if correlated:
            mean_se, variance_se = correlated_error(draws), correlated_error(squares)
        else:
            mean_se = np.sqrt((weights**2 * squares).sum(axis=0))
            variance_se = np.sqrt((weights**2 * (squares - variance) ** 2).sum(axis=0))
    found = (mean, np.sqrt(variance), mean_se, _half_ratio(variance_se, variance))
    return Moments(*map(np.asarray, found))  # for a site that is one number, sums are numbers too


def moments_of(distribution: Distribution, draws: Any) -> Moments:
    """Means and sds of q in closed form where it has one, without error; else those of its draws.

    Args:
        distribution: q, with event_shape (dim,).
        draws: of q, of shape (draws, dim).

    Example:
        >>> import numpy as np, numpyro.distributions as dist
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.moments_of(dist.Normal(np.array([3.0]), 2.0).to_event(1), np.zeros((2, 1))).sd
        array([2.])
    """
    try:
        mean, variance = np.asarray(distribution.mean, np.float64), np.asarray(distribution.variance, np.float64)
    except (NotImplementedError, AttributeError):
        return moments_of_draws(draws)
    shape = np.shape(draws)[1:]
    if mean.shape != shape or variance.shape != shape or not (np.isfinite(mean).all() and np.isfinite(variance).all()):
        return moments_of_draws(draws)
    return Moments(mean, np.sqrt(variance), np.zeros(shape), np.zeros(shape))


def mean_errors(mean_q: Any, mean_p: Any, sd_p: Any, se: Any = 0.0) -> Measured:
    """(E_q[z_i] - E_p[z_i]) / sd_p(z_i): the errors of q's means in posterior standard deviations.

    Args:
        mean_q: of shape (dim,).
        mean_p: of shape (dim,).
        sd_p: of shape (dim,), above 0.
        se: the standard error of the difference of the means, in their units.

    Example:
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.mean_errors([1.0, 5.0], [0.0, 5.0], [2.0, 1.0]).values
        array([0.5, 0. ])
    """
    sd_p = np.asarray(sd_p, np.float64)
    values = (np.asarray(mean_q, np.float64) - np.asarray(mean_p, np.float64)) / sd_p
    return Measured(values, np.broadcast_to(se / sd_p, values.shape))


def log_sd_ratios(sd_q: Any, sd_p: Any, se: Any = 0.0) -> Measured:
    """log(sd_q(z_i) / sd_p(z_i)): below 0 where q is too narrow; 0.1 is about 10 %.

    Args:
        sd_q: of shape (dim,), above 0.
        sd_p: of shape (dim,), above 0.
        se: the standard error of the difference of the log sds.

    Example:
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.log_sd_ratios([1.0], [2.0]).values
        array([-0.693...])
    """
    values = np.log(np.asarray(sd_q, np.float64)) - np.log(np.asarray(sd_p, np.float64))
    return Measured(values, np.broadcast_to(np.asarray(se, np.float64), values.shape))


def reweighting_moves(draws: Any, log_weights: Any) -> tuple[Measured, Measured]:
    """How far weights move means and spreads of the draws that they weigh: what q's own moments are off by.

        sum_i (w_i - 1/S) z_i in sds,   and   (1/2) log of the ratio of weighted and plain variance

    Both estimates use the same draws, so their difference has no noise at all where the weights are equal.

    Args:
        draws: of q, of shape (draws, dim).
        log_weights: of shape (draws,); they are normalised here.

    Returns:
        The moves of the means, in weighted standard deviations, and of the log sds; each of shape (dim,).

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import diagnostics
        >>> mean, log_sd = diagnostics.reweighting_moves(np.array([[-1.0], [1.0]]), np.zeros(2))
        >>> mean.values, log_sd.values
        (array([0.]), array([0.]))
    """
    draws = np.asarray(draws, np.float64)
    plain, weighted = moments_of_draws(draws), moments_of_draws(draws, log_weights)
    weights, equal = _normalise(log_weights, len(draws))[:, None], 1.0 / len(draws)
    with np.errstate(all="ignore"):
        shift = (weighted.mean - plain.mean) / weighted.sd
        log_ratio = np.log(weighted.sd) - np.log(plain.sd)
        # What each draw adds to the four moments, and by the chain rule to the two results.
        to_mean = (weights * (draws - weighted.mean) - equal * (draws - plain.mean)) / weighted.sd
        to_log_sd = 0.5 * weights * (((draws - weighted.mean) / weighted.sd) ** 2 - 1.0)
        to_plain_log_sd = 0.5 * equal * (((draws - plain.mean) / plain.sd) ** 2 - 1.0)
        shift_se = np.sqrt(((to_mean - shift * to_log_sd) ** 2).sum(axis=0))
        log_ratio_se = np.sqrt(((to_log_sd - to_plain_log_sd) ** 2).sum(axis=0))
    return Measured(shift, shift_se), Measured(log_ratio, log_ratio_se)


def _normalise(log_weights: Any, size: int) -> np.ndarray:
    if log_weights is None:
        return np.full(size, 1.0 / size)
    weights = np.exp(np.asarray(log_weights, np.float64) - np.max(log_weights))
    return np.asarray(weights / weights.sum())


def _half_ratio(se: Any, variance: Any) -> Any:
    """The error of log sd: half the relative error of the variance, infinite where that is zero."""
    return 0.5 * np.divide(se, variance, out=np.full(np.shape(variance), np.inf), where=np.asarray(variance) > 0)
