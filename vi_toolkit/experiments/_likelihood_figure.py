"""The figure of the experiment on cross-entropy and likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.special import expit

from vi_toolkit import datasets
from vi_toolkit.experiments._figures import arrow_between, note
from vi_toolkit.experiments._likelihood_limits import WIDTHS, Limits, Widths
from vi_toolkit.experiments._likelihood_models import cross_entropy, divergence
from vi_toolkit.experiments._likelihood_routes import Solved, as_arrays, as_likelihood
from vi_toolkit.experiments._minimise import evaluate
from vi_toolkit.experiments.experiment import rounding
from vi_toolkit.plots._style import FAINT, INK, LINES, MARKERS, PALETTE, style

BLUE, RED, GREEN = PALETTE[:3]
KINDS = tuple(zip(("value", "gradient", "minimiser"), PALETTE, MARKERS, strict=False))


def draw_likelihood(solved: Sequence[Solved], limits: Limits, widths: Widths) -> Figure:
    with style():
        figure, ((losses, differences), (curves, cells)) = plt.subplots(2, 2, figsize=(11.5, 8.0))
        _draw_losses(losses, solved[1])
        _draw_differences(differences, solved)
        _draw_curves(curves, solved[1], limits)
        _draw_cells(cells, solved[3], widths)
    return figure


def _draw_losses(axes: Axes, beetles: Solved) -> None:
    """The three losses along the slope of the dose."""
    slopes, best, arrays = np.linspace(0.6, 5.0, 45), beetles.best.theta, as_arrays(beetles.cells)
    likelihood = as_likelihood(beetles.model)

    def along(loss: Any, *data: Any) -> np.ndarray:
        return np.array([evaluate(loss, np.array([best[0], slope]), *data).value for slope in slopes])

    ce = along(cross_entropy(beetles.model.log_q), *arrays)
    kl = along(divergence(beetles.model.log_q), *arrays)
    axes.plot(slopes, ce, color=BLUE)
    axes.plot(slopes[::3], along(*likelihood)[::3], color=INK, marker="o", markersize=4.5, linestyle="")
    axes.plot(slopes, kl, color=RED, linestyle=LINES[1])
    axes.axvline(best[1], color=FAINT, linewidth=1.0, zorder=0)
    note(axes, 4.9, float(ce[-1]) + 0.015, "cross-entropy (line) and NLL (dots)", BLUE, ha="right")
    note(axes, 4.9, float(kl[-1]) + 0.015, "D(p̂‖q)", RED, ha="right")
    low, high = float(np.interp(4.0, slopes, kl)), float(np.interp(4.0, slopes, ce))
    arrow_between(axes, (4.0, low), (4.0, high))
    note(axes, 3.92, 0.5 * (low + high), f"H(p̂) = {beetles.entropy:.4f}\nat every slope", INK, va="center", ha="right")
    note(axes, best[1] + 0.06, 0.07, "one minimum", INK)
    axes.set(
        xlabel="slope of the standardised dose",
        ylabel="nats for one beetle",
        xlim=(0.6, 5.0),
        ylim=(0.0, 0.6),
        title="Three losses, one minimum (beetles, soft targets)",
    )


def _draw_differences(axes: Axes, solved: Sequence[Solved]) -> None:
    """How far values, gradients and minimisers are apart, on a logarithmic axis that begins far below rounding."""
    floor = rounding() * 0.1
    kinds = [Line2D([], [], color=c, marker=m, linestyle="", markersize=7, label=kind) for kind, c, m in KINDS]
    for row, each in enumerate(solved):
        for offset, (kind, color, marker) in zip((-0.22, 0.0, 0.22), KINDS, strict=True):
            worst = max(getattr(route, kind) for route in each.routes)
            axes.plot(max(worst, floor), row + offset, color=color, marker=marker, markersize=7, linestyle="")
    axes.axvline(rounding(), color=INK, linestyle=LINES[2], linewidth=1.4)
    axes.text(rounding() * 1.25, len(solved) - 0.42, "rounding", va="bottom", color=INK, fontsize=9.5)
    axes.set_xscale("log")
    axes.set_xlim(floor * 0.7, 1e4 * rounding())
    axes.set_ylim(len(solved) - 0.2, -0.6)
    axes.set_yticks(range(len(solved)), [each.model.name for each in solved])
    axes.legend(handles=kinds, loc="lower right")
    axes.set_xlabel("minimising CE or KL: largest difference from ML")
    axes.set_title("Five models: the same to rounding")


def _draw_curves(axes: Axes, beetles: Solved, limits: Limits) -> None:
    """Where it stops: other curves for the same beetles."""
    dose = datasets.BEETLES_LOG_DOSE
    grid = np.linspace(dose.min() - 0.02, dose.max() + 0.03, 200)
    x = (grid - dose.mean()) / dose.std()
    shown = (
        ("maximum likelihood", beetles.best.theta, INK, LINES[0]),
        ("targets smoothed", limits.routes[0].minimum.theta, BLUE, LINES[1]),
        ("with a prior: MAP", limits.routes[1].minimum.theta, GREEN, LINES[2]),
        ("targets half the model's own", limits.routes[2].minimum.theta, RED, LINES[3]),
    )
    for name, theta, color, line in shown:
        axes.plot(grid, expit(theta[0] + theta[1] * x), color=color, linestyle=line, label=name)
    axes.plot(
        dose, datasets.BEETLES_KILLED / datasets.BEETLES_EXPOSED, "o", color=INK, markersize=6, label="share that died"
    )
    axes.legend(loc="lower right")
    axes.set(xlabel="log10 of the dose (mg/l)", ylabel="probability of death", ylim=(-0.02, 1.04))
    axes.set_title("Where it stops being true")


def _draw_cells(axes: Axes, regression: Solved, widths: Widths) -> None:
    """The divergence from an empirical distribution of a continuous response grows as the cells get narrow."""
    width, best = np.array(WIDTHS), regression.best.value
    axes.plot(width, widths.divergence, color=RED, marker="s", markersize=5, linestyle=LINES[1])
    axes.plot(width, widths.divergence + np.log(width), color=BLUE, marker="o", markersize=5)
    axes.axhline(best, color=FAINT, linewidth=1.0, zorder=0)
    axes.set_xscale("log")
    axes.invert_xaxis()
    note(axes, 0.13, 7.7, "D(p̂‖q), to infinity", RED, ha="right")
    note(axes, 0.012, best - 0.3, f"D(p̂‖q) + log width,\nNLL = {best:.4f}", BLUE, ha="right", va="top")
    axes.set(xlabel="width of a cell (points): narrower to the right", ylabel="nats for one patient")
    axes.set_ylim(0.0, None)
    axes.set_title("Continuous data: KL is finite only with cells")
