"""The two directions of Kullback and Leibler, from draws, once the evidence is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from vi_toolkit.diagnostics.weights.evidence import Estimate, correlated_error, elbo
from vi_toolkit.diagnostics.weights.psis import as_log_weights


def reverse_kl(log_weights: Any, log_evidence: float, log_evidence_se: float = 0.0) -> Estimate:
    """D_KL(q || p) = log Z - ELBO(q), from draws of q.

    Args:
        log_weights: log p~(z_i) - log q(z_i) at draws z_i of q, in nats, of shape (draws,).
        log_evidence: log Z in nats.
        log_evidence_se: its standard error.

    Returns:
        The divergence and its standard error, in nats. An estimate may be slightly negative.

    Example:
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.reverse_kl([1.0, 1.0], log_evidence=1.5)
        Estimate(value=0.5, se=0.0)

    Source: Kullback and Leibler (1951), On information and sufficiency, doi:10.1214/aoms/1177729694.
    """
    bound = elbo(log_weights)
    return Estimate(log_evidence - bound.value, float(np.hypot(bound.se, log_evidence_se)))


def forward_kl(
    log_weights: Any, log_evidence: float, log_evidence_se: float = 0.0, *, correlated: bool = False
) -> Estimate:
    """D_KL(p || q) = E_p[log p~(z) - log q(z)] - log Z, from draws of p.

    Args:
        log_weights: log p~(z_i) - log q(z_i) at draws z_i of p, in nats, of shape (draws,).
        log_evidence: log Z in nats.
        log_evidence_se: its standard error.
        correlated: whether the draws come from a Markov chain, in order.

    Returns:
        The divergence and its standard error, in nats; infinite where q is zero at a draw of p.

    Example:
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.forward_kl([1.0, 1.0], log_evidence=0.5)
        Estimate(value=0.5, se=0.0)

    Source: Kullback and Leibler (1951), On information and sufficiency, doi:10.1214/aoms/1177729694.
    """
    bound = elbo(log_weights)  # the same mean, over draws of p: an upper bound
    se = bound.se
    if correlated and np.isfinite(bound.value):
        se = float(correlated_error(as_log_weights(log_weights)))
    return Estimate(bound.value - log_evidence, float(np.hypot(se, log_evidence_se)))
