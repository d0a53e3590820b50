"""The figure of the sweep over orders of Renyi's divergence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vi_toolkit.plots._style import FAINT, INK, legend_below, looks, method_handle, no_y_ticks, style

NAMED = {-1.0: "chi-square", 0.0: "forward KL", 1.0: "reverse KL"}


def draw_alpha_sweep(table: pd.DataFrame, weights: Mapping[str, Any], true: Mapping[str, float]) -> Figure:
    """A row for each posterior; entropy, sd ratios and the mass at the main mode against alpha."""
    posteriors = list(dict.fromkeys(table["posterior"]))
    looks_of = looks(dict.fromkeys(table["guide"]))
    with style():
        figure, grid = plt.subplots(
            len(posteriors), 3, figsize=(12, 3.1 * len(posteriors) + 0.6), squeeze=False, sharex=True
        )
        for axes, posterior in zip(grid, posteriors, strict=True):
            part = table[table["posterior"] == posterior]
            _draw(axes[0], part, looks_of, ["entropy (nats)"], true[posterior])
            axes[0].set_ylabel(f"{posterior}\nentropy (nats)")
            _draw(axes[1], part, looks_of, ["min sd ratio", "max sd ratio"], 1.0)
            axes[1].set_ylabel("sd of q / sd of p")
            _draw_masses(axes[2], part, looks_of, weights[posterior])
        for axes in grid[-1]:
            axes.set_xlabel("order alpha")
        for axes, title in zip(grid[0], ("How wide", "How wide, by coordinate", "What it covers"), strict=True):
            axes.set_title(title, pad=16)
            _name_orders(axes)
        legend_below(figure, [method_handle(name, look, marker=True) for name, look in looks_of.items()])
    return figure


def _draw(axes: Axes, part: pd.DataFrame, looks_of: Mapping[str, Any], columns: list[str], exact: float) -> None:
    axes.axhline(exact, color=INK, linewidth=1.0)
    axes.annotate(
        "p", (1.0, exact), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center"
    )
    for guide, look in looks_of.items():
        of_guide = part[part["guide"] == guide]
        for column in columns:
            axes.plot(
                of_guide["alpha"],
                of_guide[column],
                marker=look.marker,
                markersize=4,
                color=look.color,
                linestyle=look.linestyle,
            )
        if len(columns) == 2:
            axes.fill_between(
                of_guide["alpha"], of_guide[columns[0]], of_guide[columns[1]], color=look.color, alpha=0.12
            )
    for alpha in NAMED:
        axes.axvline(alpha, color=FAINT, linewidth=0.8, zorder=0)


def _draw_masses(axes: Axes, part: pd.DataFrame, looks_of: Mapping[str, Any], weights: Any) -> None:
    if weights is None or len(weights) < 2:
        axes.text(0.5, 0.5, "p has one mode", transform=axes.transAxes, ha="center", va="center", color=FAINT)
        no_y_ticks(axes)
        return
    _draw(axes, part, looks_of, ["main mode mass"], float(np.max(weights)))
    axes.set(ylabel="mass of q at its main mode", ylim=(0, 1.05))


def _name_orders(axes: Axes) -> None:
    """What the marked orders are called, over the panel."""
    for alpha, name in NAMED.items():
        axes.annotate(
            name,
            (alpha, 1.0),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            size=7,
        )
