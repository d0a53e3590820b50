"""Adaptive quadrature over the real line, a half-line, an interval, or two unconstrained coordinates."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from vi_toolkit._types import Density
from vi_toolkit.information._adaptive import Integral, integrate_boxes
from vi_toolkit.information._charts import Chart, bounds, charts_of, logs_on
from vi_toolkit.information._cuts import cut_at_crossings, zoomed
from vi_toolkit.information._functionals import Functional
from vi_toolkit.information._operands import is_density
from vi_toolkit.information._space import Space, Values, Volumes, corners, grid
from vi_toolkit.information._tails import tail, tails_of_the_plane

TOLERANCES = {1: 1e-11, 2: 1e-9}  # relative, by dimension; float32 cannot have more than its own precision


def space_of(p: Any, q: Any) -> Space | None:
    """Where p and q are integrated; None where that is left to Monte Carlo: in more dimensions than two, for instance.

    An unnormalised density is normalised first, by the same quadrature.
    """
    charts = charts_of(p, q)
    if charts is None:
        return None
    first = _log_normaliser(p, charts) if is_density(p) else 0.0
    second = first if p is q else _log_normaliser(q, charts) if is_density(q) else 0.0
    return Space(p, q, charts, (first, second))


def integrate_functional(functional: Functional, space: Space) -> tuple[Functional, Integral] | None:
    """The integral, and the functional whose it is: rescaled where its integrand would under- or overflow."""
    if functional.log_power is not None:
        charts, sizes = zip(*[zoomed(space, chart, functional) for chart in space.charts], strict=True)
        if max(sizes) == np.inf:
            components = functional.times(0.0, np.zeros(1), np.zeros(1))[0]
            infinite = Integral(np.full_like(components, np.inf), np.zeros_like(components))
            return (functional, infinite) if charts[0].reaches_infinity else None
        space, functional = space._replace(charts=list(charts)), functional.rescaled(np.array(sizes))
    if functional.has_kinks:
        space = space._replace(charts=[cut_at_crossings(space, chart) for chart in space.charts])
    integral = integrate(functional.over_volumes, space)
    return None if integral is None else (functional, integral)


def integrate(volumes: Volumes, space: Space) -> Integral | None:
    """The integral of ``volumes(x, log volume, log p, log q)``; None where it is left to Monte Carlo.

    Where p or q do not integrate to one they are made to, and the error is larger: digits were lost beside a bound, or
    in a normaliser (JAX's betaln has six of them).
    """
    found = _integrate(volumes, space)
    if found is None:
        return None
    masses = found.value[-2:]
    lacking = _lacking(masses)
    if lacking > 10.0 * _tolerance(len(space.charts[0].edges)):
        offsets = space.offsets[0] + float(np.log(masses[0])), space.offsets[1] + float(np.log(masses[1]))
        found = _integrate(volumes, space._replace(offsets=offsets)) or found
        error = found.error + 10.0 * lacking * (_at_bounds(volumes, space) + np.abs(found.value))
        found = Integral(found.value, error)
    return Integral(found.value[:-2], found.error[:-2])


def _integrate(volumes: Volumes, space: Space) -> Integral | None:
    parts = []
    for chart in space.charts:
        is_outside = [_is_outside(operand, chart) for operand in (space.p, space.q)]
        if all(is_outside):
            continue
        part = _over_chart(space.integrand(chart, volumes), chart)
        if part is None:
            return None
        parts.append(_infinite_by_support(part, space, chart, volumes) if any(is_outside) else part)
    return Integral(*(np.sum(np.stack(each), axis=0) for each in zip(*parts, strict=True)))


def _over_chart(f: Values, chart: Chart) -> Integral | None:
    dim = len(chart.edges)
    beyond = tail if dim == 1 else tails_of_the_plane
    on_grid = f(grid(chart.edges))
    with np.errstate(invalid="ignore"):
        rest = beyond(f, chart.edges, np.abs(on_grid).max(axis=0))
    infinite = np.isinf(rest.value) | np.isinf(on_grid).any(axis=0)
    if np.isnan(rest.value).any() or (infinite.any() and not chart.reaches_infinity):
        return None
    low, high = (corners(edges) for edges in ([e[:-1] for e in chart.edges], [e[1:] for e in chart.edges]))
    found = integrate_boxes(lambda v: np.where(infinite, 0.0, f(v)), low, high, _tolerance(dim))
    whole = np.where(np.isinf(rest.value), rest.value, np.inf)
    return Integral(np.where(infinite, whole, found.value + rest.value), found.error + rest.error)


def _infinite_by_support(part: Integral, space: Space, chart: Chart, volumes: Volumes) -> Integral:
    """Infinite where one of p and q is zero on a piece of the line and the other is not, however little it is there."""
    v = grid(chart.edges)
    points = chart.points(v)
    possible = [logs_on(operand, points) > -np.inf for operand in (space.p, space.q)]
    alone = possible[0] != possible[1]
    if not alone.any():
        return part
    at = points.x[alone][:1]
    logs = [np.where(each[alone][:1], 0.0, -np.inf) for each in possible]
    infinite = np.append(np.isinf(volumes(at, np.zeros(1), *logs)[0]), [False, False])
    return Integral(np.where(infinite, np.inf, part.value), part.error)


def _is_outside(operand: Any, chart: Chart) -> bool:
    """Whether the piece of the line that the chart covers is outside the support."""
    ends = bounds(operand) if len(chart.edges) == 1 else None
    return ends is not None and (chart.piece[0] >= ends[1] or chart.piece[1] <= ends[0])


def _at_bounds(volumes: Volumes, space: Space) -> np.ndarray:
    """How large the integrand is for its mass where the digits end beside the bounds of the line; at least 1."""
    last_digit = 1.0 - float(np.log(np.finfo(jnp.result_type(float)).eps))
    found = []
    for chart in space.charts:
        near = [-last_digit, last_digit][: int(np.isfinite(chart.piece).sum())]  # a half-line has its end at v = -inf
        for values in np.abs(space.integrand(chart, volumes)(np.array(near)[:, None])) if near else []:
            mass = values[-2:].sum()
            found.append(values / mass if np.isfinite(values).all() and mass > 0.0 else np.ones_like(values))
    return np.max([*found, np.ones_like(found[0])], axis=0) if found else np.ones(1)


def _lacking(masses: np.ndarray) -> float:
    """How far the masses of p and q are from one; refused where that is more than rounding."""
    precision = float(np.finfo(jnp.result_type(float)).eps)
    for name, mass in zip("pq", masses, strict=True):
        if not abs(mass - 1.0) < max(1e-3, precision**0.5):
            raise ValueError(
                f"{name}: expected a density that integrates to 1, got {mass:.6g}. It may have atoms, be no density of "
                "the coordinates, or be too steep at a bound for its digits: give draws by information.from_draws."
            )
    return float(np.abs(masses - 1.0).max())


def _log_normaliser(density: Density, charts: list[Chart]) -> float:
    """log of the integral of exp(log p~), with the largest log p~ at the edges taken out."""
    points = [chart.points(grid(chart.edges)) for chart in charts]
    logs = np.concatenate([logs_on(density, each) for each in points])
    peak = np.max(logs, initial=-np.inf, where=np.isfinite(logs))

    def values(chart: Chart, v: np.ndarray) -> np.ndarray:
        at = chart.points(v)
        with np.errstate(over="ignore"):
            return np.exp(logs_on(density, at) - peak + at.log_volume)[:, None]

    parts = [_over_chart(partial(values, chart), chart) for chart in charts] if np.isfinite(peak) else []
    total = sum(part.value[0] if part is not None else np.inf for part in parts)
    if not (np.isfinite(total) and total > 0):
        raise ValueError(
            "the unnormalised density has no finite integral: it is improper, or zero or NaN where it was tried."
        )
    return float(peak + np.log(total))


def _tolerance(dim: int) -> float:
    return max(TOLERANCES[dim], 20.0 * float(np.finfo(jnp.result_type(float)).eps))
