"""q over p in the planes of pairs of unknowns: one plane from densities, or a triangle of planes from draws."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vi_toolkit.fit import Fit
from vi_toolkit.plots._densities import (
    REGIONS,
    guide_density,
    mesh,
    region_levels,
    smooth_line,
    smooth_plane,
    target_density,
    window,
)
from vi_toolkit.plots._low_dim import PLANE_POINTS, fill_line, fill_regions
from vi_toolkit.plots._style import EXACT_DARK, LINES, PALETTE, exact_handle, legend_below, no_y_ticks, style
from vi_toolkit.plots.log_weights import reweighted_words
from vi_toolkit.tree.coordinates import Columns

PANEL = 1.75  # inches
LINE_POINTS = 300
WIDTHS = [1.2, 2.2]  # of the contours that hold 90 % and 50 %
BLUE = PALETTE[0]


def draw_one_plane(
    fit: Fit, draws: np.ndarray, exact: np.ndarray | None, names: list[str], log_evidence: float | None
) -> Figure:
    """Two dimensions: both densities on a grid."""
    sets = [draws] if exact is None else [draws, exact]
    most = [None, None] if exact is None else list(exact.T)
    x, y = (np.linspace(*window([z[:, i] for z in sets], most[i]), PLANE_POINTS) for i in range(2))
    points, cell = mesh(x, y), float((x[1] - x[0]) * (y[1] - y[0]))
    known = fit.target.log_evidence if log_evidence is None else log_evidence
    p = target_density(fit.target, points, cell, None if known is None else float(known)).reshape(len(y), len(x))
    q = guide_density(fit.posterior, points).reshape(p.shape)
    with style():
        figure, axes = plt.subplots(figsize=(5.6, 5.4))
        fill_regions(axes, x, y, p)
        _contour(axes, x, y, q)
        axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), xlabel=names[0], ylabel=names[1])
        legend_below(figure, _handles("posterior" if known is not None or exact is not None else "posterior here"))
    return figure


def draw_matrix(q: Columns, log_weights: np.ndarray, khat: float, reference: Columns | None) -> Figure:
    """A lower triangle of planes, with marginal densities on its diagonal."""
    names, size = list(q), len(q)
    columns = (q if reference is None else reference), (log_weights if reference is None else None)
    limits = {name: window([q[name]] if reference is None else [q[name], reference[name]]) for name in names}
    with style():
        figure, panels = plt.subplots(
            size, size, figsize=(max(PANEL * size, 5.0) + 0.6, max(PANEL * size, 4.0) + 0.7), squeeze=False
        )
        for row, column in itertools.product(range(size), repeat=2):
            axes: Axes = panels[row, column]
            if column > row:
                axes.remove()
                continue
            pair = names[column], names[row]
            if row == column:
                _draw_line(axes, limits[names[row]], q[names[row]], columns[0][names[row]], columns[1])
            else:
                _draw_pair(axes, pair, q, *columns)
                axes.set_ylim(limits[names[row]])
            axes.set_xlim(limits[names[column]])
            _label(axes, pair, bottom=row == size - 1, left=column == 0 and row > 0)
        figure.align_labels()
        legend_below(figure, _handles("reference" if reference is not None else reweighted_words(khat, log_weights)))
    return figure


def _draw_line(
    axes: Axes, limits: tuple[float, float], q: np.ndarray, p: np.ndarray, log_weights: np.ndarray | None
) -> None:
    x = np.linspace(*limits, LINE_POINTS)
    density = smooth_line(q, x)
    fill_line(axes, x, smooth_line(p, x, log_weights))
    axes.plot(x, density, color=BLUE, linewidth=1.6)
    axes.set_ylim(0.0, None)
    no_y_ticks(axes)


def _draw_pair(axes: Axes, pair: tuple[str, str], q: Columns, p: Columns, log_weights: np.ndarray | None) -> None:
    truth = smooth_plane(np.column_stack([p[name] for name in pair]), log_weights)
    if truth is not None:
        fill_regions(axes, *truth)
    plane = smooth_plane(np.column_stack([q[name] for name in pair]))
    if plane is not None:
        _contour(axes, *plane)


def _contour(axes: Axes, x: np.ndarray, y: np.ndarray, density: np.ndarray) -> None:
    levels = region_levels(density)
    if density.max() > 0 and levels[0] < levels[1]:
        axes.contour(x, y, density, levels=levels, colors=BLUE, linewidths=WIDTHS)


def _label(axes: Axes, pair: tuple[str, str], *, bottom: bool, left: bool) -> None:
    """Names and numbers at the lower and the left edge of the triangle alone."""
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(labelsize=8, labelbottom=bottom)
    if bottom:
        axes.set_xlabel(pair[0])
    if pair[0] == pair[1]:
        return
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(labelleft=left)
    if left:
        axes.set_ylabel(pair[1])


def _handles(whose: str) -> list[Artist]:
    inner, outer = (f"{100 * share:.0f} %" for share in REGIONS)
    return [
        exact_handle(f"{whose}: {inner}", EXACT_DARK),
        exact_handle(f"{whose}: {outer}"),
        Line2D([], [], color=BLUE, linewidth=WIDTHS[1], label=f"q: {inner}"),
        Line2D([], [], color=BLUE, linewidth=WIDTHS[0], linestyle=LINES[0], label=f"q: {outer}"),
    ]
