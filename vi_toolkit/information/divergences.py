"""How far one distribution is from another: the divergences of Kullback and Leibler, Renyi, and their relatives.

All take p and q as `cross_entropy` does, and are 0 where p = q. Those in nats take ``unit``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from vi_toolkit._types import Key
from vi_toolkit.information import _closed_forms, _functionals, _neighbours
from vi_toolkit.information._measure import Measure, take
from vi_toolkit.information.entropies import check_order
from vi_toolkit.information.measurement import Measurement, in_unit


def kl_divergence(
    p: Any, q: Any, *, unit: str = "nats", key: Key | None = None, num_draws: int = 10_000
) -> Measurement:
    r"""D(p‖q) = ∫ p(x) log(p(x) / q(x)) dx = H(p, q) - H(p): what it costs to take q for p.

    With a posterior p and a guide q, D(q‖p) is what variational inference calls the reverse divergence (it punishes q
    where p is not: mode-seeking), D(p‖q) the forward one (it punishes p where q is not: mass-covering).

    Args:
        p: a probability vector, a NumPyro distribution, a target (an unnormalised log density), or draws wrapped by
            `from_draws`.
        q: another of the same kind and space; one of the two may be a target.
        unit: "nats", "bits" or "bans".
        key: a JAX random key, needed where only Monte Carlo is left.
        num_draws: how many draws Monte Carlo takes, at least 100.

    Returns:
        The divergence, its standard error, and the route to it; infinite where p > 0 = q.

    Raises:
        TypeError: if p or q is none of these, or they are of different kinds.
        ValueError: if a vector is no probability vector, shapes differ, or ``unit`` is unknown.

    Example:
        >>> import numpyro.distributions as dist
        >>> from vi_toolkit import information
        >>> information.kl_divergence([0.5, 0.5, 0.0], [0.25, 0.25, 0.5], unit="bits").value
        1.0
        >>> information.kl_divergence([0.25, 0.25, 0.5], [0.5, 0.5, 0.0]).value
        inf
        >>> print(information.kl_divergence(dist.Normal(0.0, 1.0), dist.Laplace(0.0, 1.0)))
        0.0720932 nats (quadrature)

    Source: Kullback and Leibler (1951), On information and sufficiency, doi:10.1214/aoms/1177729694; from draws, Wang,
    Kulkarni and Verdu (2009), Divergence estimation for multidimensional densities, doi:10.1109/TIT.2009.2016060.
    """
    measure = Measure(_functionals.KL, _closed_forms.kl, _neighbours.kl)
    return in_unit(take(measure, p, q, key=key, num_draws=num_draws), unit)


def jeffreys(p: Any, q: Any, *, unit: str = "nats", key: Key | None = None, num_draws: int = 10_000) -> Measurement:
    r"""J(p, q) = D(p‖q) + D(q‖p), the symmetrised divergence.

    Args:
        p: as for `kl_divergence`.
        q: as for `kl_divergence`.
        unit: "nats", "bits" or "bans".
        key: a JAX random key, needed where only Monte Carlo is left.
        num_draws: how many draws Monte Carlo takes, at least 100.

    Raises:
        TypeError, ValueError: as `kl_divergence` does.

    Example:
        >>> from vi_toolkit import information
        >>> information.jeffreys([0.5, 0.5], [0.25, 0.75]).value  # (log 3) / 4
        0.2746...

    Source: Jeffreys (1946), An invariant form for the prior probability in estimation problems,
    doi:10.1098/rspa.1946.0056.
    """
    measure = Measure(_functionals.JEFFREYS, _closed_forms.jeffreys, _neighbours.jeffreys)
    return in_unit(take(measure, p, q, key=key, num_draws=num_draws), unit)


def jensen_shannon(
    p: Any, q: Any, *, unit: str = "nats", key: Key | None = None, num_draws: int = 10_000
) -> Measurement:
    r"""JS(p, q) = (D(p‖m) + D(q‖m)) / 2 with m = (p + q) / 2; between 0 and log 2 (1 bit), whatever the supports.

    Args:
        p: as for `kl_divergence`.
        q: as for `kl_divergence`.
        unit: "nats", "bits" or "bans".
        key: a JAX random key, needed where only Monte Carlo is left.
        num_draws: how many draws Monte Carlo takes, at least 100.

    Raises:
        TypeError, ValueError: as `kl_divergence` does.

    Example:
        >>> from vi_toolkit import information
        >>> information.jensen_shannon([1.0, 0.0], [0.0, 1.0], unit="bits").value
        1.0

    Source: Lin (1991), Divergence measures based on the Shannon entropy, doi:10.1109/18.61115.
    """
    measure = Measure(_functionals.JENSEN_SHANNON, from_draws=_neighbours.jensen_shannon)
    return in_unit(take(measure, p, q, key=key, num_draws=num_draws), unit)


def jensen_shannon_distance(p: Any, q: Any, *, key: Key | None = None, num_draws: int = 10_000) -> Measurement:
    r"""The square root of `jensen_shannon` in nats: a metric, so that the triangle inequality holds.

    Args:
        p: as for `kl_divergence`, but for draws.
        q: as for `kl_divergence`.
        key: a JAX random key, needed where only Monte Carlo is left.
        num_draws: how many draws Monte Carlo takes, at least 100.

    Raises:
        TypeError, ValueError: as `kl_divergence` does.

    Example:
        >>> from vi_toolkit import information
        >>> information.jensen_shannon_distance([1.0, 0.0], [0.0, 1.0]).value  # sqrt(log 2)
        0.8325...

    Source: Endres and Schindelin (2003), A new metric for probability distributions, doi:10.1109/TIT.2003.813506.
    """
    return take(Measure(_functionals.JENSEN_SHANNON_DISTANCE), p, q, key=key, num_draws=num_draws)


def renyi_divergence(
    p: Any, q: Any, *, order: float, unit: str = "nats", key: Key | None = None, num_draws: int = 10_000
) -> Measurement:
    r"""D_a(p‖q) = log(∫ p(x)^a q(x)^(1-a) dx) / (a - 1), D(p‖q) for a = 1, growing in the order a.

    Between Gaussians it is finite where (1 - a) S_p + a S_q is positive definite: for a > 1 the covariance S_q must not
    be too small beside S_p.

    Args:
        p: as for `kl_divergence`.
        q: as for `kl_divergence`.
        order: a, at least 0. Of order 0 it is -log of q's probability of what is possible under p. For a negative
            order, exchange p and q: (1 - a) D_a(p‖q) = a D_(1-a)(q‖p).
        unit: "nats", "bits" or "bans".
        key: a JAX random key, needed where only Monte Carlo is left.
        num_draws: how many draws Monte Carlo takes, at least 100.

    Raises:
        TypeError, ValueError: as `kl_divergence` does, and if ``order`` is negative or not finite.

    Example:
        >>> import numpyro.distributions as dist
        >>> from vi_toolkit import information
        >>> information.renyi_divergence(dist.Normal(0.0, 1.0), dist.Normal(2.0, 1.0), order=0.5).value  # a 2^2 / 2
        1.0
        >>> information.renyi_divergence(dist.Normal(0.0, 2.0), dist.Normal(0.0, 1.0), order=2.0).value
        inf

    Source: van Erven and Harremoes (2014), Renyi divergence and Kullback-Leibler divergence, arXiv:1206.2459; between
    Gaussians, Gil, Alajaji and Linder (2013), doi:10.1016/j.ins.2013.06.018; from draws, Poczos and Schneider (2011),
    On the estimation of alpha-divergences, AISTATS.
    """
    if check_order(order) == 1.0:
        return kl_divergence(p, q, unit=unit, key=key, num_draws=num_draws)
    measure = Measure(
        _functionals.renyi_divergence(order),
        partial(_closed_forms.renyi, order),
        partial(_neighbours.renyi, order),
    )
    return in_unit(take(measure, p, q, key=key, num_draws=num_draws), unit)


def tsallis_divergence(p: Any, q: Any, *, order: float, key: Key | None = None, num_draws: int = 10_000) -> Measurement:
    r"""T_a(p‖q) = (∫ p(x)^a q(x)^(1-a) dx - 1) / (a - 1), D(p‖q) in nats for a = 1.

    Args:
        p: as for `kl_divergence`.
        q: as for `kl_divergence`.
        order: a, at least 0.
        key: a JAX random key, needed where only Monte Carlo is left.
        num_draws: how many draws Monte Carlo takes, at least 100.

    Raises:
        TypeError, ValueError: as `kl_divergence` does, and if ``order`` is negative or not finite.

    Example:
        >>> from vi_toolkit import information
        >>> information.tsallis_divergence([0.5, 0.5], [0.25, 0.75], order=2.0).value
        0.3333...

    Source: Tsallis (1998), Generalized entropy-based criterion for consistent testing, doi:10.1103/PhysRevE.58.1442.
    """
    if check_order(order) == 1.0:
        return kl_divergence(p, q, key=key, num_draws=num_draws)
    measure = Measure(
        _functionals.tsallis_divergence(order),
        partial(_closed_forms.tsallis, order),
        partial(_neighbours.tsallis, order),
    )
    return take(measure, p, q, key=key, num_draws=num_draws)


def chi_square(p: Any, q: Any, *, key: Key | None = None, num_draws: int = 10_000) -> Measurement:
    r"""chi^2(p‖q) = ∫ (p(x) - q(x))^2 / q(x) dx: the variance, under q, of the importance weights p/q.

    Between Gaussians it is finite where 2 S_q - S_p is positive definite.

    Args:
        p: as for `kl_divergence`.
        q: as for `kl_divergence`.
        key: a JAX random key, needed where only Monte Carlo is left.
        num_draws: how many draws Monte Carlo takes, at least 100.

    Raises:
        TypeError, ValueError: as `kl_divergence` does.

    Example:
        >>> from vi_toolkit import information
        >>> information.chi_square([0.5, 0.5], [0.25, 0.75]).value
        0.3333...

    Source: Pearson (1900), doi:10.1080/14786440009463897; Liese and Vajda (2006), On divergences and informations in
    statistics and information theory, doi:10.1109/TIT.2006.881731.
    """
    measure = Measure(_functionals.CHI_SQUARE, _closed_forms.chi_square, partial(_neighbours.tsallis, 2.0))
    return take(measure, p, q, key=key, num_draws=num_draws)


def hellinger(p: Any, q: Any, *, key: Key | None = None, num_draws: int = 10_000) -> Measurement:
    r"""H(p, q) with H^2 = (1/2) ∫ (√p(x) - √q(x))^2 dx = 1 - ∫ √(p(x) q(x)) dx: a metric, between 0 and 1.

    Args:
        p: as for `kl_divergence`.
        q: as for `kl_divergence`.
        key: a JAX random key, needed where only Monte Carlo is left.
        num_draws: how many draws Monte Carlo takes, at least 100.

    Raises:
        TypeError, ValueError: as `kl_divergence` does.

    Example:
        >>> from vi_toolkit import information
        >>> information.hellinger([1.0, 0.0], [0.0, 1.0]).value
        1.0

    Source: Liese and Vajda (2006), On divergences and informations in statistics and information theory,
    doi:10.1109/TIT.2006.881731.
    """
    measure = Measure(_functionals.HELLINGER, _closed_forms.hellinger, _neighbours.hellinger)
    return take(measure, p, q, key=key, num_draws=num_draws)


def total_variation(p: Any, q: Any, *, key: Key | None = None, num_draws: int = 10_000) -> Measurement:
    r"""TV(p, q) = (1/2) ∫ |p(x) - q(x)| dx: the largest difference of the probabilities of any event.

    Args:
        p: as for `kl_divergence`; also from draws, roughly (see Returns).
        q: as for `kl_divergence`.
        key: a JAX random key, needed where only Monte Carlo is left.
        num_draws: how many draws Monte Carlo takes, at least 100.

    Returns:
        The distance, its standard error, and the route to it. From draws it is too large, by up to n^(-1/4).

    Raises:
        TypeError, ValueError: as `kl_divergence` does.

    Example:
        >>> from vi_toolkit import information
        >>> information.total_variation([0.5, 0.5], [0.25, 0.75]).value
        0.25

    Source: Liese and Vajda (2006), On divergences and informations in statistics and information theory,
    doi:10.1109/TIT.2006.881731.
    """
    measure = Measure(_functionals.TOTAL_VARIATION, _closed_forms.total_variation, _neighbours.total_variation)
    return take(measure, p, q, key=key, num_draws=num_draws)
