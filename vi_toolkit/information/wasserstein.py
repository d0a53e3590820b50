"""The distances of Wasserstein: how far mass has to be moved."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.special import expit

from vi_toolkit._checks import check_finite, check_positive_int, describe
from vi_toolkit._types import Key
from vi_toolkit.information import _gaussian
from vi_toolkit.information._adaptive import integrate_boxes
from vi_toolkit.information._discrete import outcomes_of
from vi_toolkit.information._measure import check_needed_key, check_spaces
from vi_toolkit.information._monte_carlo import check_enough, squared_error
from vi_toolkit.information._operands import EXPECTED, Vectors, as_operand, logs_at
from vi_toolkit.information._quantiles import quantiles
from vi_toolkit.information._tails import tail
from vi_toolkit.information.measurement import Measurement, plain
from vi_toolkit.information.sample import Sample

MAX_MATCHED = 3000  # draws of each side in more than one dimension: the matching costs their third power
NUM_GROUPS = 10


def wasserstein(
    p: Any, q: Any, *, order: int = 1, positions: Any = None, key: Key | None = None, num_draws: int = 2000
) -> Measurement:
    r"""W_k(p, q) = (min E|x - y|^k)^(1/k) over all pairs of x ~ p and y ~ q: a metric, in the units of x; k is 1 or 2.

    On the line the best pairs have equal ranks: W_k^k = ∫ |F^-1(u) - G^-1(u)|^k du, of the quantile functions. Unlike a
    divergence it is finite and grows with the distance between supports that do not meet.

    Args:
        p: a probability vector, a NumPyro distribution, or draws wrapped by `from_draws`.
        q: another of the same kind and space.
        order: k, 1 or 2.
        positions: for probability vectors, where on the line the outcomes lie; by default 0, 1, 2, ...
        key: a JAX random key, needed where neither a closed form, a sum nor a quadrature of quantiles serves.
        num_draws: how many draws of each Monte Carlo takes; the distance between these is larger on average.

    Returns:
        The distance, its standard error, and the route to it.

    Raises:
        TypeError: if p or q is none of these, or they are of different kinds.
        ValueError: if a vector is no probability vector, shapes differ, the order is another one, or draws in more than
            one dimension are too many or differ in number.

    Example:
        >>> import numpyro.distributions as dist
        >>> from vi_toolkit import information
        >>> information.wasserstein([1.0, 0.0, 0.0], [0.0, 0.0, 1.0]).value
        2.0
        >>> information.wasserstein(dist.Normal(0.0, 1.0), dist.Normal(3.0, 5.0), order=2).value  # sqrt(3^2 + 4^2)
        5.0

    Source: Peyre and Cuturi (2019), Computational optimal transport, arXiv:1803.00567; between Gaussians, Dowson and
    Landau (1982), doi:10.1016/0047-259X(82)90077-X.
    """
    p, q = as_operand(p, "p"), as_operand(q, "q")
    num_draws = check_positive_int(num_draws, "num_draws")
    if order not in (1, 2):
        raise ValueError(f"order: expected 1 or 2, got {order}.")
    if isinstance(p, Vectors) and isinstance(q, Vectors):
        return _between_vectors(p.probabilities, q.probabilities, order, positions)
    if positions is not None:
        raise ValueError(
            "positions: expected only with probability vectors; other kinds know where their outcomes lie."
        )
    if isinstance(p, Sample) and isinstance(q, Sample):
        return _between_samples(p.draws, q.draws, order, "sorted draws" if p.draws.shape[1] == 1 else "matched draws")
    if not (isinstance(p, Distribution) and isinstance(q, Distribution)):
        raise TypeError(f"p and q: expected two of one kind, and no target; they may be {EXPECTED}.")
    check_spaces(p, q)
    if p.batch_shape or q.batch_shape:
        raise ValueError(f"q: expected no batch shapes, got {p.batch_shape} and {q.batch_shape}. Write .to_event().")
    found = _between_distributions(p, q, order)
    if found is not None:
        return found
    key = check_needed_key("Wasserstein distance", key)
    check_enough(num_draws)
    key_p, key_q = jax.random.split(key)
    x, y = (
        np.asarray(each.sample(own_key, (num_draws,)), np.float64).reshape(num_draws, -1)
        for each, own_key in ((p, key_p), (q, key_q))
    )
    return _between_samples(x, y, order, f"Monte Carlo, {num_draws:,} draws of each")


def _between_distributions(p: Distribution, q: Distribution, order: int) -> Measurement | None:
    if p.is_discrete:
        outcomes = None if p.event_shape else outcomes_of(p, q)
        if outcomes is None:
            return None
        x = outcomes.values
        masses = [np.exp(logs_at(each, x)) for each in (p, q)]
        return Measurement(_on_the_line(x, masses[0], x, masses[1], order), 0.0, "exact sum")
    gaussians = _gaussian.as_gaussian(p), _gaussian.as_gaussian(q)
    if gaussians[0] is not None and gaussians[1] is not None:
        if order == 2:
            return Measurement(_gaussian.wasserstein_2(gaussians[0], gaussians[1]), 0.0, "closed form")
        if np.allclose(gaussians[0].covariance, gaussians[1].covariance, rtol=1e-14, atol=0.0):
            return Measurement(float(np.linalg.norm(gaussians[0].mean - gaussians[1].mean)), 0.0, "closed form")
    return _by_quantiles(p, q, order) if p.event_shape in ((), (1,)) else None


def _by_quantiles(p: Distribution, q: Distribution, order: int) -> Measurement | None:
    """∫ |F^-1(u) - G^-1(u)|^k du over u = 1 / (1 + e^-v); None where NumPyro knows no distribution function."""
    if any(quantiles(each, np.array([0.5])) is None for each in (p, q)):
        return None
    values = partial(_cost, p, q, order)
    reach = 20.0 if jnp.result_type(float) == jnp.float64 else 10.0  # beyond, 1 - u has too few digits
    edges = np.unique([*np.linspace(-reach, reach, 13), *np.linspace(-6.0, 6.0, 13)])
    tolerance = max(1e-10, 20.0 * float(np.finfo(jnp.result_type(float)).eps))
    found = integrate_boxes(values, edges[:-1, None], edges[1:, None], tolerance)
    beyond = tail(values, [edges], found.value)
    value = float(found.value[0] + beyond.value[0]) ** (1.0 / order)
    slope = value ** (1 - order) / order if value > 0 else 1.0
    return Measurement(value, float(found.error[0] + beyond.error[0]) * slope, "quadrature")


def _cost(p: Distribution, q: Distribution, order: int, v: np.ndarray) -> np.ndarray:
    u = expit(v[:, 0])
    distance = np.abs(quantiles(p, u) - quantiles(q, u))
    return (distance**order * u * expit(-v[:, 0]))[:, None]


def _between_vectors(p: np.ndarray, q: np.ndarray, order: int, positions: Any) -> Measurement:
    if p.shape[-1] != q.shape[-1]:
        raise ValueError(f"q: expected {p.shape[-1]} outcomes along the last axis, as p, got {q.shape[-1]}.")
    try:
        x = np.arange(p.shape[-1]) if positions is None else np.asarray(positions, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"positions: expected numbers, got {describe(positions)}.") from None
    if x.shape != p.shape[-1:]:
        raise ValueError(f"positions: expected one number for each of the {p.shape[-1]} outcomes, got shape {x.shape}.")
    check_finite(x, "positions")
    try:
        p, q = np.broadcast_arrays(p, q)
    except ValueError:
        raise ValueError(f"q: expected a shape that goes with p's, {p.shape}, got {q.shape}.") from None
    rows = zip(p.reshape(-1, len(x)), q.reshape(-1, len(x)), strict=True)
    values = np.array([_on_the_line(x, first, x, second, order) for first, second in rows]).reshape(p.shape[:-1])
    return Measurement(plain(values), plain(np.zeros(values.shape)), "exact sum")


def _on_the_line(x: np.ndarray, p: np.ndarray, y: np.ndarray, q: np.ndarray, order: int) -> float:
    """Between masses p at x and q at y: pairs of equal ranks, piece by piece of the levels of both."""
    by_x, by_y = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
    levels_p, levels_q = (np.cumsum(masses) / masses.sum() for masses in (p[by_x], q[by_y]))
    ends = np.sort(np.concatenate([levels_p, levels_q]))
    middles = ends - 0.5 * np.diff(ends, prepend=0.0)
    at_x = x[by_x][np.minimum(np.searchsorted(levels_p, middles), len(x) - 1)]
    at_y = y[by_y][np.minimum(np.searchsorted(levels_q, middles), len(y) - 1)]
    return float(np.sum(np.diff(ends, prepend=0.0) * np.abs(at_x - at_y) ** order) ** (1.0 / order))


def _between_samples(x: np.ndarray, y: np.ndarray, order: int, route: str) -> Measurement:
    """Between two sets of draws, with the standard error by the jackknife over groups of both."""
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"q: expected draws of dim {x.shape[1]}, as p has, got {y.shape[1]}.")
    if x.shape[1] > 1 and (len(x) != len(y) or len(x) > MAX_MATCHED):
        raise ValueError(
            f"q: in more than one dimension, expected as many draws of q as of p, and at most {MAX_MATCHED}, got "
            f"{len(x)} and {len(y)}. Take some of them."
        )
    distance: Callable[[np.ndarray, np.ndarray], float] = partial(_sorted if x.shape[1] == 1 else _matched, order)
    value = distance(x, y)
    left_out = []
    num_groups = min(NUM_GROUPS, len(x), len(y))
    for group in range(num_groups):
        kept_x, kept_y = (np.arange(len(draws)) % num_groups != group for draws in (x, y))
        left_out.append(distance(x[kept_x], y[kept_y]))
    return Measurement(value, float(np.sqrt(squared_error(left_out))), route)


def _sorted(order: int, x: np.ndarray, y: np.ndarray) -> float:
    return _on_the_line(x[:, 0], np.full(len(x), 1.0 / len(x)), y[:, 0], np.full(len(y), 1.0 / len(y)), order)


def _matched(order: int, x: np.ndarray, y: np.ndarray) -> float:
    cost = cdist(x, y) ** order
    return float(cost[linear_sum_assignment(cost)].mean() ** (1.0 / order))
