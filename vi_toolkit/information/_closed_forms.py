"""Closed forms by the kinds of distributions: ours, and those that NumPyro has; None where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpyro.distributions import (
    Beta,
    Distribution,
    ExpandedDistribution,
    Independent,
    Kumaraswamy,
    kl_divergence,
)
from numpyro.distributions.discrete import CategoricalProbs

from vi_toolkit.information import _families, _gaussian
from vi_toolkit.information.measurement import plain


def entropy(p: Distribution, q: Distribution) -> Any:
    gaussian = _gaussian.as_gaussian(p)
    if gaussian is not None:
        return _gaussian.entropy(gaussian)
    found = _entropy(p)
    return None if found is None else plain(found)


def _entropy(p: Distribution) -> Any:
    """Of the batch: our own forms, inside `Independent` too, and then NumPyro's."""
    if isinstance(p, ExpandedDistribution):
        found = _entropy(p.base_dist)
    elif isinstance(p, Independent):
        found = _entropy(p.base_dist)
        found = None if found is None else found.sum(axis=tuple(range(-p.reinterpreted_batch_ndims, 0)))
    else:
        found = _families.entropy(p)
        if found is None:
            try:
                found = np.asarray(p.entropy(), np.float64)
            except NotImplementedError:
                return None
    return None if found is None else np.broadcast_to(found, p.batch_shape)


def kl(p: Distribution, q: Distribution) -> Any:
    gaussians = _gaussians(p, q)
    if gaussians is not None:
        return _gaussian.kl(*gaussians)
    found = _kl(p, q)
    return None if found is None else plain(np.maximum(found, 0.0))  # not below by rounding


def _kl(p: Distribution, q: Distribution) -> Any:
    """Of the batch: our own forms, inside `Independent` too, and then NumPyro's."""
    shape = np.broadcast_shapes(p.batch_shape, q.batch_shape)
    if isinstance(p, ExpandedDistribution) or isinstance(q, ExpandedDistribution):
        first, second = (each.base_dist if isinstance(each, ExpandedDistribution) else each for each in (p, q))
        found = _kl(first, second)
        return None if found is None else np.broadcast_to(found, shape)
    if isinstance(p, Independent) and isinstance(q, Independent):
        if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
            return None
        found = _kl(p.base_dist, q.base_dist)
        return None if found is None else found.sum(axis=tuple(range(-p.reinterpreted_batch_ndims, 0)))
    found = _families.kl(p, q)
    if found is None and _is_exact_in_numpyro(p, q):
        try:
            found = np.asarray(kl_divergence(p, q), np.float64)
        except NotImplementedError:
            return None
    return None if found is None else np.broadcast_to(found, shape)


def _is_exact_in_numpyro(p: Distribution, q: Distribution) -> bool:
    if isinstance(p, Kumaraswamy) and isinstance(q, Beta):
        return False  # the first ten terms of a series that converges slowly
    if isinstance(p, CategoricalProbs) and isinstance(q, CategoricalProbs):
        return p.probs.shape[-1] == q.probs.shape[-1]
    return True


def cross_entropy(p: Distribution, q: Distribution) -> Any:
    first, second = entropy(p, p), kl(p, q)
    return None if first is None or second is None else first + second


def decomposed(p: Distribution, q: Distribution) -> Any:
    """[H(p), H(p, q), D(p || q)]."""
    first, second = entropy(p, p), kl(p, q)
    return None if first is None or second is None else np.stack([first, first + second, second], axis=-1)


def jeffreys(p: Distribution, q: Distribution) -> Any:
    there, back = kl(p, q), kl(q, p)
    return None if there is None or back is None else there + back


def renyi(order: float, p: Distribution, q: Distribution) -> float | None:
    gaussians = _gaussians(p, q)
    return None if gaussians is None else _gaussian.renyi(order, *gaussians)


def tsallis(order: float, p: Distribution, q: Distribution) -> float | None:
    """(e^((a - 1) D_a) - 1) / (a - 1) of the Renyi divergence D_a."""
    found = renyi(order, p, q)
    with np.errstate(over="ignore"):
        return None if found is None else float(np.expm1((order - 1.0) * found) / (order - 1.0))


def chi_square(p: Distribution, q: Distribution) -> float | None:
    return tsallis(2.0, p, q)


def hellinger(p: Distribution, q: Distribution) -> float | None:
    """H^2 = 1 - e^(-D_(1/2) / 2)."""
    found = renyi(0.5, p, q)
    return None if found is None else float(np.sqrt(-np.expm1(-0.5 * found)))


def total_variation(p: Distribution, q: Distribution) -> float | None:
    gaussians = _gaussians(p, q)
    return None if gaussians is None else _gaussian.total_variation(*gaussians)


def fisher(p: Distribution, q: Distribution) -> float | None:
    gaussians = _gaussians(p, q)
    return None if gaussians is None else _gaussian.fisher(*gaussians)


def none(p: Distribution, q: Distribution) -> None:
    """Of what has no closed form."""


def _gaussians(p: Distribution, q: Distribution) -> tuple[_gaussian.Gaussian, _gaussian.Gaussian] | None:
    first, second = _gaussian.as_gaussian(p), _gaussian.as_gaussian(q)
    return None if first is None or second is None else (first, second)
