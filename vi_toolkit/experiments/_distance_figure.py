"""The figure of the experiment on distances."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vi_toolkit.experiments._figures import note
from vi_toolkit.plots._style import EXACT_FILL, FAINT, INK, LINES, PALETTE, style

BLUE, RED, GREEN = PALETTE[:3]
SHOWN = {"D(p‖q)": BLUE, "root of Jensen-Shannon": GREEN, "Wasserstein": RED}
Between = Callable[[Any, Any, Any], Any]


def draw_not_a_distance(measures: Mapping[str, Any], triple: np.ndarray, between: Between) -> Figure:
    with style():
        figure, (both_ways, bars, detours) = plt.subplots(1, 3, figsize=(13.5, 4.4))
        _draw_both_ways(both_ways, measures["D(p‖q)"], between)
        _draw_bars(bars, measures, triple, between)
        _draw_detours(detours, measures, triple, between)
    return figure


def _draw_both_ways(axes: Axes, kl: Any, between: Between) -> None:
    heads = np.linspace(0.0, 0.5, 201)
    axes.plot(heads, between(kl, heads, np.full_like(heads, 0.5)), color=BLUE)
    axes.plot(heads[1:], between(kl, np.full_like(heads[1:], 0.5), heads[1:]), color=RED, linestyle=LINES[1])
    axes.plot(0, np.log(2), "o", color=BLUE, clip_on=False)
    note(axes, 0.12, 0.72, "D(coin‖fair coin): log 2 at 0", BLUE)
    axes.plot([0.008, 0.115], [np.log(2), 0.745], color=BLUE, linewidth=0.8)
    note(axes, 0.035, 1.2, "D(fair coin‖coin): infinite at 0", RED)
    axes.set(xlabel="probability of heads of the coin", ylabel="nats", xlim=(0, 0.5), ylim=(0, 1.6))
    axes.set_title("Not symmetric")


def _draw_bars(axes: Axes, measures: Mapping[str, Any], triple: np.ndarray, between: Between) -> None:
    """The way from p to r through q, in units of the direct way."""
    p, q, r = triple
    names = [str(Fraction(x).limit_denominator(20)) for x in triple]
    for row, (name, color) in enumerate(SHOWN.items()):
        direct = between(measures[name], p, r)
        first, second = between(measures[name], p, q), between(measures[name], q, r)
        axes.barh(row - 0.19, 1.0, height=0.32, color=EXACT_FILL)
        axes.barh(row + 0.19, first / direct, height=0.32, color=color)
        axes.barh(row + 0.19, second / direct, left=first / direct, height=0.32, color=color, alpha=0.6)
        note(axes, 0.02, row - 0.19, f"direct: {direct:.4f}", INK, va="center")
        note(axes, 0.02, row + 0.19, f"{first:.4f} + {second:.4f}", "white", va="center")
    axes.axvline(1.0, color=INK, linewidth=1.0)
    axes.set_yticks(range(len(SHOWN)), [name.replace(" of ", " of\n") for name in SHOWN])
    axes.invert_yaxis()
    axes.set(xlabel="length, in units of the direct way", xlim=(0, 1.3))
    axes.set_title(f"From {names[0]} to {names[2]}, directly and through {names[1]}")


def _draw_detours(axes: Axes, measures: Mapping[str, Any], triple: np.ndarray, between: Between) -> None:
    p, _, r = triple
    through = np.linspace(0.05, 0.95, 400)
    for (name, color), line in zip(SHOWN.items(), LINES, strict=False):
        ends = np.full_like(through, p), np.full_like(through, r)
        length = between(measures[name], ends[0], through) + between(measures[name], through, ends[1])
        axes.plot(through, length / between(measures[name], p, r), color=color, linestyle=line)
    axes.axhline(1.0, color=INK, linewidth=1.0)
    axes.fill_between([0.05, 0.95], 0, 1, color=EXACT_FILL, alpha=0.4, linewidth=0)
    for x in (p, r):
        axes.axvline(x, color=FAINT, linewidth=1.0, zorder=0)
    note(axes, 0.5, 0.2, "shorter than direct", INK, ha="center", va="center")
    note(axes, 0.5, 0.72, "D(p‖q)", BLUE, ha="center")
    note(axes, 0.5, 1.18, "root of\nJensen-Shannon", GREEN, ha="center")
    note(axes, 0.5, 1.04, "Wasserstein", RED, ha="center")
    axes.set(
        xlabel="probability of heads of the coin between",
        ylabel="detour over direct way",
        ylim=(0, 2.2),
        xlim=(0.05, 0.95),
    )
    axes.set_title("A detour through any coin")
