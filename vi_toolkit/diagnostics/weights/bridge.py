"""Log evidence from draws of both p and q: bridge sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, log_expit, logsumexp

from vi_toolkit.diagnostics.weights.evidence import Estimate, correlated_error
from vi_toolkit.diagnostics.weights.psis import as_log_weights


def bridge(log_weights_p: Any, log_weights_q: Any, *, correlated: bool = False) -> Estimate:
    r"""log Z from draws of p and of q, by the optimal bridge between them.

    With l(z) = p~(z) / q(z), n_p draws of p and n_q of q, Z solves

        Z = mean_q[l / (s_p l + s_q Z)] / mean_p[1 / (s_p l + s_q Z)],    s_p = n_p / (n_p + n_q),  s_q = 1 - s_p

    the fixed point of Meng and Wong's iteration. It is found as the one root of a monotone function of log Z: dividing
    by s, the equation reads s_p mean_p[sigma(c - log l)] = s_q mean_q[sigma(log l - c)], c = log Z + log(s_q / s_p),
    with sigma the logistic function. Where q misses part of p, or p part of q, the other's draws make up for it, so
    this needs much less of q than importance sampling.

    Args:
        log_weights_p: log p~(z) - log q(z) at draws of p, in nats, of shape (draws_p,).
        log_weights_q: the same at draws of q, of shape (draws_q,); -inf is allowed.
        correlated: whether the draws of p come from a Markov chain, in order; the error and s_p then follow their
            effective number.

    Returns:
        log Z and its standard error by the delta method, in nats; (nan, inf) where p and q do not overlap at all.

    Raises:
        ValueError: if there are fewer than two draws of either, or a log weight is NaN or +inf.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import diagnostics
        >>> estimate = diagnostics.bridge(np.full(10, 2.0), np.full(10, 2.0))  # q = p, Z = e^2
        >>> round(estimate.value, 9), estimate.se
        (2.0, 0.0)

    Source: Meng and Wong (1996), Simulating ratios of normalizing constants via a simple identity, Statistica Sinica 6;
    the error is that of Fruehwirth-Schnatter (2004), doi:10.1111/j.1368-423X.2004.00125.x.
    """
    at_p, at_q = as_log_weights(log_weights_p), as_log_weights(log_weights_q)
    for name, values in (("log_weights_p", at_p), ("log_weights_q", at_q)):
        if len(values) < 2 or np.isnan(values).any() or (values == np.inf).any():
            raise ValueError(f"{name}: expected at least two log weights, none of them NaN or +inf.")
    if (at_q == -np.inf).all() or (at_p == -np.inf).any():
        return Estimate(float("nan"), float("inf"))
    share_p = len(at_p) / (len(at_p) + len(at_q))
    c = _solve(at_p, at_q, share_p)
    if correlated:  # once more, with the effective number of p's draws
        inside = expit(c - at_p)
        ratio = inside.var(ddof=1) / len(at_p) / max(_square(correlated_error(inside)), np.finfo(float).tiny)
        num_p = len(at_p) * float(np.clip(ratio, 0.0, 1.0)) if inside.var() > 0 else len(at_p)
        share_p = max(num_p, 1.0) / (max(num_p, 1.0) + len(at_q))
        c = _solve(at_p, at_q, share_p)
    error = np.hypot(_relative_error(expit(c - at_p), correlated), _relative_error(expit(at_q - c), False))
    return Estimate(float(c - np.log1p(-share_p) + np.log(share_p)), float(error))


def _solve(at_p: np.ndarray, at_q: np.ndarray, share_p: float) -> float:
    """The root c of log(s_p mean_p sigma(c - log l)) - log(s_q mean_q sigma(log l - c)), which rises with c."""

    def balance(c: float) -> float:
        left = logsumexp(log_expit(c - at_p)) - np.log(len(at_p)) + np.log(share_p)
        right = logsumexp(log_expit(at_q - c)) - np.log(len(at_q)) + np.log1p(-share_p)
        return float(left - right)

    finite = np.concatenate([at_p, at_q[np.isfinite(at_q)]])
    low, high = finite.min() - 50.0, finite.max() + 50.0
    return float(brentq(balance, low, high, xtol=1e-12, rtol=1e-14))


def _relative_error(values: np.ndarray, correlated: bool) -> float:
    mean = values.mean()
    if mean == 0:
        return float("inf")
    error = float(correlated_error(values)) if correlated else float(values.std(ddof=1) / np.sqrt(len(values)))
    return error / float(mean)


def _square(value: Any) -> float:
    return float(value) ** 2
