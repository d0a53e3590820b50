"""Closed forms by the kinds of distributions: ours between Gaussians, and those that NumPyro has; None where none is.

Distributions with a batch shape give arrays, by NumPyro.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpyro.distributions import Distribution, kl_divergence

from vi_toolkit.information import _gaussian
from vi_toolkit.information.measurement import plain


def entropy(p: Distribution, q: Distribution) -> Any:
    gaussian = _gaussian.as_gaussian(p)
    if gaussian is not None:
        return _gaussian.entropy(gaussian)
    try:
        return plain(p.entropy())
    except NotImplementedError:
        return None


def kl(p: Distribution, q: Distribution) -> Any:
    gaussians = _gaussians(p, q)
    if gaussians is not None:
        return _gaussian.kl(*gaussians)
    try:
        return plain(kl_divergence(p, q))
    except NotImplementedError:
        return None


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
