"""Comparisons in many dimensions: intervals of every scalar, and the plane of the two most correlated."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vi_toolkit.plots._densities import region_levels, smooth_plane, window
from vi_toolkit.plots._low_dim import fill_regions
from vi_toolkit.plots._style import (
    EXACT_DARK,
    EXACT_FILL,
    FAINT,
    Look,
    exact_handle,
    legend_below,
    looks,
    method_handle,
)
from vi_toolkit.targets import Target
from vi_toolkit.tree.coordinates import Columns, Coords, Dims, columns, flat_columns

MAX_ROWS = 30
FURTHEST = 10.0  # posterior sds: what lies beyond is drawn at the edge, as an arrow
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def draw_forest(
    target: Target,
    exact: np.ndarray | None,
    guides: dict[str, np.ndarray],
    *,
    sites: Sequence[str],
    coords: Coords,
    dims: Dims,
) -> Figure:
    """Intervals on the left, the most correlated pair of unknowns on the right."""
    of_guides = {name: columns(target, draws, sites, coords, dims) for name, draws in guides.items()}
    of_exact = None if exact is None else columns(target, exact, sites, coords, dims)
    centre = of_exact or next(iter(of_guides.values()))
    every = [label for label, values in centre.items() if values.std() > 0]
    rows = every[:MAX_ROWS]
    chosen = looks(guides)
    shown = [site.name for site in target.sites if site.name in sites]
    planes = {name: _unknowns(target, draws, shown, coords, dims) for name, draws in guides.items()}
    exact_plane = None if exact is None else _unknowns(target, exact, shown, coords, dims)
    pair = most_correlated(exact_plane or next(iter(planes.values())))
    height = max(4.6, 0.4 + len(rows) * (0.16 + 0.085 * len(guides)))
    widths, size = ([1.25, 1.0], (10.5, height)) if pair else ([1.0], (6.8, height))
    figure, panels = plt.subplots(1, len(widths), figsize=size, width_ratios=widths, squeeze=False)
    _draw_intervals(panels[0, 0], rows, of_exact, of_guides, chosen)
    if len(every) > len(rows):
        panels[0, 0].set_title(f"the first {len(rows)} of {len(every)} scalars")
    if pair:
        _draw_pair(panels[0, 1], pair, exact_plane, planes, chosen)
    legend_below(figure, _handles(of_exact, chosen))
    return figure


def _draw_intervals(
    axes: Axes, rows: list[str], exact: Columns | None, guides: dict[str, Columns], chosen: dict[str, Look]
) -> None:
    """Middle 50 % and 90 % of each row, in posterior sds from the exact mean; the first guide's where there is none."""
    centre = exact or next(iter(guides.values()))
    offsets = np.linspace(0.27, -0.27, len(guides)) if len(guides) > 1 else np.zeros(1)
    furthest = 0.0
    for row, label in enumerate(rows):
        place = len(rows) - 1 - row
        mean, sd = centre[label].mean(), centre[label].std()
        if exact is not None:
            q = (np.quantile(exact[label], QUANTILES) - mean) / sd
            axes.add_patch(Rectangle((q[0], place - 0.4), q[4] - q[0], 0.8, color=EXACT_FILL, linewidth=0))
            axes.add_patch(Rectangle((q[1], place - 0.4), q[3] - q[1], 0.8, color=EXACT_DARK, linewidth=0))
            furthest = max(furthest, *np.abs(q))
        for offset, (name, values) in zip(offsets, guides.items(), strict=True):
            q = np.clip((np.quantile(values[label], QUANTILES) - mean) / sd, -FURTHEST, FURTHEST)
            _interval(axes, q, place + offset, chosen[name])
            furthest = max(furthest, *np.abs(q))
    axes.set_yticks(range(len(rows)), rows[::-1])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlim(-1.06 * furthest, 1.06 * furthest)
    axes.axvline(0.0, color="white" if exact else FAINT, linewidth=1.0, zorder=1.5)
    axes.tick_params(axis="y", length=0)
    whose = "exact" if exact else f"{next(iter(guides))}'s"
    axes.set_xlabel(f"distance from the {whose} mean, in {whose} sds")
    beside = axes.secondary_yaxis("right")
    beside.set_yticks(range(len(rows)), [_mean_and_sd(centre[label]) for label in rows[::-1]])
    beside.tick_params(axis="y", length=0)
    for side in (axes.spines["left"], beside.spines["right"]):
        side.set_visible(False)


def _interval(axes: Axes, q: np.ndarray, place: float, look: Look) -> None:
    """A thin line for 90 %, a thick one for 50 %, a mark at the median; an arrow where that lies beyond the edge."""
    axes.plot(q[[0, 4]], [place, place], color=look.color, linewidth=1.2, solid_capstyle="butt")
    axes.plot(q[[1, 3]], [place, place], color=look.color, linewidth=2.8, solid_capstyle="butt")
    marker = look.marker if abs(q[2]) < FURTHEST else (">" if q[2] > 0 else "<")
    axes.plot(
        q[2], place, color=look.color, marker=marker, markersize=4.5, markeredgecolor="white", markeredgewidth=0.6
    )


def _mean_and_sd(values: np.ndarray) -> str:
    sd = values.std()
    digits = int(np.clip(1 - np.floor(np.log10(sd)), 0, 6))
    return f"{values.mean():.{digits}f} ± {sd:.{digits}f}"


def _unknowns(target: Target, draws: np.ndarray, shown: Sequence[str], coords: Coords, dims: Dims) -> Columns:
    """The entries of z that belong to the sites shown: unbounded, so that no smoothing spills over a bound."""
    every = flat_columns(target, draws, coords, dims)
    mine = {label: values for label, values in every.items() if label.partition("[")[0].partition(" (")[0] in shown}
    return mine if len(target.sites) > 1 else every


def most_correlated(values: Columns) -> tuple[str, str] | None:
    """The two unknowns whose draws are most correlated."""
    labels = [label for label, column in values.items() if column.std() > 0]
    if len(labels) < 2:
        return None
    size = np.abs(np.corrcoef(np.stack([values[label] for label in labels])))
    np.fill_diagonal(size, -1.0)
    first, second = np.unravel_index(np.argmax(size), size.shape)
    return labels[min(first, second)], labels[max(first, second)]


def _draw_pair(
    axes: Axes, pair: tuple[str, str], exact: Columns | None, guides: dict[str, Columns], chosen: dict[str, Look]
) -> None:
    """The exact regions in grey, and the region of each guide that holds 90 % of its mass."""
    planes = {name: np.column_stack([values[label] for label in pair]) for name, values in guides.items()}
    truth = None if exact is None else np.column_stack([exact[label] for label in pair])
    every = [*planes.values()] if truth is None else [*planes.values(), truth]
    limits = [window([z[:, i] for z in every], None if truth is None else truth[:, i]) for i in range(2)]
    if truth is not None and (plane := smooth_plane(truth)) is not None:
        fill_regions(axes, *plane)
    for name, draws in planes.items():
        if (plane := smooth_plane(draws)) is not None:
            look, level = chosen[name], region_levels(plane[2])[:1]
            axes.contour(*plane, levels=level, colors=look.color, linestyles=[look.linestyle], linewidths=1.8)
    axes.set(xlim=limits[0], ylim=limits[1], xlabel=pair[0], ylabel=pair[1])
    axes.set_title("the two most correlated unknowns")
    axes.set_box_aspect(1)
    axes.set_anchor("N")


def _handles(exact: Columns | None, chosen: dict[str, Look]) -> list[Artist]:
    grey = [exact_handle("exact: middle 50 %", EXACT_DARK), exact_handle("exact: middle 90 %")] if exact else []
    return [*grey, *(method_handle(name, look, marker=True) for name, look in chosen.items())]
