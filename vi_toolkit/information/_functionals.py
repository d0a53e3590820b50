"""The measures themselves: each is an integrand of log p(x) and log q(x), and what is done with its integral.

    measure = finish( ∫ integrand(log p(x), log q(x)) dx ),      a sum over x where x is discrete

An integrand maps two arrays (...) to (..., components), and ``finish`` maps (..., components) to (...). Zeros follow
the limits: 0 log 0 = 0, and p log(p / 0) = inf where p > 0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

Logs = np.ndarray
Integrand = Callable[[Logs, Logs], np.ndarray]


def first(components: np.ndarray) -> Any:
    """The integral itself, of an integrand with one component."""
    return components[..., 0]


def _none(log_p: Logs, log_q: Logs) -> np.ndarray:
    raise AssertionError("this functional has an integrand of its own")


class Functional(NamedTuple):
    """One measure of information, in nats.

    Of two forms: integrand(c p, c q) = c integrand(p, q), as all divergences have, or p ``under_p(log p, log q)``.
    """

    name: str
    integrand: Integrand | None
    finish: Callable[[np.ndarray], Any] = first
    under_p: Integrand = _none

    def times(self, log_volume: np.ndarray | float, log_p: Logs, log_q: Logs) -> np.ndarray:
        """The integrand times a volume, (..., components); the two are joined before anything can underflow."""
        if self.integrand is not None:
            return self.integrand(log_p + log_volume, log_q + log_volume)
        possible = log_p > -np.inf
        with np.errstate(invalid="ignore"):
            values = np.exp(log_p + log_volume)[..., None] * self.under_p(log_p, log_q)
        return np.where(possible[..., None], values, 0.0)

    def over_volumes(self, x: np.ndarray, log_volume: np.ndarray, log_p: Logs, log_q: Logs) -> np.ndarray:
        """`times` in the form that quadrature calls."""
        return self.times(log_volume, log_p, log_q)


def _one(values: np.ndarray) -> np.ndarray:
    return values[..., None]


def kl(log_p: Logs, log_q: Logs) -> np.ndarray:
    """p log(p/q) - p + q: the same integral as p log(p/q), and nowhere negative, so that no digits cancel.

    With t = log(q/p) it is p (e^t - 1 - t).
    """
    p, q = np.exp(log_p), np.exp(log_q)
    with np.errstate(invalid="ignore"):
        t = log_q - log_p
        near = p * (np.expm1(np.minimum(t, 1.0)) - t)
        far = q - p - p * t
    return np.where(p == 0.0, q, np.where(t < 1.0, near, far))


def _kl(log_p: Logs, log_q: Logs) -> np.ndarray:
    return _one(kl(log_p, log_q))


def _jeffreys(log_p: Logs, log_q: Logs) -> np.ndarray:
    return _one(kl(log_p, log_q) + kl(log_q, log_p))


def _jensen_shannon(log_p: Logs, log_q: Logs) -> np.ndarray:
    log_m = np.logaddexp(log_p, log_q) - np.log(2.0)
    return _one(0.5 * kl(log_p, log_m) + 0.5 * kl(log_q, log_m))


def _power(order: float, log_p: Logs, log_q: Logs) -> np.ndarray:
    """p^a q^(1-a), and p^a q^(1-a) - a p - (1-a) q.

    The second has the integral I - 1, where I is that of the first, and keeps its digits where p and q are nearly the
    same: with t = log(p/q) it is q (e^(a t) - 1 - a (e^t - 1)).
    """
    p, q = np.exp(log_p), np.exp(log_q)
    in_p, in_q = log_p > -np.inf, log_q > -np.inf
    with np.errstate(over="ignore"):
        product = np.exp(order * np.where(in_p, log_p, 0.0) + (1.0 - order) * np.where(in_q, log_q, 0.0))
        product = np.where(in_p & in_q, product, np.where(in_p & (order > 1.0), np.inf, 0.0))
        t = np.where(in_p & in_q, np.where(in_p, log_p, 0.0) - np.where(in_q, log_q, 0.0), np.inf)
    is_near = np.abs(t) * max(order, 1.0) < 0.5
    small = np.where(is_near, t, 0.0)
    near = q * (np.expm1(order * small) - order * np.expm1(small))
    return np.stack([product, np.where(is_near, near, product - order * p - (1.0 - order) * q)], axis=-1)


def _log_power(components: np.ndarray) -> Any:
    """log I, from I - 1 where I is close to one, and else from I."""
    with np.errstate(divide="ignore"):
        far = np.log(components[..., 0])
    less_one = components[..., 1]
    return np.where(np.abs(less_one) < 0.5, np.log1p(np.clip(less_one, -0.5, 0.5)), far)


def _renyi(order: float, components: np.ndarray) -> Any:
    return _log_power(components) / (order - 1.0)


def _tsallis(order: float, components: np.ndarray) -> Any:
    return components[..., 1] / (order - 1.0)


def _chi_square(log_p: Logs, log_q: Logs) -> np.ndarray:
    """(p - q)^2 / q = p^2 / q - 2 p + q."""
    p, q = np.exp(log_p), np.exp(log_q)
    with np.errstate(invalid="ignore", over="ignore"):
        t = log_p - log_q
        near = q * np.expm1(np.minimum(t, 1.0)) ** 2
        far = np.exp(2.0 * log_p - log_q) - 2.0 * p + q
    return _one(np.where(p == 0.0, q, np.where(t < 1.0, near, far)))


def _squared_hellinger(log_p: Logs, log_q: Logs) -> np.ndarray:
    """(1/2) (sqrt p - sqrt q)^2."""
    return _one(0.5 * (np.exp(0.5 * log_p) - np.exp(0.5 * log_q)) ** 2)


def _root(components: np.ndarray) -> Any:
    return np.sqrt(np.maximum(components[..., 0], 0.0))


def _total_variation(log_p: Logs, log_q: Logs) -> np.ndarray:
    return _one(0.5 * np.abs(np.exp(log_p) - np.exp(log_q)))


def _power_under_p(order: float, log_p: Logs, log_q: Logs) -> np.ndarray:
    return _one(np.exp((order - 1.0) * log_p))


def _renyi_entropy(order: float, components: np.ndarray) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(components[..., 0]) / (1.0 - order)


def _tsallis_entropy(order: float, components: np.ndarray) -> Any:
    return (components[..., 0] - 1.0) / (1.0 - order)


def _surprise_of_p(log_p: Logs, log_q: Logs) -> np.ndarray:
    return _one(-log_p)


def _surprise_of_q(log_p: Logs, log_q: Logs) -> np.ndarray:
    return _one(-log_q)


def _decomposed(log_p: Logs, log_q: Logs) -> np.ndarray:
    return np.stack([-log_p, -log_q, log_p - log_q], axis=-1)


def _all(components: np.ndarray) -> np.ndarray:
    return components


ENTROPY = Functional("entropy", None, under_p=_surprise_of_p)
CROSS_ENTROPY = Functional("cross-entropy", None, under_p=_surprise_of_q)
KL = Functional("KL divergence", _kl)
JEFFREYS = Functional("Jeffreys divergence", _jeffreys)
JENSEN_SHANNON = Functional("Jensen-Shannon divergence", _jensen_shannon)
JENSEN_SHANNON_DISTANCE = Functional("Jensen-Shannon distance", _jensen_shannon, _root)
DECOMPOSED = Functional("entropy, cross-entropy and KL divergence", None, _all, _decomposed)
CHI_SQUARE = Functional("chi-square divergence", _chi_square)
HELLINGER = Functional("Hellinger distance", _squared_hellinger, _root)
TOTAL_VARIATION = Functional("total variation", _total_variation)


def renyi_divergence(order: float) -> Functional:
    return Functional(f"Renyi divergence of order {order:g}", partial(_power, order), partial(_renyi, order))


def tsallis_divergence(order: float) -> Functional:
    return Functional(f"Tsallis divergence of order {order:g}", partial(_power, order), partial(_tsallis, order))


def renyi_entropy(order: float) -> Functional:
    return Functional(
        f"Renyi entropy of order {order:g}",
        None,
        partial(_renyi_entropy, order),
        partial(_power_under_p, order),
    )


def tsallis_entropy(order: float) -> Functional:
    return Functional(
        f"Tsallis entropy of order {order:g}",
        None,
        partial(_tsallis_entropy, order),
        partial(_power_under_p, order),
    )
