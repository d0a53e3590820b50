"""Adaptive quadrature over the real line, a half-line, an interval, or two unconstrained coordinates.

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
from numpyro.distributions import Distribution, constraints
from numpyro.distributions.transforms import biject_to
from scipy.special import expit

from vi_toolkit._types import Density
from vi_toolkit.information._adaptive import Integral, integrate_boxes
from vi_toolkit.information._operands import is_density, logs_at

# (points x, their log volumes, log p, log q) -> (points, components)
Volumes = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]

NUM_PLACING = 1000  # draws that show where the mass lies
TOLERANCES = {1: 1e-11, 2: 1e-9}  # relative, by dimension; float32 cannot have more than its own precision


class Chart(NamedTuple):
    """A map from v in R^d, where the integration is done, to x, with the log of the volume that it gives to dv."""

    to_x: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # (points, d) -> (points, *event), (points,)
    edges: list[np.ndarray]  # by axis: where to begin cutting, the first and the last being the ends
    reaches_infinity: bool = True  # whether what has not died out at the ends never does


def dimension(p: Any, q: Any) -> int:
    """The number of coordinates of the space of both."""
    for operand in (p, q):
        if is_density(operand):
            return int(operand.dim)
    point = jax.ShapeDtypeStruct(p.event_shape, jnp.result_type(float))
    return int(np.prod(jax.eval_shape(biject_to(p.support).inv, point).shape))


def integrate(integrand: Volumes, p: Any, q: Any) -> Integral | None:
    """The integral of ``integrand(x, log volume, log p, log q)``; None where that is left to Monte Carlo.

    That is where the space has no chart, and where an integral over a constrained plane does not die out. An
    unnormalised density is normalised first, by the same quadrature.
    """
    charts = _charts(p, q)
    if charts is None:
        return None
    offsets = [_log_normaliser(operand, charts) if is_density(operand) else 0.0 for operand in (p, q)]

    def values(log_volume: np.ndarray, x: np.ndarray) -> np.ndarray:
        return integrand(x, log_volume, logs_at(p, x) - offsets[0], logs_at(q, x) - offsets[1])

    parts = [_over_chart(values, chart) for chart in charts]
    if any(
        np.isinf(part.value).any() and not chart.reaches_infinity for part, chart in zip(parts, charts, strict=True)
    ):
        return None
    totals = [np.sum(np.stack(each), axis=0) for each in zip(*parts, strict=True)]
    return Integral(*totals)


def _log_normaliser(density: Density, charts: list[Chart]) -> float:
    """log of the integral of exp(log p~), with the largest log p~ at the edges taken out."""
    grids = [chart.to_x(_grid(chart.edges))[0] for chart in charts]
    peak = max(float(np.max(logs_at(density, grid), initial=-np.inf, where=np.isfinite(logs_at(density, grid))))
               for grid in grids)  # fmt: skip

    def values(log_volume: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.exp(logs_at(density, x) - peak + log_volume)[:, None]

    total = sum(_over_chart(values, chart).value[0] for chart in charts)
    if not (np.isfinite(total) and total > 0):
        raise ValueError("the unnormalised density has no finite integral: it is improper, or zero where it was tried.")
    return peak + float(np.log(total))


def _over_chart(values: Callable[[np.ndarray, np.ndarray], np.ndarray], chart: Chart) -> Integral:
    def f(v: np.ndarray) -> np.ndarray:
        x, log_volume = chart.to_x(v)
        found = values(log_volume, x)
        if np.isnan(found).any():
            where = x[np.isnan(found).any(axis=1)][0]
            raise ValueError(f"quadrature: a log density is NaN inside its support, at {where}.")
        return found

    dim = len(chart.edges)
    if not _dies_out(f, chart.edges):
        return Integral(*[np.full(f(_grid(chart.edges)[:1]).shape[1], np.inf)] * 2)
    low, high = (_corners(edges) for edges in ([e[:-1] for e in chart.edges], [e[1:] for e in chart.edges]))
    tolerance = max(TOLERANCES[dim], 20.0 * float(np.finfo(jnp.result_type(float)).eps))
    return integrate_boxes(f, low, high, tolerance)


def _dies_out(f: Callable[[np.ndarray], np.ndarray], edges: list[np.ndarray]) -> bool:
    """Whether the integrand is far smaller at the ends of the box than nearer to the middle, and finite."""
    for axis, of_axis in enumerate(edges):
        for end in (of_axis[0], of_axis[-1]):
            v = np.zeros((2, len(edges)))
            v[:, axis] = (0.5 * end, end)
            nearer, far = np.abs(f(v))
            if (far > 1e-6 * nearer).any() and (far > 1e-12).any():
                return False
    return bool(np.isfinite(f(_grid(edges))).all())


def _grid(edges: list[np.ndarray]) -> np.ndarray:
    return _corners([0.5 * (of_axis[1:] + of_axis[:-1])[1:-1] for of_axis in edges])


def _corners(axes: list[np.ndarray]) -> np.ndarray:
    """All combinations of the places on each axis: (points, d)."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


# Charts.


def _charts(p: Any, q: Any) -> list[Chart] | None:
    shapes = [operand.event_shape for operand in (p, q) if not is_density(operand)]
    if not is_density(p) and not is_density(q) and shapes[0] == ():
        return _charts_of_the_line(p, q)
    dim = dimension(p, q)
    if dim > 2 or any(len(shape) > 1 for shape in shapes):
        return None
    supports = [operand.support for operand in (p, q) if not is_density(operand)]
    if not _same(supports) or (len(supports) < 2 and any(not _is_all(support) for support in supports)):
        return None
    support = supports[0] if supports else constraints.real_vector
    return [_chart_of_the_plane(p, q, support, dim)]


def _same(supports: list[constraints.Constraint]) -> bool:
    return len(supports) < 2 or supports[0] == supports[1] or all(_is_all(support) for support in supports)


def _is_all(support: constraints.Constraint) -> bool:
    """Whether it is all of R^d."""
    base = getattr(support, "base_constraint", support)
    return base is constraints.real or base is constraints.real_vector


def _draws(p: Any, q: Any) -> list[np.ndarray]:
    """Draws of each, where there are any: always the same, since they only show where to look."""
    return [
        np.asarray(operand.sample(jax.random.key(i), (NUM_PLACING,)), np.float64)
        for i, operand in enumerate((p, q))
        if not is_density(operand)
    ]


def _reach() -> float:
    """How far v goes: to exp(300) in float64, whose square does not overflow yet."""
    return 0.42 * float(np.log(np.finfo(jnp.result_type(float)).max))


def _charts_of_the_line(p: Distribution, q: Distribution) -> list[Chart] | None:
    ends: set[float] = set()
    for distribution in (p, q):
        support = distribution.support
        for name in ("lower_bound", "upper_bound"):
            bound = getattr(support, name, None)
            if bound is not None:
                ends.add(float(bound))
        if not (_is_all(support) or hasattr(support, "lower_bound") or hasattr(support, "upper_bound")):
            return None
    draws = np.concatenate(_draws(p, q))
    cuts = [-np.inf, *sorted(ends), np.inf]
    return [_chart_of_a_piece(low, high, draws[(draws > low) & (draws < high)]) for low, high in pairwise(cuts)]


def _chart_of_a_piece(low: float, high: float, draws: np.ndarray) -> Chart:
    if np.isfinite(low) and np.isfinite(high):
        edges = _edges(np.log((draws - low) / (high - draws)), 12, _reach())
        return Chart(partial(_from_interval, low, high), [edges])
    if np.isfinite(low) or np.isfinite(high):
        end, sign = (low, 1.0) if np.isfinite(low) else (high, -1.0)
        return Chart(partial(_from_half_line, end, sign), [_edges(np.log(sign * (draws - end)), 12, _reach())])
    centre, scale = (float(np.median(draws)), _spread(draws)) if len(draws) else (0.0, 1.0)
    return Chart(partial(_from_line, centre, scale), [_edges(np.arcsinh((draws - centre) / scale), 12, _reach())])


def _from_interval(low: float, high: float, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    log_volume = np.log(high - low) - np.logaddexp(0.0, v) - np.logaddexp(0.0, -v)
    upper = v > 0.0
    x = np.where(upper, high - (high - low) * expit(-v), low + (high - low) * expit(v))
    return x[:, 0], log_volume[:, 0]


def _from_half_line(end: float, sign: float, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (end + sign * np.exp(v))[:, 0], v[:, 0]


def _from_line(centre: float, scale: float, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (centre + scale * np.sinh(v))[:, 0], np.log(scale) + np.logaddexp(v, -v)[:, 0] - np.log(2.0)


def _chart_of_the_plane(p: Any, q: Any, support: constraints.Constraint, dim: int) -> Chart:
    """z = c + L sinh(v), and x its image in the support."""
    transform, is_bounded = biject_to(support), not _is_all(support)
    sets = [np.asarray(transform.inv(draws), np.float64).reshape(len(draws), -1) for draws in _draws(p, q)]
    points = np.concatenate(sets) if sets else np.random.default_rng(0).standard_normal((NUM_PLACING, dim))
    points = points[np.isfinite(points).all(axis=1)]
    centre = np.median(points, axis=0)
    root = np.linalg.cholesky(np.atleast_2d(np.cov(points.T)) + 1e-12 * np.diag(points.var(axis=0)))
    white = np.linalg.solve(root, (points - centre).T).T
    if is_bounded:  # NumPyro's maps from R^d have lost the digits near a bound when z is 36 away from the middle
        reach = 36.0 / np.linalg.norm(root, axis=1).max()
        edges = [_edges(white[:, axis], 4, reach) for axis in range(dim)]
        return Chart(partial(_from_plane, transform, centre, root, False), edges, reaches_infinity=False)
    edges = [_edges(np.arcsinh(white[:, axis]), 4, _reach()) for axis in range(dim)]
    return Chart(partial(_from_plane, transform, centre, root, True), edges)


def _from_plane(
    transform: Any, centre: np.ndarray, root: np.ndarray, stretched: bool, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    z = jnp.asarray(centre + (np.sinh(v) if stretched else v) @ root.T)
    x = transform(z)
    log_jacobian = np.asarray(transform.log_abs_det_jacobian(z, x), np.float64).reshape(len(v), -1).sum(axis=1)
    log_stretch = np.sum(np.logaddexp(v, -v) - np.log(2.0), axis=1) if stretched else 0.0
    return np.asarray(x), log_stretch + np.log(np.diag(root)).sum() + log_jacobian


def _spread(draws: np.ndarray) -> float:
    low, high = np.quantile(draws, [0.1, 0.9])
    return float(high - low) / 2.0 or 1.0


def _edges(v: np.ndarray, inner: int, reach: float) -> np.ndarray:
    """Where to begin cutting an axis: at quantiles of where the draws lie, and in growing steps out to the ends."""
    quantiles = np.quantile(v, np.linspace(0.0, 1.0, inner)) if len(v) else np.array([-1.0, 0.0, 1.0])
    outer = [3.0, 8.0] if inner < 12 else [1.0, 2.5, 5.0, 10.0, 20.0, 50.0]
    low, high = float(quantiles[0]), float(quantiles[-1])
    edges = np.unique([-reach, *(low - s for s in outer), *quantiles, *(high + s for s in outer), reach])
    return edges[(edges >= -reach) & (edges <= reach)]
