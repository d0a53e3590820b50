"""Sums over the outcomes of discrete distributions."""

from __future__ import annotations

from itertools import combinations, product
from math import comb
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution, ExpandedDistribution, Independent, constraints

from vi_toolkit.information._functionals import Functional
from vi_toolkit.information._operands import logs_at

MAX_OUTCOMES = 2**20
NEGLIGIBLE = -80.0  # log of the probability of outcomes beyond those that are summed, less that of the likeliest
LEAST = -700.0  # log of a small probability that does not underflow


class Outcomes(NamedTuple):
    """What can come out: (outcomes, *event)."""

    values: np.ndarray
    endless: bool = False  # whether larger whole numbers follow, of a share below 1e-30


def outcomes_of(p: Distribution, q: Distribution) -> Outcomes | None:
    """All outcomes that either has; None where they cannot be listed, or are too many."""
    first, second = _outcomes(p), _outcomes(q)
    if first is None or second is None:
        return None
    both = np.unique(np.concatenate([first.values, second.values]), axis=0)
    if not (first.endless or second.endless):
        return Outcomes(both)
    if both[-1] - both[0] > MAX_OUTCOMES:
        return None
    return Outcomes(np.arange(both[0], both[-1] + 2), endless=True)  # one more than any list that has an end


def sum_outcomes(functional: Functional, p: Distribution, q: Distribution, outcomes: Outcomes) -> Any:
    """The functional of two discrete distributions, exactly, and its error where their probabilities are not exact.

    Where there is no last outcome, more of them are taken until the last counts for nothing: p^2/q may go on after p
    and q have both died out, and even grow. None where it neither ends nor grows.
    """
    values = outcomes.values
    while True:
        logs = _logs(p, q, values)
        rescaled = functional.rescaled(functional.log_size(0.0, *logs))
        terms = rescaled.times(0.0, *logs)
        with np.errstate(over="ignore"):
            total = terms.sum(axis=0)
        before, last = np.abs(terms[-2:]) if len(terms) > 1 else (terms[0], terms[0])
        settled = (last <= 1e-17 * np.abs(total)) | np.isinf(total)
        if not outcomes.endless or settled.all():
            break
        if 4 * len(values) > MAX_OUTCOMES:
            if not (settled | (last >= before)).all():
                return None
            total = np.where(settled, total, np.inf)
            break
        values = np.arange(values[0], values[0] + 4 * len(values))
    value = rescaled.finish(total)
    return value, _error(value, logs)


def _error(value: Any, logs: tuple[np.ndarray, np.ndarray]) -> Any:
    """What may come of probabilities that do not sum to one: JAX's betaln, for one, has six digits."""
    lacking = max(abs(np.exp(log_p).sum() - 1.0) for log_p in logs)
    if lacking < 1e6 * float(np.finfo(jnp.result_type(float)).eps):
        return np.zeros_like(value)
    return np.where(np.isfinite(value), 10.0 * lacking * (1.0 + np.abs(value)), 0.0)


def _logs(p: Distribution, q: Distribution, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log p and log q; what is impossible under one alone stays possible under the other, however unlikely."""
    log_p, log_q = logs_at(p, values), logs_at(q, values)
    in_p, in_q = log_p > -np.inf, log_q > -np.inf
    return (
        np.where(in_p & ~in_q, np.maximum(log_p, LEAST), log_p),
        np.where(in_q & ~in_p, np.maximum(log_q, LEAST), log_q),
    )


def _outcomes(distribution: Distribution) -> Outcomes | None:
    if distribution.event_shape:
        values = _vectors_of_outcomes(distribution)
        return None if values is None else Outcomes(values)
    if distribution.has_enumerate_support:
        return Outcomes(np.asarray(distribution.enumerate_support(expand=False)).ravel())
    return _whole_numbers(distribution)


def _vectors_of_outcomes(distribution: Distribution) -> np.ndarray | None:
    """Every combination of the outcomes of independent coordinates, or every way to split a number of trials."""
    if isinstance(distribution.support, type(constraints.multinomial(1))):
        return _splits(distribution.support.upper_bound, distribution.event_shape[0])
    base = distribution
    while isinstance(base, (Independent, ExpandedDistribution)):
        base = base.base_dist
    if not isinstance(distribution, Independent) or base.event_shape:
        return None
    size = int(np.prod(distribution.event_shape))
    bounds = distribution.support.base_constraint
    if hasattr(bounds, "upper_bound"):
        low, high = (np.broadcast_to(bound, distribution.event_shape).ravel() for bound in _ends(bounds))
        lists = [np.arange(first, last + 1) for first, last in zip(low, high, strict=True)]
    elif base.has_enumerate_support:
        lists = [np.asarray(base.enumerate_support(expand=False)).ravel()] * size
    else:
        return None
    if np.log([len(values) for values in lists]).sum() > np.log(MAX_OUTCOMES):
        return None
    return np.array(list(product(*lists))).reshape(-1, *distribution.event_shape)


def _ends(interval: Any) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(interval.lower_bound), np.asarray(interval.upper_bound)


def _splits(trials: Any, size: int) -> np.ndarray | None:
    """All vectors of counts with a given sum: the gaps between ``size`` - 1 bars among that many stars."""
    number = int(trials)
    if comb(number + size - 1, size - 1) > MAX_OUTCOMES:
        return None
    bars = np.array(list(combinations(range(number + size - 1), size - 1))).reshape(-1, size - 1)
    ends = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, number + size - 1)))
    return np.diff(ends, axis=1) - 1


def _whole_numbers(distribution: Distribution) -> Outcomes | None:
    """Those from the lower bound of the support to where the probabilities have become negligible."""
    low = getattr(distribution.support, "lower_bound", None)
    if low is None or np.ndim(low):
        return None
    first, size = int(low), 256
    while size <= MAX_OUTCOMES:
        values = np.arange(first, first + size)
        logs = logs_at(distribution, values)
        if logs[-1] < logs.max() + NEGLIGIBLE and logs[-1] <= logs[-2] and _covers(logs):
            possible = logs > -np.inf
            return Outcomes(values[possible], endless=bool(possible[-1]))
        size *= 4
    return None


def _covers(logs: np.ndarray) -> bool:
    """Whether the probabilities sum to one, to the precision that they are given in."""
    return bool(abs(np.exp(logs).sum() - 1.0) < 1e-4)
