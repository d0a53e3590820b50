"""Entropy and cross-entropy, and the entropies of Renyi and Tsallis."""

from __future__ import annotations

from typing import Any

import numpy as np

from vi_toolkit._checks import describe
from vi_toolkit._types import Key
from vi_toolkit.information import _closed_forms, _neighbours
from vi_toolkit.information._functionals import (
    CROSS_ENTROPY,
    ENTROPY,
    renyi_entropy as renyi_functional,
    tsallis_entropy as tsallis_functional,
)
from vi_toolkit.information._measure import Measure, take
from vi_toolkit.information.measurement import Measurement, in_unit


def entropy(p: Any, *, unit: str = "nats", key: Key | None = None, num_draws: int = 10_000) -> Measurement:
    r"""H(p) = -∫ p(x) log p(x) dx, or the sum: the mean surprise of draws from p.

    A continuous distribution's entropy depends on the units of x, and may be negative.

    Args:
        p: a probability vector (or several, along the last axis), a NumPyro distribution, a target of one or two
            dimensions, or draws wrapped by `from_draws`.
        unit: "nats", "bits" or "bans".
        key: a JAX random key, needed where only Monte Carlo is left.
        num_draws: how many draws Monte Carlo takes, at least 100.

    Returns:
        The entropy, its standard error, and the route to it.

    Raises:
        TypeError: if p is none of these.
        ValueError: if a vector has a negative entry or does not sum to 1, or ``unit`` is unknown.

    Example:
        >>> import numpyro.distributions as dist
        >>> from vi_toolkit import information
        >>> information.entropy([0.5, 0.5], unit="bits").value
        1.0
        >>> print(information.entropy(dist.Cauchy(0.0, 1.0)))  # log 4 pi
        2.53102 nats (closed form)

    Source: Shannon (1948), A mathematical theory of communication, doi:10.1002/j.1538-7305.1948.tb01338.x; from draws,
    Kozachenko and Leonenko (1987), Sample estimate of the entropy of a random vector, as in Kraskov, Stoegbauer and
    Grassberger (2004), arXiv:cond-mat/0305641.
    """
    measure = Measure(ENTROPY, _closed_forms.entropy, _neighbours.entropy)
    return in_unit(take(measure, p, p, key=key, num_draws=num_draws), unit)


def cross_entropy(
    p: Any, q: Any, *, unit: str = "nats", key: Key | None = None, num_draws: int = 10_000
) -> Measurement:
    r"""H(p, q) = -∫ p(x) log q(x) dx = H(p) + D(p‖q): the mean surprise of draws from p for who believes in q.

    With p the empirical distribution of data it is the mean negative log-likelihood of q.

    Args:
        p: a probability vector, a NumPyro distribution, a target, or draws wrapped by `from_draws`.
        q: another of the same kind and space. One of p and q may be a target, whose log evidence is found by quadrature
            in one and two dimensions, and otherwise from the other's draws unless the target knows it.
        unit: "nats", "bits" or "bans".
        key: a JAX random key, needed where only Monte Carlo is left.
        num_draws: how many draws Monte Carlo takes, at least 100.

    Returns:
        The cross-entropy, its standard error, and the route to it; infinite where p > 0 = q.

    Raises:
        TypeError: if p or q is none of these, or they are of different kinds.
        ValueError: if a vector is no probability vector, shapes differ, or ``unit`` is unknown.

    Example:
        >>> from vi_toolkit import information
        >>> information.cross_entropy([0.5, 0.5], [0.25, 0.75], unit="bits").value
        1.2075...

    Source: Cover and Thomas (2006), Elements of Information Theory, chapter 2, doi:10.1002/047174882X; from draws,
    Wang, Kulkarni and Verdu (2009), Divergence estimation for multidimensional densities, doi:10.1109/TIT.2009.2016060.
    """
    measure = Measure(CROSS_ENTROPY, _closed_forms.cross_entropy, _neighbours.cross_entropy)
    return in_unit(take(measure, p, q, key=key, num_draws=num_draws), unit)


def renyi_entropy(
    p: Any, *, order: float, unit: str = "nats", key: Key | None = None, num_draws: int = 10_000
) -> Measurement:
    r"""H_a(p) = log(∫ p(x)^a dx) / (1 - a), Shannon's entropy for a = 1, falling in the order a.

    Args:
        p: as for `entropy`, but for draws.
        order: a, at least 0. Of order 0 it is the log of the number of possible outcomes (or of their volume).
        unit: "nats", "bits" or "bans".
        key: a JAX random key, needed where only Monte Carlo is left.
        num_draws: how many draws Monte Carlo takes, at least 100.

    Raises:
        TypeError, ValueError: as `entropy` does, and if ``order`` is negative or not finite.

    Example:
        >>> from vi_toolkit import information
        >>> information.renyi_entropy([0.5, 0.25, 0.25], order=2.0).value  # -log(3/8)
        0.9808...

    Source: Renyi (1961), On measures of entropy and information, Proceedings of the fourth Berkeley Symposium 1, 547.
    """
    if check_order(order) == 1.0:
        return entropy(p, unit=unit, key=key, num_draws=num_draws)
    return in_unit(take(Measure(renyi_functional(order)), p, p, key=key, num_draws=num_draws), unit)


def tsallis_entropy(p: Any, *, order: float, key: Key | None = None, num_draws: int = 10_000) -> Measurement:
    r"""S_a(p) = (1 - ∫ p(x)^a dx) / (a - 1), Shannon's entropy in nats for a = 1; of order 2 it is Gini's impurity.

    Args:
        p: as for `entropy`, but for draws.
        order: a, at least 0.
        key: a JAX random key, needed where only Monte Carlo is left.
        num_draws: how many draws Monte Carlo takes, at least 100.

    Raises:
        TypeError, ValueError: as `entropy` does, and if ``order`` is negative or not finite.

    Example:
        >>> from vi_toolkit import information
        >>> information.tsallis_entropy([0.5, 0.25, 0.25], order=2.0).value
        0.625

    Source: Tsallis (1988), Possible generalization of Boltzmann-Gibbs statistics, doi:10.1007/BF01016429.
    """
    if check_order(order) == 1.0:
        return entropy(p, key=key, num_draws=num_draws)
    return take(Measure(tsallis_functional(order)), p, p, key=key, num_draws=num_draws)


def check_order(order: Any) -> float:
    """An order as a float, checked to be a finite number of at least 0."""
    if isinstance(order, bool) or not np.isscalar(order) or not isinstance(order, (int, float, np.number)):
        raise TypeError(f"order: expected a number, got {describe(order)}.")
    if not (np.isfinite(order) and order >= 0):
        raise ValueError(f"order: expected a finite number of at least 0, got {order}.")
    return float(order)
