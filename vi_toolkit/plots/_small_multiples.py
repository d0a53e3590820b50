"""One small panel for each scalar: the densities of q, of q reweighted, and of a reference."""

from __future__ import annotations

import textwrap
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vi_toolkit.diagnostics import log_sd_ratios, mean_errors, moments_of_draws
from vi_toolkit.plots._densities import smooth_line
from vi_toolkit.plots._low_dim import fill_line
from vi_toolkit.plots._style import LINES, PALETTE, Look, exact_handle, legend_below, method_handle, no_y_ticks, style
from vi_toolkit.plots.log_weights import reweighted_words
from vi_toolkit.tree.coordinates import Columns

MAX_PANELS = 30
COLUMNS = 5
LINE_POINTS = 400
TITLE = 22  # characters in a line
GUIDE, REWEIGHTED = Look(PALETTE[0], LINES[0], ""), Look(PALETTE[1], LINES[1], "")


class Weighted(NamedTuple):
    """Draws of q scalar by scalar, with smoothed log weights towards p and their tail index."""

    columns: Columns
    log_weights: np.ndarray
    khat: float


def draw_marginals(q: Weighted, reference: Columns | None) -> Figure:
    """At most 30 panels: of more scalars, those whose q is furthest off, the worst first."""
    every = [label for label, values in q.columns.items() if np.ptp(values) > 0]
    chosen = every if len(every) <= MAX_PANELS else worst_first(q, reference, every)[:MAX_PANELS]
    columns = min(COLUMNS, len(chosen)) if len(chosen) != 4 else 2
    rows = -(-len(chosen) // columns)
    width, height = (3.0, 2.2) if columns <= 3 else (1.95, 1.6)
    with style():
        figure, panels = plt.subplots(
            rows, columns, figsize=(max(width * columns, 4.8), height * rows + 0.7), squeeze=False
        )
        for axes, label in zip(panels.flat, chosen, strict=False):
            _draw_panel(axes, q, label, None if reference is None else reference[label])
            axes.set_title(textwrap.fill(label, TITLE), fontsize=9.5)
        for axes in panels.flat[len(chosen) :]:
            axes.remove()
        if len(chosen) < len(every):
            words = f"{len(chosen)} of {len(every)} scalars: those that are furthest off, the worst first"
            figure.suptitle(words, x=0.01, ha="left", fontsize=11)
        legend_below(figure, _handles(q, reference is not None))
    return figure


def worst_first(q: Weighted, reference: Columns | None, labels: list[str]) -> list[str]:
    """Labels by how far q's mean and sd are from the reference's, or else from those of q reweighted."""
    draws = np.stack([q.columns[label] for label in labels], axis=1)
    found = moments_of_draws(draws)
    if reference is None:
        wanted = moments_of_draws(draws, q.log_weights)
    else:
        wanted = moments_of_draws(np.stack([reference[label] for label in labels], axis=1))
    means = mean_errors(found.mean, wanted.mean, wanted.sd).values
    far = np.maximum(np.abs(means), np.abs(log_sd_ratios(found.sd, wanted.sd).values))
    return [labels[i] for i in np.argsort(-np.nan_to_num(far, nan=np.inf), kind="stable")]


def _draw_panel(axes: Axes, q: Weighted, label: str, reference: np.ndarray | None) -> None:
    draws = q.columns[label]
    x = np.linspace(*_window([draws] if reference is None else [draws, reference]), LINE_POINTS)
    highest = 0.0
    if reference is not None:
        density = smooth_line(reference, x)
        fill_line(axes, x, density)
        highest = float(density.max())
    for look, log_weights in ((GUIDE, None), (REWEIGHTED, q.log_weights)):
        density = smooth_line(draws, x, log_weights)
        axes.plot(x, density, color=look.color, linestyle=look.linestyle, linewidth=1.6)
        highest = max(highest, float(density.max()) if log_weights is None else 0.0)
    axes.set(xlim=(x[0], x[-1]), ylim=(0.0, 1.35 * highest))  # a spike of few weighted draws may leave the panel
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(labelsize=8)
    no_y_ticks(axes)


def _window(sets: list[np.ndarray]) -> tuple[float, float]:
    """What shows all but one draw in 500 on either side of every set, not beyond the outermost draw."""
    low, high = min(np.quantile(x, 0.002) for x in sets), max(np.quantile(x, 0.998) for x in sets)
    margin = 0.08 * (high - low)
    low, high = max(low - margin, min(x.min() for x in sets)), min(high + margin, max(x.max() for x in sets))
    return (float(low), float(high)) if high > low else (float(low) - 1.0, float(high) + 1.0)


def _handles(q: Weighted, has_reference: bool) -> list[Artist]:
    handles: list[Artist] = [exact_handle("reference")] if has_reference else []
    return [*handles, method_handle("q", GUIDE), method_handle(reweighted_words(q.khat, q.log_weights), REWEIGHTED)]
