"""Quantiles of a distribution on the line: NumPyro's own, or its distribution function inverted by bisection."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from numpyro.distributions import Beta, Distribution, ExpandedDistribution, Gamma, Independent, StudentT
from scipy.special import betaincinv, gammaincinv, ndtri, stdtrit

from vi_toolkit.information import _gaussian
from vi_toolkit.information._charts import bounds
from vi_toolkit.information._operands import in_chunks

NUM_HALVINGS = 100


@jax.jit
def _cdf(distribution: Distribution, x: jax.Array) -> jax.Array:
    return distribution.cdf(x)


@jax.jit
def _icdf(distribution: Distribution, u: jax.Array) -> jax.Array:
    return distribution.icdf(u)


def quantiles(distribution: Distribution, u: np.ndarray) -> Any:
    """F^-1(u) at every u (points,); None where NumPyro knows neither F^-1 nor F."""
    gaussian = _gaussian.as_gaussian(distribution)
    if gaussian is not None:
        return float(gaussian.mean[0]) + float(gaussian.root[0, 0]) * ndtri(u)
    for invert in (_by_scipy, _by_icdf, _by_bisection):
        try:
            return invert(distribution, u)
        except (NotImplementedError, ImportError, AttributeError):  # some need packages that may not be there
            continue
    return None


def _by_scipy(distribution: Distribution, u: np.ndarray) -> np.ndarray:
    """Of the families whose quantiles NumPyro leaves to a package that may not be there."""
    base = _base(distribution)[0]
    if isinstance(base, Gamma):
        return np.asarray(gammaincinv(np.squeeze(base.concentration), u) / np.squeeze(base.rate))
    if isinstance(base, Beta):
        return np.asarray(betaincinv(np.squeeze(base.concentration1), np.squeeze(base.concentration0), u))
    if isinstance(base, StudentT):
        return np.asarray(np.squeeze(base.loc) + np.squeeze(base.scale) * stdtrit(np.squeeze(base.df), u))
    raise NotImplementedError


def _by_icdf(distribution: Distribution, u: np.ndarray) -> np.ndarray:
    base, shape = _base(distribution)
    return in_chunks(_icdf, base, u.reshape(-1, *shape)).ravel()


def _by_bisection(distribution: Distribution, u: np.ndarray) -> np.ndarray:
    """Between bounds that are moved apart until F at them is on both sides of u."""
    base, shape = _base(distribution)

    def is_below(x: np.ndarray) -> np.ndarray:
        return in_chunks(_cdf, base, x.reshape(-1, *shape)).ravel() < u

    ends = bounds(distribution) or (-np.inf, np.inf)
    draws = np.asarray(distribution.sample(jax.random.key(0), (100,)), np.float64)
    low, high = np.full(len(u), draws.min()), np.full(len(u), draws.max())
    for step in float(np.ptp(draws)) * 2.0 ** np.arange(NUM_HALVINGS):
        too_high, too_low = ~is_below(low) & (low > ends[0]), is_below(high) & (high < ends[1])
        if not (too_high.any() or too_low.any()):
            break
        low, high = np.where(too_high, np.maximum(low - step, ends[0]), low), np.where(too_low, high + step, high)
        high = np.minimum(high, ends[1])
    for _ in range(NUM_HALVINGS):
        middle = 0.5 * (low + high)
        below = is_below(middle)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)


def _base(distribution: Distribution) -> tuple[Distribution, tuple[int, ...]]:
    """The distribution of one number that an event of shape (1,) is made of, and the shape that its numbers have."""
    base = distribution
    while isinstance(base, Independent):
        base = base.base_dist
    while isinstance(base, ExpandedDistribution) and not base.base_dist.batch_shape:
        base = base.base_dist
    return base, base.batch_shape
