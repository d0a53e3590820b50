"""The figure of the experiment on minibatches."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vi_toolkit.experiments._figures import note
from vi_toolkit.experiments._minibatch_losses import Run, gradient_differences
from vi_toolkit.experiments.experiment import rounding
from vi_toolkit.plots._style import INK, LINES, PALETTE, style

BLUE, RED, GREEN, PINK, ORANGE = PALETTE[:5]
SHOWN_STEPS = 44  # of the losses: four epochs


def draw_minibatches(runs: Mapping[str, Run]) -> Figure:
    with style():
        figure, ((losses, gradients), (distances, clipped)) = plt.subplots(2, 2, figsize=(11.5, 8.0))
        _draw_losses(losses, runs["fixed target"])
        _draw_gradients(gradients, runs)
        _draw_distances(distances, runs)
        _draw_clipped(clipped, runs["probabilities clipped"])
    return figure


def _draw_losses(axes: Axes, fixed: Run) -> None:
    steps = np.arange(SHOWN_STEPS)
    ce, kl = fixed.losses[:, :SHOWN_STEPS]
    axes.plot(steps, ce, color=BLUE)
    axes.plot(steps, fixed.entropies[:SHOWN_STEPS], color=INK, linestyle=LINES[2])
    axes.plot(steps, kl, color=RED, linestyle=LINES[1])
    note(axes, SHOWN_STEPS, ce[-1], " CE", BLUE, va="center")
    note(axes, SHOWN_STEPS, fixed.entropies[SHOWN_STEPS - 1], " H(p)", INK, va="center")
    note(axes, SHOWN_STEPS, kl[-1], " KL", RED, va="center")
    axes.set(xlabel="batch", ylabel="nats for one wine", xlim=(0, SHOWN_STEPS * 1.12), ylim=(0.0, None))
    axes.set_title("Fixed target: CE = KL + H(p) of the batch")


def _draw_gradients(axes: Axes, runs: Mapping[str, Run]) -> None:
    floor = 0.1 * rounding()
    for (name, each), color, line in zip(runs.items(), (BLUE, RED, GREEN, PINK), LINES, strict=False):
        axes.plot(np.maximum(gradient_differences(each), floor), color=color, linestyle=line, label=name, linewidth=1.5)
    axes.axhline(rounding(), color=INK, linestyle=LINES[2], linewidth=1.2)
    note(axes, 1, 0.2 * rounding(), "rounding", INK, va="top", fontsize=9)
    axes.set_yscale("log")
    axes.set_ylim(0.02 * rounding(), 100.0)
    axes.legend(loc="center right", bbox_to_anchor=(1.02, 0.5))
    axes.set(xlabel="batch", ylabel="|g(CE) - g(KL)| / |g(CE)|")
    axes.set_title("Do the gradients differ?")


def _draw_distances(axes: Axes, runs: Mapping[str, Run]) -> None:
    fixed, own, swapped = (runs[name].distances for name in list(runs)[:3])
    lines = (
        (fixed[0], BLUE, LINES[0], "CE, and KL (dots), fixed target"),
        (own[0], RED, LINES[1], "CE, target carries gradients"),
        (own[1], ORANGE, LINES[3], "KL, target carries gradients"),
        (swapped[1], GREEN, LINES[2], "KL, arguments swapped"),
    )
    for path, color, line, name in lines:
        axes.plot(path, color=color, linestyle=line, label=name)
    steps = np.arange(0, len(fixed[1]), 8)
    axes.plot(steps, fixed[1][steps], "o", color=BLUE, markersize=4.5)
    axes.legend(loc="upper right")
    axes.set(xlabel="step", ylabel="D(p‖q) over all wines (nats)", ylim=(0.2, None))
    axes.set_title("Where they lead")


def _draw_clipped(axes: Axes, clipped: Run) -> None:
    logits, clip = clipped.distances
    axes.plot(logits, color=BLUE)
    axes.plot(clip, color=PINK, linestyle=LINES[3])
    note(axes, 40, float(logits[40]) + 1.5, "CE from logits", BLUE)
    note(axes, 108, float(clip[-1]) - 1.5, "KL from clipped probabilities", PINK, ha="right", va="top")
    axes.set(xlabel="step", ylabel="D(p‖q) over all wines (nats)", ylim=(0.0, None))
    axes.set_title("From a start that is sure of the wrong classes")
