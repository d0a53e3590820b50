"""The figure of the experiment with both sides free."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import entr, softmax, xlogy

from vi_toolkit.experiments._figures import note
from vi_toolkit.experiments._free_descent import Descent
from vi_toolkit.plots._style import INK, LINES, PALETTE, style

BLUE, RED = PALETTE[:2]
LEVELS = np.array([0.0, 0.05, 0.2, 0.5, 1.0, 2.0, 4.0])  # nats


def draw_both_sides_free(coin: Descent, categorical: Descent, gaussian: Descent) -> Figure:
    with style():
        figure, ((valley, corners), (outcomes, line)) = plt.subplots(2, 2, figsize=(11.5, 9.2))
        heads = np.linspace(0.002, 0.998, 250)
        p, q = np.meshgrid(heads, heads)
        cross = -xlogy(p, q) - xlogy(1 - p, 1 - q)
        divergence = cross - entr(p) - entr(1 - p)
        _draw_square(valley, heads, divergence, coin.paths[0], BLUE, "D(p‖q): a valley, wherever p = q")
        _draw_square(corners, heads, cross, coin.paths[1], RED, "H(p, q): two corners, both of them points")
        _draw_categorical(outcomes, categorical)
        _draw_gaussian(line, gaussian)
    return figure


def _draw_square(axes: Axes, heads: np.ndarray, loss: np.ndarray, paths: np.ndarray, color: str, title: str) -> None:
    """The loss over all pairs of coins, and the way down from each start."""
    axes.contourf(heads, heads, loss, levels=LEVELS, cmap="Greys", alpha=0.5, extend="max")
    lines = axes.contour(heads, heads, loss, levels=LEVELS[1:], colors=INK, linewidths=0.6)
    axes.clabel(lines, fontsize=8, fmt="%g")
    for path in paths:
        p, q = softmax(path, axis=-1)[:, :, 0].T
        axes.plot(p, q, color=color)
        axes.plot(p[0], q[0], "o", color=color, markerfacecolor="white", markersize=7)
        axes.plot(p[-1], q[-1], "o", color=color, markersize=8, clip_on=False, zorder=5)
    axes.set(xlabel="p: probability of heads", ylabel="q: probability of heads", title=title)
    axes.set_aspect("equal")
    axes.set(xlim=(0, 1), ylim=(0, 1))


def _draw_categorical(axes: Axes, categorical: Descent) -> None:
    steps = 1 + np.arange(categorical.entropies.shape[2])
    _draw_entropies(axes, steps, categorical)
    axes.set_xscale("log")
    axes.axhline(0.0, color=INK, linewidth=0.8)
    note(axes, 3000, 1.3, "minimising D(p‖q)", BLUE, ha="right", va="top")
    note(axes, 1.2, 0.7, "minimising\nH(p, q)", RED)
    axes.set(xlabel="step", ylabel="entropy of p (nats)", ylim=(-0.05, 2.2), title="Eight outcomes")


def _draw_gaussian(axes: Axes, gaussian: Descent) -> None:
    _draw_entropies(axes, np.arange(gaussian.entropies.shape[2]), gaussian)
    note(axes, 195, 3.1, "minimising D(p‖q)", BLUE, ha="right")
    note(axes, 90, -6.0, "minimising H(p, q),\nwithout end", RED, ha="right", va="top")
    axes.set(xlabel="step", ylabel="entropy of p (nats)", ylim=(None, 4.2), title="Gaussians: differential entropy")


def _draw_entropies(axes: Axes, steps: np.ndarray, descent: Descent) -> None:
    for entropies, color, line in zip(descent.entropies, (BLUE, RED), LINES, strict=False):
        for each in entropies:
            axes.plot(steps, each, color=color, linestyle=line, linewidth=1.5)
