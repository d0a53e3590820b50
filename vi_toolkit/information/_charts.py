"""Maps from R to a piece of the line, and from R^2 to the plane, with the volume that they give.

Every piece of the line is mapped to R so that a power of the distance to an end becomes an exponential: x = e + exp(v)
on a half-line, the logistic function on an interval, x = c + s sinh(v) on R. A heavy tail then dies out like a light
one, and an integral that does not exist shows in an integrand that does not die out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import (
    Beta,
    Distribution,
    FoldedDistribution,
    TransformedDistribution,
    Uniform,
    constraints,
)
from numpyro.distributions.transforms import biject_to
from scipy.special import expit

from vi_toolkit.information._operands import is_density, logs_at
from vi_toolkit.information._places import places


class Points(NamedTuple):
    x: np.ndarray  # (points, coordinates)
    log_volume: np.ndarray  # (points,)
    to_one: np.ndarray | None = None  # 1 - x, where that has more digits than x: on an interval that ends at one


class Chart(NamedTuple):
    """A map from v in R^d, where the integration is done, to x, with the log of the volume that it gives to dv."""

    points: Callable[[np.ndarray], Points]  # of v (points, d)
    edges: list[np.ndarray]  # by axis: where to begin cutting, the first and the last being the ends
    piece: tuple[float, float] = (-np.inf, np.inf)  # of the line
    reaches_infinity: bool = True  # whether what has not died out at the ends never does


def dimension(operand: Any) -> int:
    """The number of coordinates of the space."""
    if is_density(operand):
        return int(operand.dim)
    point = jax.ShapeDtypeStruct(operand.event_shape, jnp.result_type(float))
    return int(np.prod(jax.eval_shape(biject_to(operand.support).inv, point).shape))


def event_shape(operand: Any) -> tuple[int, ...]:
    return (operand.dim,) if is_density(operand) else operand.event_shape


def logs_on(operand: Any, points: Points) -> np.ndarray:
    """log p (or log p~) at every point."""
    found = logs_at(operand, points.x.reshape(len(points.x), *event_shape(operand)))
    if points.to_one is None or not isinstance(operand, Beta):
        return found
    mirrored = logs_at(Beta(operand.concentration0, operand.concentration1), points.to_one)
    return np.where(points.to_one < 0.5, mirrored, found)


def bounds(operand: Any) -> tuple[float, float] | None:
    """Where the support on the line begins and ends; None where it is none."""
    if is_density(operand):
        return -np.inf, np.inf
    stated, image = _stated_bounds(operand.support), _image(operand)
    if stated is None or image is None:
        return stated or image
    # NumPyro's maps to an interval stop a last digit before its ends.
    low, high = (own if np.isclose(end, own, rtol=1e-6, atol=1e-30) else end
                 for own, end in zip(stated, image, strict=True))  # fmt: skip
    return low, high


def _stated_bounds(support: constraints.Constraint) -> tuple[float, float] | None:
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    if support is constraints.real or support is constraints.real_vector:
        return -np.inf, np.inf
    if not (hasattr(support, "lower_bound") or hasattr(support, "upper_bound")):
        return None
    low, high = getattr(support, "lower_bound", -np.inf), getattr(support, "upper_bound", np.inf)
    if np.size(low) > 1 or np.size(high) > 1:
        return None
    return float(np.squeeze(low)), float(np.squeeze(high))


def _image(distribution: Distribution) -> tuple[float, float] | None:
    """What a map makes of the support before it: the stated support may be larger."""
    if not isinstance(distribution, TransformedDistribution) or isinstance(distribution, FoldedDistribution):
        return None
    before = bounds(distribution.base_dist) if distribution.event_shape == () else None
    if before is None:
        return None
    ends = jnp.array(before)
    for transform in distribution.transforms:
        ends = transform(ends)
    low, high = np.sort(np.asarray(ends, np.float64))
    return None if np.isnan([low, high]).any() else (float(low), float(high))


def charts_of(p: Any, q: Any) -> list[Chart] | None:
    """The charts that together cover what is possible under p or q; None where there are none."""
    if all(np.prod(event_shape(operand)) == 1 for operand in (p, q)):
        ends = [bounds(operand) for operand in (p, q)]
        return None if ends[0] is None or ends[1] is None else _charts_of_the_line(p, q, [*ends[0], *ends[1]])
    supports = [constraints.real_vector if is_density(operand) else operand.support for operand in (p, q)]
    is_all = [bounds(operand) == (-np.inf, np.inf) for operand in (p, q)]
    if dimension(p) > 2 or any(len(event_shape(operand)) > 1 for operand in (p, q)):
        return None
    if not all(is_all) and (any(is_all) or supports[0] != supports[1]):
        return None
    return [_chart_of_the_plane(places(p, q), supports[0], all(is_all))]


def reach() -> float:
    """How far v goes: to exp(300) in float64, whose square does not overflow yet."""
    return 0.42 * float(np.log(np.finfo(jnp.result_type(float)).max))


# The line.


def _charts_of_the_line(p: Any, q: Any, ends: list[float]) -> list[Chart]:
    draws = [part[:, 0] for part in places(p, q)]
    cuts = sorted({-np.inf, np.inf, *ends})
    mirrored = all(isinstance(operand, (Beta, Uniform)) for operand in (p, q))  # whose log p(1 - x) has all digits
    return [
        _chart_of_a_piece(low, high, [part[(part > low) & (part < high)] for part in draws], mirrored)
        for low, high in pairwise(cuts)
    ]


def _chart_of_a_piece(low: float, high: float, draws: list[np.ndarray], mirrored: bool) -> Chart:
    draws = [part for part in draws if len(part)]
    if np.isfinite(low) and np.isfinite(high):
        edges = _edges([np.log((part - low) / (high - part)) for part in draws], reach())
        return Chart(partial(_from_interval, low, high, mirrored and high == 1.0), [edges], (low, high))
    if np.isfinite(low) or np.isfinite(high):
        end, sign = (low, 1.0) if np.isfinite(low) else (high, -1.0)
        edges = _edges([np.log(sign * (part - end)) for part in draws], reach())
        return Chart(partial(_from_half_line, end, sign), [edges], (low, high))
    narrow = min(draws, key=_spread, default=np.array([-1.0, 0.0, 1.0]))
    centre, scale = float(np.median(narrow)), _spread(narrow)
    edges = _edges([np.arcsinh((part - centre) / scale) for part in draws], reach())
    return Chart(partial(_from_line, centre, scale), [edges])


def _from_interval(low: float, high: float, mirrored: bool, v: np.ndarray) -> Points:
    up, down = expit(v[:, 0]), expit(-v[:, 0])
    x = np.where(v[:, 0] > 0.0, high - (high - low) * down, low + (high - low) * up)
    log_volume = np.log(high - low) - np.logaddexp(0.0, v[:, 0]) - np.logaddexp(0.0, -v[:, 0])
    return Points(_within(x, low, high)[:, None], log_volume, (high - low) * down if mirrored else None)


def _from_half_line(end: float, sign: float, v: np.ndarray) -> Points:
    x = _within(end + sign * np.exp(v[:, 0]), *((end, np.inf) if sign > 0 else (-np.inf, end)))
    return Points(x[:, None], v[:, 0])


def _from_line(centre: float, scale: float, v: np.ndarray) -> Points:
    log_volume = np.log(scale) + np.logaddexp(v[:, 0], -v[:, 0]) - np.log(2.0)
    return Points(centre + scale * np.sinh(v), log_volume)


def _within(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """x strictly inside, also in JAX's precision: at an end a density may be infinite."""
    kind = jnp.result_type(float).type
    return np.clip(x, np.nextafter(kind(low), kind(np.inf)), np.nextafter(kind(high), kind(-np.inf)))


def _spread(draws: np.ndarray) -> float:
    low, high = np.quantile(draws, [0.1, 0.9])
    return float(high - low) / 2.0 or 1.0


# The plane.


def _chart_of_the_plane(draws: list[np.ndarray], support: constraints.Constraint, is_all: bool) -> Chart:
    """z = c + L sinh(v), or c + L v, and x its image in the support."""
    transform = biject_to(support)
    sets = [np.asarray(transform.inv(part), np.float64).reshape(len(part), -1) for part in draws]
    sets = [part[np.isfinite(part).all(axis=1)] for part in sets]
    roots = [np.linalg.cholesky(np.atleast_2d(np.cov(part.T)) + 1e-12 * np.diag(part.var(axis=0))) for part in sets]
    narrowest = int(np.argmin([np.log(np.diag(root)).sum() for root in roots]))
    centre, root = np.median(sets[narrowest], axis=0), roots[narrowest]
    if not is_all:
        root = np.diag(np.linalg.norm(root, axis=1))
    white = [np.linalg.solve(root, (part - centre).T) for part in sets]
    if is_all:
        edges = [_edges([np.arcsinh(part[axis]) for part in white], reach(), 4) for axis in range(len(centre))]
        return Chart(partial(_from_plane, transform, centre, root, True), edges)
    # NumPyro's maps from R^d have lost the digits near a bound when z is 36 away from the middle.
    edges = [_edges([part[axis] for part in white], 36.0 / root[axis, axis], 4) for axis in range(len(centre))]
    return Chart(partial(_from_plane, transform, centre, root, False), edges, reaches_infinity=False)


def _from_plane(transform: Any, centre: np.ndarray, root: np.ndarray, stretched: bool, v: np.ndarray) -> Points:
    z = jnp.asarray(centre + (np.sinh(v) if stretched else v) @ root.T)
    x = transform(z)
    log_jacobian = np.asarray(transform.log_abs_det_jacobian(z, x), np.float64).reshape(len(v), -1).sum(axis=1)
    log_stretch = np.sum(np.logaddexp(v, -v) - np.log(2.0), axis=1) if stretched else 0.0
    return Points(np.asarray(x), log_stretch + np.log(np.diag(root)).sum() + log_jacobian)


def _edges(v: list[np.ndarray], ends: float, inner: int = 12) -> np.ndarray:
    """Where to begin cutting an axis: at quantiles of each set of draws, and in growing steps out to the ends."""
    quantiles = [np.quantile(part, np.linspace(0.0, 1.0, inner)) for part in v] or [np.array([-1.0, 0.0, 1.0])]
    outer = [3.0, 8.0] if inner < 12 else [1.0, 2.5, 5.0, 10.0, 20.0, 50.0]
    low, high = float(np.min(quantiles)), float(np.max(quantiles))
    around = [np.concatenate([part, *_steps(part)]) for part in quantiles]
    edges = np.unique([-ends, *(low - s for s in outer), *np.concatenate(around), *(high + s for s in outer), ends])
    edges = edges[(edges >= -ends) & (edges <= ends)]
    return edges if inner < 12 else _graded(edges)


def _graded(edges: np.ndarray) -> np.ndarray:
    """With more edges, so that no piece is more than four times as wide as one beside it.

    The nodes of a wide piece lie far from its ends, where they would miss what makes the next one narrow.
    """
    while True:
        widths = np.pad(np.diff(edges), 1, constant_values=np.inf)
        is_wide = widths[1:-1] > 4.0 * np.minimum(widths[:-2], widths[2:])
        if not is_wide.any():
            return edges
        edges = np.sort(np.append(edges, 0.5 * (edges[1:] + edges[:-1])[is_wide]))


def _steps(quantiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places on both sides of a narrow set of draws, each three times as far out: its tails lie close to it."""
    low, high = quantiles[0], quantiles[-1]
    steps = 0.25 * max(high - low, 1e-12) * 3.0 ** np.arange(26)
    return low - steps[steps < 1.0], high + steps[steps < 1.0]
