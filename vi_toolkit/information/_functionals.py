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

MODERATE = 300.0  # a log whose exp is far from the smallest and the largest double, even after multiplication


def first(components: np.ndarray) -> Any:
    """The integral itself, of an integrand with one component."""
    return components[..., 0]


def _none(log_p: Logs, log_q: Logs) -> np.ndarray:
    raise AssertionError("this functional has an integrand of its own")


class Functional(NamedTuple):
    """One measure of information, in nats.

    Of three forms: integrand(c p, c q) = c integrand(p, q), as all divergences have; the same with 1 in place of q; or
    p ``under_p(log p, log q)``.
    """

    name: str
    integrand: Integrand | None
    finish: Callable[[np.ndarray], Any] = first
    under_p: Integrand = _none
    of_p_alone: bool = False  # whether 1 stands in place of q
    has_kinks: bool = False  # where p = q
    log_power: Integrand | None = None  # of powers, which may be largest far from both p and q: the log of the power,
    with_shift: Callable[[Any], Functional] | None = None  # and of their logarithms, the same with a shift of that

    def times(self, log_volume: np.ndarray | float, log_p: Logs, log_q: Logs) -> np.ndarray:
        """The integrand times a volume, (..., components); the two are joined before anything can underflow."""
        if self.integrand is not None:
            return self.integrand(*self._joined(log_volume, log_p, log_q))
        mass = np.exp(log_p + log_volume)[..., None]
        with np.errstate(invalid="ignore"):
            return np.where(mass > 0.0, mass * self.under_p(log_p, log_q), 0.0)

    def over_volumes(self, x: np.ndarray, log_volume: np.ndarray, log_p: Logs, log_q: Logs) -> np.ndarray:
        """`times` in the form that quadrature calls."""
        return self.times(log_volume, log_p, log_q)

    def log_size(self, log_volume: np.ndarray | float, log_p: Logs, log_q: Logs) -> np.ndarray:
        """log of a power, with its volume; 0 of other functionals."""
        if self.log_power is None:
            return np.zeros_like(log_p)
        return self.log_power(*self._joined(log_volume, log_p, log_q))

    def rescaled(self, log_sizes: np.ndarray) -> Functional:
        """Itself, divided by the largest of some values along the last axis where those would under- or overflow."""
        if self.with_shift is None:
            return self
        largest = np.max(log_sizes, axis=-1, keepdims=True, initial=-np.inf, where=np.isfinite(log_sizes))
        far = np.isfinite(largest) & (np.abs(largest) > MODERATE)
        return self.with_shift(np.where(far, largest, 0.0)) if far.any() else self

    def _joined(self, log_volume: np.ndarray | float, log_p: Logs, log_q: Logs) -> tuple[Logs, Logs]:
        return log_p + log_volume, (np.zeros_like(log_q) if self.of_p_alone else log_q) + log_volume


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


def _log_power(order: float, log_p: Logs, log_q: Logs) -> np.ndarray:
    """log of p^a q^(1-a)."""
    in_p, in_q = log_p > -np.inf, log_q > -np.inf
    with np.errstate(over="ignore"):
        log_product = order * np.where(in_p, log_p, 0.0) + (1.0 - order) * np.where(in_q, log_q, 0.0)
    return np.where(in_p & in_q, log_product, np.where(in_p & (order > 1.0), np.inf, -np.inf))


def _power(order: float, shift: Any, log_p: Logs, log_q: Logs) -> np.ndarray:
    """p^a q^(1-a) e^-shift, and p^a q^(1-a) - p, which keeps its digits where the former is nearly p.

    With b = a - 1 and t = log(p/q) the second is p (e^(b t) - 1).
    """
    log_product, p = _log_power(order, log_p, log_q), np.exp(log_p)
    with np.errstate(over="ignore", invalid="ignore"):
        exponent = (order - 1.0) * (log_p - log_q)
        product = np.exp(log_product - shift)
        excess = np.where(np.abs(exponent) < 0.5, p * np.expm1(exponent), np.exp(log_product) - p)
    return np.stack([product, np.where(np.equal(shift, 0.0), excess, 0.0)], axis=-1)


def _power_between(order: float, shift: Any, log_p: Logs, log_q: Logs) -> np.ndarray:
    """The same with p^a q^(1-a) - a p - (1-a) q as the second: the same integral, and of one sign everywhere."""
    product, excess = np.moveaxis(_power(order, shift, log_p, log_q), -1, 0)
    p, q = np.exp(log_p), np.exp(log_q)
    with np.errstate(invalid="ignore"):
        t = log_p - log_q
        difference = np.where(np.abs(t) < 1.0, q * np.expm1(np.clip(t, -1.0, 1.0)), p - q)  # p - q
    more = excess - (order - 1.0) * difference
    return np.stack([product, np.where(np.equal(shift, 0.0), more, 0.0)], axis=-1)


def _log_integral(shift: Any, components: np.ndarray) -> Any:
    """log I of an integral of p^a q^(1-a), from I - 1 where I is close to one, and else from I."""
    log_scale = shift[..., 0] if np.ndim(shift) else shift
    with np.errstate(divide="ignore"):
        far = np.log(components[..., 0]) + log_scale
    less_one = components[..., 1]
    is_near = np.equal(log_scale, 0.0) & (np.abs(less_one) < 0.5)
    return np.where(is_near, np.log1p(np.clip(less_one, -0.5, 0.5)), far)


def _renyi(order: float, shift: Any, components: np.ndarray) -> Any:
    return _log_integral(shift, components) / (order - 1.0)


def _tsallis(order: float, components: np.ndarray) -> Any:
    return components[..., 1] / (order - 1.0)


def _chi_square(log_p: Logs, log_q: Logs) -> np.ndarray:
    """(p - q)^2 / q = p^2 / q - 2 p + q."""
    p, q = np.exp(log_p), np.exp(log_q)
    with np.errstate(invalid="ignore", over="ignore"):
        t = log_p - log_q
        near = q * np.expm1(np.minimum(t, 1.0)) ** 2
        far = np.exp(2.0 * log_p - log_q) - 2.0 * p + q
    return _one(np.where(log_p == -np.inf, q, np.where(t < 1.0, near, far)))


def _squared_hellinger(log_p: Logs, log_q: Logs) -> np.ndarray:
    """(1/2) (sqrt p - sqrt q)^2."""
    return _one(0.5 * (np.exp(0.5 * log_p) - np.exp(0.5 * log_q)) ** 2)


def _root(components: np.ndarray) -> Any:
    return np.sqrt(np.maximum(components[..., 0], 0.0))


def _total_variation(log_p: Logs, log_q: Logs) -> np.ndarray:
    return _one(0.5 * np.abs(np.exp(log_p) - np.exp(log_q)))


def _renyi_entropy(order: float, shift: Any, components: np.ndarray) -> Any:
    return -_renyi(order, shift, components)


def _tsallis_entropy(order: float, components: np.ndarray) -> Any:
    return -_tsallis(order, components)


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
CHI_SQUARE = Functional("chi-square divergence", _chi_square, log_power=partial(_log_power, 2.0))
HELLINGER = Functional("Hellinger distance", _squared_hellinger, _root)
TOTAL_VARIATION = Functional("total variation", _total_variation, has_kinks=True)


def renyi_divergence(order: float, shift: Any = 0.0) -> Functional:
    return Functional(
        f"Renyi divergence of order {order:g}",
        partial(_power_between, order, shift),
        partial(_renyi, order, shift),
        log_power=partial(_log_power, order),
        with_shift=partial(renyi_divergence, order),
    )


def tsallis_divergence(order: float) -> Functional:
    return Functional(
        f"Tsallis divergence of order {order:g}",
        partial(_power_between, order, 0.0),
        partial(_tsallis, order),
        log_power=partial(_log_power, order),
    )


def renyi_entropy(order: float, shift: Any = 0.0) -> Functional:
    """log(∫ p^a) / (1 - a)."""
    return Functional(
        f"Renyi entropy of order {order:g}",
        partial(_power, order, shift),
        partial(_renyi_entropy, order, shift),
        of_p_alone=True,
        log_power=partial(_log_power, order),
        with_shift=partial(renyi_entropy, order),
    )


def tsallis_entropy(order: float) -> Functional:
    """(∫ p^a - 1) / (1 - a)."""
    return Functional(
        f"Tsallis entropy of order {order:g}",
        partial(_power, order, 0.0),
        partial(_tsallis_entropy, order),
        of_p_alone=True,
        log_power=partial(_log_power, order),
    )
