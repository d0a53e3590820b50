"""Comparisons in one and two dimensions, where densities can be evaluated on a grid."""

from __future__ import annotations

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vi_toolkit.plots._densities import REGIONS, guide_density, mesh, region_levels, target_density, window
from vi_toolkit.plots._style import (
    EXACT_DARK,
    EXACT_EDGE,
    EXACT_FILL,
    INK,
    Look,
    exact_handle,
    legend_below,
    looks,
    method_handle,
    no_y_ticks,
)
from vi_toolkit.tree.coordinates import flat_columns

LINE_POINTS = 600
PLANE_POINTS = 160
PANELS_A_ROW = 3
PANEL_SIZE = 3.1  # inches

Draws = dict[str, np.ndarray]


def draw_line(comparison: Any, exact: np.ndarray | None, guides: Draws) -> Figure:
    """One dimension: densities over the exact one."""
    every = [*guides.values()] if exact is None else [*guides.values(), exact]
    x = np.linspace(*window([z[:, 0] for z in every], None if exact is None else exact[:, 0]), LINE_POINTS)
    p = target_density(comparison.target, x[:, None], float(x[1] - x[0]), _log_evidence(comparison))
    figure, axes = plt.subplots(figsize=(7.0, 4.0))
    fill_line(axes, x, p)
    chosen = looks(comparison.fits)
    for name in guides:
        _line(axes, x, guide_density(comparison.fits[name].posterior, x[:, None]), chosen[name])
    axes.set_ylim(bottom=0.0)
    axes.set_xlim(x[0], x[-1])
    axes.set_xlabel(next(iter(flat_columns(comparison.target, next(iter(guides.values())), {}, {}))))
    axes.set_ylabel("density")
    legend_below(figure, [exact_handle(_exact_label(comparison)), *(method_handle(n, chosen[n]) for n in guides)])
    return figure


def draw_plane(comparison: Any, exact: np.ndarray | None, guides: Draws) -> Figure:
    """Two dimensions: a panel for each guide, and both marginals."""
    every = [*guides.values()] if exact is None else [*guides.values(), exact]
    x, y = (
        np.linspace(*window([z[:, i] for z in every], None if exact is None else exact[:, i]), PLANE_POINTS)
        for i in range(2)
    )
    points, cell = mesh(x, y), float((x[1] - x[0]) * (y[1] - y[0]))
    p = target_density(comparison.target, points, cell, _log_evidence(comparison)).reshape(len(y), len(x))
    densities = {n: guide_density(comparison.fits[n].posterior, points).reshape(p.shape) for n in guides}
    chosen = looks(comparison.fits)
    names = list(flat_columns(comparison.target, next(iter(guides.values())), {}, {}))
    figure, panels, margins = _layout(len(guides))
    for axes, name in zip(panels, guides, strict=True):
        fill_regions(axes, x, y, p)
        _contours(axes, x, y, densities[name], chosen[name])
        axes.set_title(title(comparison, name), color=INK)
        axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), xlabel=names[0], ylabel=names[1])
    for i, (axes, grid, other) in enumerate(((margins[0], x, y), (margins[1], y, x))):
        step = float(other[1] - other[0])
        fill_line(axes, grid, p.sum(axis=i) * step)
        for name in guides:
            _line(axes, grid, densities[name].sum(axis=i) * step, chosen[name])
        axes.set(xlim=(grid[0], grid[-1]), xlabel=names[i], title=f"marginal density of {names[i]}")
        axes.set_ylim(bottom=0.0)
        no_y_ticks(axes)
    legend_below(figure, _plane_handles(comparison, chosen, list(guides)))
    return figure


def title(comparison: Any, name: str) -> str:
    """A method's name, and both divergences where a reference made them known."""
    diagnosis = comparison.diagnoses.get(name)
    if comparison.reference is None or diagnosis is None:
        return name
    signs = (("D(q‖p)", diagnosis.reverse_kl), ("D(p‖q)", diagnosis.forward_kl))
    return "\n".join([name, *(f"{sign} = {_short(nats)} nats" for sign, nats in signs if nats is not None)])


def _short(nats: float) -> str:
    return f"{max(nats, 0.0):.2f}" if nats < 100 else f"{nats:.2g}"


def _layout(count: int) -> tuple[Figure, list[Axes], list[Axes]]:
    """Panels in rows of three, and a row of two marginals under them."""
    across = min(count, PANELS_A_ROW)
    rows = math.ceil(count / PANELS_A_ROW)
    width = max(PANEL_SIZE * across, 2 * PANEL_SIZE)
    figure = plt.figure(figsize=(width + 0.4, (PANEL_SIZE + 0.3) * rows + 2.6))
    grid = figure.add_gridspec(rows + 1, 2 * across, height_ratios=[PANEL_SIZE] * rows + [1.7])
    panels = [figure.add_subplot(grid[i // across, 2 * (i % across) : 2 * (i % across) + 2]) for i in range(count)]
    return figure, panels, [figure.add_subplot(grid[rows, :across]), figure.add_subplot(grid[rows, across:])]


def fill_regions(axes: Axes, x: np.ndarray, y: np.ndarray, p: np.ndarray) -> None:
    """The smallest regions that hold 50 % and 90 % of the mass, in grey, where a grid can tell them apart."""
    wide, narrow = region_levels(p)
    if wide < narrow:
        axes.contourf(x, y, p, levels=[wide, narrow, max(p.max(), narrow) * 1.01], colors=[EXACT_FILL, EXACT_DARK])


def _contours(axes: Axes, x: np.ndarray, y: np.ndarray, q: np.ndarray, look: Look) -> None:
    if q.max() > 0:
        axes.contour(x, y, q, levels=region_levels(q), colors=look.color, linewidths=[1.4, 2.4])


def fill_line(axes: Axes, x: np.ndarray, p: np.ndarray) -> None:
    axes.fill_between(x, p, color=EXACT_FILL, linewidth=0)
    axes.plot(x, p, color=EXACT_EDGE, linewidth=1.0)


def _line(axes: Axes, x: np.ndarray, q: np.ndarray, look: Look) -> None:
    axes.plot(x, q, color=look.color, linestyle=look.linestyle)


def _plane_handles(comparison: Any, chosen: dict[str, Look], names: list[str]) -> list[Artist]:
    label = _exact_label(comparison)
    dark, light = (f"{label}: {100 * share:.0f} % of its mass" for share in REGIONS)
    inner, outer = (f"a guide: {100 * share:.0f} % of its mass" for share in REGIONS)
    return [
        exact_handle(dark, EXACT_DARK),
        exact_handle(light),
        Line2D([], [], color=INK, linewidth=2.4, label=inner),
        Line2D([], [], color=INK, linewidth=1.4, label=outer),
        *(method_handle(name, chosen[name]) for name in names),
    ]


def _exact_label(comparison: Any) -> str:
    known = comparison.reference is not None or _log_evidence(comparison) is not None
    return "exact posterior" if known else "posterior in this window"


def _log_evidence(comparison: Any) -> float | None:
    known = comparison.target.log_evidence
    if known is None and comparison.reference is not None:
        known = comparison.reference.log_evidence
    return None if known is None else float(known)
