"""What the log weights of draws of q say about the evidence: a bound, an estimate, and how many draws count."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from vi_toolkit.diagnostics._limits import EVEN_ESS, EVEN_GAP, KHAT_USABLE, NUM_SES
from vi_toolkit.diagnostics.weights.psis import as_log_weights


class Estimate(NamedTuple):
    """A number and its standard error, in the same units.

    Example:
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.elbo([1.0, 1.0, 1.0, 1.0])
        Estimate(value=1.0, se=0.0)
    """

    value: float
    se: float


def elbo(log_weights: Any) -> Estimate:
    """ELBO = E_q[log p~(z) - log q(z)], a lower bound of log Z, by the mean over draws of q.

    Args:
        log_weights: log p~(z_i) - log q(z_i) at draws z_i of q, in nats, of shape (draws,).

    Returns:
        The mean and sd / sqrt(draws), in nats. Where a draw has p~ = 0 the ELBO is -inf, with an infinite error. NaN
        log weights give NaN.

    Example:
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.elbo([0.0, 2.0])
        Estimate(value=1.0, se=1.0)

    Source: Jordan et al. (1999), An introduction to variational methods for graphical models,
    doi:10.1023/A:1007665907178.
    """
    return mean_and_error(as_log_weights(log_weights))


def log_evidence(log_weights: Any) -> Estimate:
    """log Z = log E_q[p~(z) / q(z)], by importance sampling.

        log Z-hat = log (1/S) sum_i w_i,    se = sd(w) / (mean(w) sqrt(S))    (delta method)

    Z-hat is unbiased, so log Z-hat is below log Z on average. The error says nothing where k-hat is above 0.7, nor
    about mass of p that q never visits.

    Args:
        log_weights: log w_i = log p~(z_i) - log q(z_i) at draws z_i of q, in nats, of shape (draws,).

    Returns:
        The estimate and its standard error, in nats; -inf and inf where every weight is zero.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.log_evidence(np.log([1.0, 3.0]))  # log 2, and sqrt(2) / (2 sqrt(2))
        Estimate(value=0.693147..., se=0.5...)

    Source: Owen (2013), Monte Carlo theory, methods and examples, chapter 9, artowen.su.domains/mc.
    """
    log_weights = as_log_weights(log_weights)
    if np.isnan(log_weights).any() or (log_weights == np.inf).any():
        return Estimate(float("nan"), float("inf"))
    top = log_weights.max()
    if top == -np.inf:
        return Estimate(-np.inf, np.inf)
    mean, se = mean_and_error(np.exp(log_weights - top))
    return Estimate(float(top + np.log(mean)), se / mean)


def effective_draws(log_weights: Any) -> float:
    """How many equally weighted draws the weighted ones are worth: 1 / sum_i w_i^2, with sum_i w_i = 1.

    Args:
        log_weights: of shape (draws,), up to a common constant.

    Returns:
        A number from 1 to the number of draws; 0 where no weight is usable.

    Example:
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.effective_draws([0.0, 0.0, 0.0, float("-inf")])
        3.0

    Source: Kong (1992), A note on importance sampling using standardized weights, University of Chicago technical
    report 348.
    """
    log_weights = as_log_weights(log_weights)
    top = log_weights.max()
    if not np.isfinite(top):
        return 0.0
    return float(np.exp(2 * logsumexp(log_weights) - logsumexp(2 * log_weights)))


def nearly_even(log_weights: Any) -> bool:
    """Whether weights are nearly all alike, so that a k-hat fitted to their tail means little.

    So they are where at least 95 % of the draws are effective, D(q||p), the mean log weight below log Z, is at most
    0.05 nats with two standard errors added, and none is infinite or NaN.

    Args:
        log_weights: log p~ - log q at draws of q, of shape (draws,), in nats.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import diagnostics
        >>> [diagnostics.nearly_even(np.linspace(-width, width, 200)) for width in (0.2, 2.0)]
        [True, False]
    """
    log_weights = as_log_weights(log_weights)
    if not np.isfinite(log_weights).all():
        return False
    bound, evidence = elbo(log_weights), log_evidence(log_weights)
    return is_nearly_even(
        effective_draws(log_weights) / len(log_weights),
        Estimate(evidence.value - bound.value, float(np.hypot(bound.se, evidence.se))),
    )


def is_nearly_even(effective: float, reverse_kl: Estimate) -> bool:
    """The same by the share of effective draws and D(q||p), of finite weights."""
    return bool(effective >= EVEN_ESS and reverse_kl.value + NUM_SES * reverse_kl.se <= EVEN_GAP)


def can_correct(khat: float, log_weights: Any) -> bool:
    """Whether draws can be corrected by their weights: k-hat is below 0.7, or the weights are nearly all alike."""
    return khat < KHAT_USABLE or nearly_even(log_weights)


def mean_and_error(values: np.ndarray) -> Estimate:
    """The mean of independent values and its standard error; an infinite value has an infinite error."""
    if not np.isfinite(values).all():
        return Estimate(float(np.sum(values)), float("inf"))
    if len(values) < 2:
        return Estimate(float(values.mean()), float("inf"))
    return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))


def correlated_error(values: np.ndarray, *, num_batches: int = 50) -> np.ndarray:
    """The standard errors of the means of columns of correlated draws (draws, ...), by the means of batches."""
    size = len(values) // min(num_batches, len(values))
    count = len(values) // size
    means = values[: count * size].reshape(count, size, *values.shape[1:]).mean(axis=1)
    return np.asarray(means.std(axis=0, ddof=1) / np.sqrt(count))
