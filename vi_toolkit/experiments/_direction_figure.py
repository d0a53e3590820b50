"""The figure of the experiment on directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import logsumexp
from scipy.stats import norm, t

from vi_toolkit import zoo
from vi_toolkit.experiments._bifurcation import Branches
from vi_toolkit.experiments._direction_fits import DIRECTIONS, FAMILIES, Fitted
from vi_toolkit.experiments._direction_measures import components
from vi_toolkit.experiments._direction_targets import (
    BANANA_SD,
    BIMODAL_MEANS,
    BIMODAL_WEIGHTS,
    CURVATURE,
    TAIL_DEGREES,
)
from vi_toolkit.experiments._figures import note
from vi_toolkit.plots._densities import mesh, region_levels
from vi_toolkit.plots._style import (
    EXACT_DARK,
    EXACT_EDGE,
    EXACT_FILL,
    FAINT,
    INK,
    LINES,
    PALETTE,
    Look,
    exact_handle,
    legend_below,
    method_handle,
    style,
)

Fits = Mapping[tuple[str, str, str], Fitted]
LOOKS = {DIRECTIONS[0]: Look(PALETTE[0], LINES[0], ""), DIRECTIONS[1]: Look(PALETTE[1], LINES[1], "")}
BLUE, RED = (look.color for look in LOOKS.values())


def draw_directions(fits: Fits, branches: Branches) -> Figure:
    with style():
        figure, ((modes, *upper), (sweep, *lower)) = plt.subplots(2, 3, figsize=(13.5, 8.2))
        _draw_modes(modes, fits)
        _draw_sweep(sweep, branches)
        for (banana, tail), family in zip((upper, lower), FAMILIES, strict=True):
            _draw_banana(banana, fits, family)
            _draw_tail(tail, fits, family)
        names = {DIRECTIONS[0]: "q that minimises D(p‖q)", DIRECTIONS[1]: "q that minimises D(q‖p)"}
        legend_below(figure, [exact_handle("p"), *(method_handle(names[d], look) for d, look in LOOKS.items())])
    return figure


def _draw_modes(axes: Axes, fits: Fits) -> None:
    x = np.linspace(-9.0, 9.0, 500)
    p = BIMODAL_WEIGHTS @ norm.pdf(x, BIMODAL_MEANS[:, None])
    axes.fill_between(x, p, color=EXACT_FILL, linewidth=0)
    axes.plot(x, p, color=EXACT_EDGE, linewidth=1.0)
    for direction, look in LOOKS.items():
        for rank, optimum in enumerate(fits["two modes", "one Gaussian", direction].optima):
            width = 2.2 if rank == 0 else 1.0
            axes.plot(x, _line_density(optimum.theta, x), color=look.color, linestyle=look.linestyle, linewidth=width)
    axes.set(xlabel="x", ylabel="density", ylim=(0.0, 0.48), xlim=(-9, 9), title="Two modes, one Gaussian")
    note(axes, -8.8, 0.44, "thin: other local optima", RED)


def _draw_sweep(axes: Axes, branches: Branches) -> None:
    """Every solution's mean over the separation of two equal modes."""
    fold, takeover = branches.fold, branches.takeover
    end = float(branches.separations[-1])
    narrow = branches.off_sds <= fold[2]
    for sign in (-1.0, 1.0):
        axes.plot([0, end], [0, sign * end / 2], color=FAINT, linewidth=1.0)
        for chosen, width, line in ((narrow, 1.0, LINES[1]), (~narrow, 1.2, LINES[2])):
            s = np.append(branches.off_separations[chosen], fold[0])
            m = np.append(branches.off_means[chosen], fold[1])
            order = np.argsort(s)
            axes.plot(s[order], sign * m[order], color=RED, linewidth=width, linestyle=line)
        best = narrow & (branches.off_separations >= takeover[0])
        s, m = branches.off_separations[best], branches.off_means[best]
        axes.plot(np.append(s, takeover[0]), sign * np.append(m, takeover[1]), color=RED, linewidth=3.0)
    axes.plot([0, takeover[0]], [0, 0], color=RED, linewidth=4.5)
    axes.plot([takeover[0], end], [0, 0], color=RED, linewidth=1.0, linestyle=LINES[1])
    axes.plot(np.arange(0.25, end, 0.5), np.zeros(16), "o", color=BLUE, markersize=3.5)
    for at, words in ((fold[0], f"born at\ns = {fold[0]:.3f}"), (takeover[0], f" best from\n s = {takeover[0]:.3f}")):
        axes.axvline(at, color=INK, linewidth=0.8, linestyle=LINES[2])
        note(axes, at, 4.25, words, INK, ha="right" if at == fold[0] else "left", va="top", fontsize=9)
    note(axes, 1.3, 0.15, "D(q‖p): thick is the best", RED, fontsize=9)
    note(axes, 1.3, -0.15, "D(p‖q), dots: always mean 0", BLUE, va="top", fontsize=9)
    note(axes, 0.15, -3.9, "grey: the modes.  dotted: saddles", INK, fontsize=9)
    axes.set(xlabel="separation s of two equal modes", ylabel="mean of q", xlim=(0, end), ylim=(-4.3, 4.3))
    axes.set_title("Reverse KL: the mean jumps")


def _draw_banana(axes: Axes, fits: Fits, family: str) -> None:
    x, y = np.linspace(-6.5, 6.5, 220), np.linspace(-7.5, 14.0, 260)
    points = jnp.asarray(mesh(x, y), jnp.result_type(float))
    target = zoo.banana(curvature=CURVATURE, sd=BANANA_SD).target
    p = _density(jax.vmap(target.log_density)(points)).reshape(len(y), len(x))
    wide, narrow = region_levels(p)
    axes.contourf(x, y, p, levels=[wide, narrow, p.max() * 1.01], colors=[EXACT_FILL, EXACT_DARK])
    for direction, look in LOOKS.items():
        theta = jnp.asarray(fits["banana", family, direction].best.theta, points.dtype)
        q = _density(FAMILIES[family](theta, points)).reshape(p.shape)
        axes.contour(
            x, y, q, levels=region_levels(q), colors=look.color, linestyles=[look.linestyle], linewidths=[1.2, 2.2]
        )
    axes.set(xlabel="$z_0$", ylabel="$z_1$", title=f"Banana, {family}: 50 % and 90 % regions")


def _draw_tail(axes: Axes, fits: Fits, family: str) -> None:
    x = np.linspace(-12.0, 12.0, 500)
    axes.fill_between(x, t.pdf(x, TAIL_DEGREES), 1e-9, color=EXACT_FILL, linewidth=0)
    for direction, look in LOOKS.items():
        theta = fits["heavy tail", family, direction].best.theta
        axes.plot(x, _line_density(theta, x), color=look.color, linestyle=look.linestyle, linewidth=2.2)
    axes.set_yscale("log")
    axes.set(
        xlabel="x",
        ylabel="density",
        xlim=(-12, 12),
        ylim=(1e-7, 1.0),
        title=f"Student-t, 3 degrees of freedom, {family}",
    )


def _line_density(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    weights, means, sds = components(theta)
    return np.asarray(np.exp(logsumexp(norm.logpdf(x[:, None], means, sds), axis=1, b=weights)))


def _density(log_density: Any) -> np.ndarray:
    return np.exp(np.asarray(log_density, np.float64))
