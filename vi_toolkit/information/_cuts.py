"""Charts with more edges: about the place where a power is largest, and where p = q."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from vi_toolkit.information._charts import Chart
from vi_toolkit.information._functionals import Functional
from vi_toolkit.information._space import Space, corners, grid

NUM_ZOOMS = 20
NUM_HALVINGS = 60


def zoomed(space: Space, chart: Chart, functional: Functional) -> tuple[Chart, float]:
    """The chart with more edges about the place where the functional's power is largest, and its log there.

    That is infinite where the power is, or where it still grows at the ends, or as far out as it has digits.
    """
    precision = float(np.finfo(jnp.result_type(float)).eps)

    def log_size(v: np.ndarray) -> np.ndarray:
        points = chart.points(v)
        logs = space.logs(points)
        size = functional.log_size(points.log_volume, *logs)
        has_digits = precision * (np.abs(logs[0]) + np.abs(logs[1])) < 1e-3
        return np.where(has_digits | np.isinf(size), size, np.nan)

    v, edges, ends = grid(chart.edges), chart.edges[0], np.array([[e[0], e[-1]] for e in chart.edges]).T
    width = np.array([np.diff(of_axis).max() for of_axis in chart.edges])
    sizes, highest = log_size(v), -np.inf
    for _ in range(NUM_ZOOMS):
        highest = float(np.max(sizes, initial=-np.inf, where=~np.isnan(sizes)))
        if not np.isfinite(highest):
            return chart, highest
        best = v[np.nanargmax(sizes)]
        edges = np.append(edges, best[0] + width[0] * np.array([-1.0, 1.0]))
        v = np.clip(best + width * corners([np.linspace(-1.0, 1.0, 17)] * len(best)), *ends)
        sizes, width = log_size(v), 0.2 * width
    if np.isnan(sizes).any() or (v == ends[0]).any() or (v == ends[1]).any():
        return chart, np.inf
    finer = np.unique(np.clip(edges, *ends[:, 0]))
    return (chart._replace(edges=[finer]) if len(chart.edges) == 1 else chart), highest


def cut_at_crossings(space: Space, chart: Chart) -> Chart:
    """The chart of a line with edges where p = q."""
    if len(chart.edges) > 1:
        return chart

    def is_more(v: np.ndarray) -> np.ndarray:
        log_p, log_q = space.logs(chart.points(v[:, None]))
        return log_p > log_q

    fine = np.interp(np.arange(0.0, len(chart.edges[0]) - 1.0, 0.125), np.arange(len(chart.edges[0])), chart.edges[0])
    more = is_more(fine)
    crossed = np.flatnonzero(more[1:] != more[:-1])
    low, high, at_low = fine[crossed], fine[crossed + 1], more[crossed]
    for _ in range(NUM_HALVINGS if len(crossed) else 0):
        middle = 0.5 * (low + high)
        same = is_more(middle) == at_low
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return chart._replace(edges=[np.unique(np.append(chart.edges[0], low))])
