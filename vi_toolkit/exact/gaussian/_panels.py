"""A density on the line as polynomials on panels: integrals by Gauss-Legendre quadrature, and quantiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial.legendre import leggauss, legint, legvander

NUM_NODES = 20  # of each panel
FIRST_PANELS = 8
MAX_ROUNDS, MAX_PANELS = 40, 4096
NOTHING = 300.0  # nats below the peak
BISECTIONS = 50
NODES, WEIGHTS = leggauss(NUM_NODES)
# Legendre coefficients of the polynomial through values at the nodes
TO_COEFFICIENTS = (np.arange(NUM_NODES) + 0.5)[:, None] * legvander(NODES, NUM_NODES - 1).T * WEIGHTS


class Panels(NamedTuple):
    """A density on [edges[0], edges[-1]], normalised there."""

    edges: np.ndarray  # (panels + 1,)
    nodes: np.ndarray  # (panels * NUM_NODES,)
    weights: np.ndarray  # of the nodes, summing to one: E[h] is the sum of weights h(nodes)
    log_total: float  # log of the integral before it was normalised
    cumulative: np.ndarray  # (panels,), the probability to the left of each panel
    integrals: np.ndarray  # (panels, NUM_NODES + 1), Legendre coefficients of the probability within, from its left end


def panels_of(log_density: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> Panels:
    """Halves panels until polynomials of degree NUM_NODES - 1 resolve the density on each of them."""
    edges = np.linspace(low, high, FIRST_PANELS + 1)
    for _ in range(MAX_ROUNDS):
        half = 0.5 * np.diff(edges)
        nodes = (edges[:-1] + half)[:, None] + half[:, None] * NODES
        log_values = log_density(nodes)
        peak = log_values.max()
        values = np.exp(log_values - peak)
        coefficients = values @ TO_COEFFICIENTS.T
        rough = _is_rough(log_values, coefficients)
        if not rough.any():
            return _normalise(edges, nodes, half, values, coefficients, peak)
        edges = np.sort(np.append(edges, 0.5 * (edges[:-1] + edges[1:])[rough]))
        if len(edges) > MAX_PANELS:
            break
    raise RuntimeError(f"quadrature: {len(edges) - 1} panels do not resolve the density on [{low:.3g}, {high:.3g}].")


def _is_rough(log_values: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Where the last coefficients are not lost in rounding: a log density of size L is known to L rounding errors."""
    top = log_values.max(axis=1)
    rounding = 64.0 * np.finfo(float).eps * (1.0 + np.abs(top)) * np.abs(coefficients).max(axis=1)
    return (np.abs(coefficients[:, -3:]).max(axis=1) > rounding) & (top > top.max() - NOTHING)


def _normalise(edges: Any, nodes: Any, half: Any, values: Any, coefficients: Any, peak: float) -> Panels:
    weights = half[:, None] * WEIGHTS * values
    mass = weights.sum(axis=1)
    total = mass.sum()
    return Panels(
        edges=edges,
        nodes=nodes.ravel(),
        weights=weights.ravel() / total,
        log_total=float(peak + np.log(total)),
        cumulative=np.append(0.0, np.cumsum(mass)[:-1]) / total,
        integrals=legint(coefficients, lbnd=-1, axis=1) * half[:, None] / total,
    )


def quantile(panels: Panels, probability: np.ndarray) -> np.ndarray:
    """The points u with P(below u) = probability, for a vector of probabilities."""
    panel = np.searchsorted(panels.cumulative, probability, side="right") - 1
    c, goal = panels.integrals[panel], probability - panels.cumulative[panel]
    unit = np.zeros(len(probability))
    for step in range(1, BISECTIONS):
        unit = bisect(c, goal, unit, step)
    return locate(panels.edges[panel], panels.edges[panel + 1], unit)


def bisect(c: Any, goal: Any, unit: Any, step: Any) -> Any:
    """One step towards the root of sum_i c_i P_i(unit) = goal on (-1, 1), from 0 at step 1; NumPy's arrays or JAX's."""
    too_low = legendre_sum(c, unit) < goal
    return unit + (2.0 * too_low - 1.0) * 0.5**step


def locate(low: Any, high: Any, unit: Any) -> Any:
    """From (-1, 1) to a panel."""
    return 0.5 * (low + high) + 0.5 * (high - low) * unit


def legendre_sum(c: Any, x: Any) -> Any:
    """sum_i c_i P_i(x), by i P_i = (2i - 1) x P_(i-1) - (i - 1) P_(i-2); one row of c for each x."""
    before, current = 1.0, x
    total = c[..., 0] + c[..., 1] * x
    for i in range(2, c.shape[-1]):
        before, current = current, ((2 * i - 1) * x * current - (i - 1) * before) / i
        total = total + c[..., i] * current
    return total
