"""How certain k-hat is, and the k-hat of every coordinate's own mean and variance."""

from __future__ import annotations

from typing import Any

import numpy as np

from vi_toolkit._checks import describe
from vi_toolkit.diagnostics.weights.evidence import Estimate
from vi_toolkit.diagnostics.weights.psis import MIN_REPEATS, as_log_weights, smooth

PRIOR_DRAWS = 10  # k-hat is drawn to one half as if by so many further draws of the tail
PRIOR_KHAT = 0.5
ERROR_FLOOR = 0.85  # of sqrt(tail) times the error, for k from -1 to 0, where neither formula holds; measured
MIN_TAIL = 6  # fewer draws have no first quartile of their own, by which ArviZ fits the tail


def khat_with_error(log_weights: Any, *, rounding: float = 0.0) -> Estimate:
    """k-hat of importance weights with its standard error.

        se = max(1 + k, |k|, 0.85) / sqrt(m) * m / (m + 10),    m = the number of draws that make the tail

    The first is the error of maximum likelihood for the generalised Pareto distribution, and holds for k > -1/2; the
    second that for weights of a known upper end, towards which it goes below; the last factor is that of the prior,
    which is worth ten draws at k = 1/2 and has been taken out of k. Over repeated draws of families whose k is known
    the errors are right to about a tenth for a thousand draws or more, and up to a third too small for 200. How far
    k-hat of so many draws is from its limit is another matter: it comes to 0.9 slowly, and from below.

    Args:
        log_weights: log p~(z_i) - log q(z_i) at draws z_i of q, in nats, of shape (draws,), up to a common constant.
        rounding: as for `smooth`.

    Returns:
        k-hat and its error. An infinite k-hat has the error 0: it is found by other rules than by a fit.

    Raises:
        ValueError: if there are fewer than 25 draws, or ``log_weights`` is not one-dimensional.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import diagnostics
        >>> z = np.sqrt(0.5) * np.random.default_rng(0).standard_normal(4000)
        >>> khat = diagnostics.khat_with_error(0.5 * z**2)  # q = N(0, 1/2), p = N(0, 1): k = 1/2
        >>> abs(khat.value - 0.5) < 2 * khat.se, round(khat.se, 1)
        (True, 0.1)

    Source: Smith (1987), Estimating tails of probability distributions, doi:10.1214/aos/1176350499 (the error of the
    tail index); Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, arXiv:1507.02646
    (the prior).
    """
    log_weights = as_log_weights(log_weights)
    khat = smooth(log_weights, rounding=rounding).khat
    return Estimate(khat, khat_error(khat, len(log_weights)))


def khat_error(khat: float, num_draws: int) -> float:
    """The standard error of a k-hat that `smooth` made of ``num_draws`` weights; see `khat_with_error`.

    Example:
        >>> from vi_toolkit.diagnostics.weights.khat_error import khat_error
        >>> round(khat_error(0.5, 4000), 3), khat_error(float("-inf"), 4000)
        (0.104, 0.0)
    """
    if not np.isfinite(khat):
        return 0.0
    size = tail_size(num_draws)
    index = raw_khat(khat, num_draws)
    return float(max(1.0 + index, abs(index), ERROR_FLOOR) * np.sqrt(size) / (size + PRIOR_DRAWS))


def parameter_khats(draws: Any, log_weights: Any, *, rounding: float = 0.0) -> np.ndarray:
    """k-hat of what importance sampling averages for the mean and the variance of every coordinate.

        k_i = max(k-hat[w], k-hat[z_i^2 w]),    z_i from its median under q

    The mean of h(z) under p is the ratio of the means of h w and w under q, so its error is finite where both have
    finite variance, that is where both tail indices are below one half. Since |z_i| w is at most the larger of w and
    z_i^2 w, its tails, upper and lower, need no fit of their own. Where q has lighter tails than p, w decides; where q
    has heavy tails and the weights are bounded, z_i^2 w may still have no variance.

    Args:
        draws: of q, of shape (draws, dim).
        log_weights: log p~(z_i) - log q(z_i) there, in nats, of shape (draws,), up to a common constant.
        rounding: as for `smooth`.

    Returns:
        Of shape (dim,), to be read as k-hat is: below 0.5 fine, above 0.7 not to be trusted. Where the weights are all
        alike it is that of the draws of q themselves.

    Raises:
        ValueError: if there are fewer than 25 draws, or the shapes do not match.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import diagnostics
        >>> draws = np.random.default_rng(0).standard_cauchy((4000, 2))
        >>> draws[:, 0] = np.random.default_rng(1).standard_normal(4000)
        >>> khats = diagnostics.parameter_khats(draws, np.zeros(4000))  # a Cauchy has no mean: k = 2 for its square
        >>> bool(khats[0] < 0.5), bool(khats[1] > 1.0)
        (True, True)

    Source: Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, arXiv:1507.02646, on
    the tail of h(z) w(z).
    """
    log_weights, draws = as_log_weights(log_weights), np.asarray(draws, np.float64)
    if draws.ndim != 2 or len(draws) != len(log_weights):
        raise ValueError(f"draws: expected shape ({len(log_weights)}, dim), got {describe(draws)}.")
    of_weights = smooth(log_weights, rounding=rounding).khat
    if of_weights == np.inf:
        return np.full(draws.shape[1], np.inf)
    weights = np.exp(log_weights - log_weights.max())
    centred = draws - np.median(draws, axis=0)  # the mean of a heavy-tailed q follows its largest draw
    return np.array([max(of_weights, upper_tail(z**2 * weights)) for z in centred.T])


def upper_tail(values: np.ndarray) -> float:
    """The tail index of the largest of some values, by ArviZ; -inf where there is an upper end, or no tail to fit."""
    from arviz_stats.base.array import array_stats  # it takes a second to import

    if not np.isfinite(values).all():
        return np.inf
    size = tail_size(len(values))
    tail = np.partition(values, len(values) - size)[-size:]
    if size < MIN_TAIL or np.ptp(tail) == 0.0 or (tail == tail.max()).sum() >= MIN_REPEATS:
        return -np.inf
    with np.errstate(all="ignore"):
        khat = array_stats.pareto_khat(values, chain_axis=None, r_eff=1.0, tail="right")  # type: ignore[no-untyped-call]
    return -np.inf if np.isnan(khat) else float(khat)


def raw_khat(khat: float, num_draws: int) -> float:
    """A finite k-hat without the prior that draws it to one half."""
    size = tail_size(num_draws)
    return (khat * (size + PRIOR_DRAWS) - PRIOR_DRAWS * PRIOR_KHAT) / size


def tail_size(num_draws: int) -> int:
    """How many of the largest of ``num_draws`` weights make the tail: a fifth, and at most 3 sqrt(draws)."""
    return int(min(num_draws / 5, 3 * np.sqrt(num_draws)))
