"""Sums over the outcomes of discrete distributions."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpyro.distributions import Distribution, ExpandedDistribution, Independent

from vi_toolkit.information._functionals import Functional
from vi_toolkit.information._operands import logs_at

MAX_OUTCOMES = 2**20
NEGLIGIBLE = -80.0  # log of the probability of outcomes beyond those that are summed, less that of the likeliest


def outcomes_of(p: Distribution, q: Distribution) -> np.ndarray | None:
    """All outcomes that either has, (outcomes, *event): all but a share below 1e-30 of them where there is no last one.

    None where they cannot be listed, or are too many.
    """
    found = [_outcomes(distribution) for distribution in (p, q)]
    if any(outcomes is None for outcomes in found):
        return None
    both = np.concatenate([outcomes for outcomes in found if outcomes is not None])
    return np.unique(both, axis=0)


def sum_outcomes(functional: Functional, p: Distribution, q: Distribution, outcomes: np.ndarray) -> np.ndarray:
    """The sum of the integrand over the outcomes: (components,)."""
    return functional.times(0.0, logs_at(p, outcomes), logs_at(q, outcomes)).sum(axis=0)


def _outcomes(distribution: Distribution) -> np.ndarray | None:
    if distribution.event_shape:
        return _vectors_of_outcomes(distribution)
    if distribution.has_enumerate_support:
        return np.asarray(distribution.enumerate_support(expand=False)).ravel()
    return _whole_numbers(distribution)


def _vectors_of_outcomes(distribution: Distribution) -> np.ndarray | None:
    """Every combination of the outcomes of independent coordinates."""
    base = distribution
    while isinstance(base, (Independent, ExpandedDistribution)):
        base = base.base_dist
    if not isinstance(distribution, Independent) or base.event_shape or not base.has_enumerate_support:
        return None
    values = np.asarray(base.enumerate_support(expand=False)).ravel()
    size = int(np.prod(distribution.event_shape))
    if size * np.log(len(values)) > np.log(MAX_OUTCOMES):
        return None
    return np.array(list(product(values, repeat=size))).reshape(-1, *distribution.event_shape)


def _whole_numbers(distribution: Distribution) -> np.ndarray | None:
    """Those from the lower bound of the support to where the probabilities have become negligible."""
    low = getattr(distribution.support, "lower_bound", None)
    if low is None or np.ndim(low):
        return None
    low, size = int(low), 256
    while size <= MAX_OUTCOMES:
        outcomes = np.arange(low, low + size)
        logs = logs_at(distribution, outcomes)
        if logs[-1] < logs.max() + NEGLIGIBLE and logs[-1] < logs[-2] and _covers(logs):
            return outcomes
        size *= 4
    return None


def _covers(logs: np.ndarray) -> bool:
    """Whether the probabilities sum to one, to the precision that they are given in."""
    return bool(abs(np.exp(logs).sum() - 1.0) < 1e-4)
