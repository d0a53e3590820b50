"""Posteriors that are known, side by side in small pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vi_toolkit._checks import check_instance, check_key, check_positive_int
from vi_toolkit._types import Key
from vi_toolkit.exact import DiscretePosterior, ExactPosterior
from vi_toolkit.plots._densities import mesh, smooth_plane, target_density, window
from vi_toolkit.plots._forest import most_correlated
from vi_toolkit.plots._low_dim import fill_line, fill_regions
from vi_toolkit.plots._style import EXACT_DARK, INK, PALETTE, no_y_ticks, style
from vi_toolkit.tree.coordinates import flat_columns

PANEL = (2.5, 2.2)  # inches
LINE_POINTS, PLANE_POINTS = 400, 120
MAX_BARS = 12
TITLE = 24  # characters in a line


def plot_gallery(
    key: Key, posteriors: Mapping[str, ExactPosterior | DiscretePosterior], *, columns: int = 4, num_draws: int = 20_000
) -> Figure:
    """Draws each posterior in a panel of its own: a density, a plane, or the probabilities of states.

    - One dimension: the density. Two: the regions of highest density that hold 50 % and 90 % of the mass, from the
      density itself; more: those of the two most correlated coordinates, from draws. All on the unconstrained space.
      Modes are marked where they are known.
    - Discrete unknowns: the probability of each state, one column an unknown where there are several.

    Args:
        key: a JAX random key, for the draws.
        posteriors: {title: posterior}, such as ``vi.exact.gallery()``.
        columns: panels in a row.
        num_draws: draws of each posterior.

    Returns:
        A matplotlib figure: ``figure.savefig("gallery.png")``.

    Raises:
        TypeError: if a posterior is something else.
        ValueError: if there is none.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> from vi_toolkit.plots import plot_gallery
        >>> figure = plot_gallery(jax.random.key(0), {"banana": vi.zoo.banana()}, num_draws=500)
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['z[1]']
    """
    check_key(key)
    columns = check_positive_int(columns, "columns")
    check_instance(posteriors, Mapping, "posteriors", "Write for example vi.exact.gallery().")
    for name, posterior in posteriors.items():
        check_instance(posterior, (ExactPosterior, DiscretePosterior), f"posteriors[{name!r}]", "Take one of vi.exact.")
    if not posteriors:
        raise ValueError("posteriors: expected at least one, got none.")
    columns = min(columns, len(posteriors))
    rows = -(-len(posteriors) // columns)
    with style():
        figure, panels = plt.subplots(rows, columns, figsize=(PANEL[0] * columns, PANEL[1] * rows), squeeze=False)
        keys = jax.random.split(key, len(posteriors))
        for axes, own_key, (name, posterior) in zip(panels.flat, keys, posteriors.items(), strict=False):
            if isinstance(posterior, DiscretePosterior):
                _draw_states(axes, posterior.marginals)
            else:
                _draw_density(axes, posterior, np.asarray(posterior.sample(own_key, num_draws), np.float64))
            axes.set_title(textwrap.fill(name, TITLE), fontsize=9.5)
            axes.tick_params(labelsize=7.5)
            axes.xaxis.label.set_size(8.5)
            axes.yaxis.label.set_size(8.5)
        for axes in panels.flat[len(posteriors) :]:
            axes.remove()
    return figure


def _draw_density(axes: Axes, posterior: ExactPosterior, draws: np.ndarray) -> None:
    coordinates = flat_columns(posterior.target, draws, {}, {})
    names = [name.replace(" (unconstrained)", "*") for name in coordinates]
    if posterior.dim == 1:
        _draw_line(axes, posterior, draws[:, 0])
        axes.set_xlabel(names[0])
        return
    pair = [0, 1]
    if posterior.dim > 2:
        pair = [list(coordinates).index(name) for name in most_correlated(coordinates) or list(coordinates)[:2]]
    chosen_draws = draws[:, pair]
    if posterior.dim == 2 and posterior.log_evidence is not None:
        x, y = (np.linspace(*window([column], column), PLANE_POINTS) for column in chosen_draws.T)
        cell = float((x[1] - x[0]) * (y[1] - y[0]))
        density = target_density(posterior.target, mesh(x, y), cell, posterior.log_evidence).reshape(len(y), len(x))
        fill_regions(axes, x, y, density)
    else:
        smoothed = smooth_plane(chosen_draws)
        if smoothed is not None:
            fill_regions(axes, *smoothed)
        axes.set(xlim=window([chosen_draws[:, 0]]), ylim=window([chosen_draws[:, 1]]))
    if posterior.modes is not None and posterior.dim == 2 and len(posterior.modes) <= MAX_BARS:
        axes.plot(*posterior.modes[:, pair].T, "+", color=PALETTE[1], markersize=7, markeredgewidth=1.4)
    axes.set(xlabel=names[pair[0]], ylabel=names[pair[1]])


def _draw_line(axes: Axes, posterior: ExactPosterior, draws: np.ndarray) -> None:
    x = np.linspace(*window([draws], draws), LINE_POINTS)
    density = target_density(posterior.target, x[:, None], float(x[1] - x[0]), posterior.log_evidence)
    fill_line(axes, x, density)
    for mode in posterior.modes if posterior.modes is not None else ():
        axes.axvline(mode[0], color=PALETTE[1], linewidth=1.0)
    axes.set_ylim(bottom=0.0)
    no_y_ticks(axes)


def _draw_states(axes: Axes, marginals: Any) -> None:
    """Bars for one unknown, a map of shades for several: states up, unknowns across."""
    table = np.asarray(marginals).reshape(-1, np.shape(marginals)[-1])
    if len(table) == 1:
        axes.bar(np.arange(table.shape[1]), table[0], color=EXACT_DARK, width=1.0)
        axes.set_xlabel("state")
        no_y_ticks(axes)
        return
    axes.imshow(table.T, aspect="auto", origin="lower", cmap="Greys", vmin=0.0, vmax=1.0, interpolation="nearest")
    axes.set(xlabel="unknown", ylabel="state", yticks=np.arange(table.shape[1]) if table.shape[1] <= MAX_BARS else [])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(INK)
