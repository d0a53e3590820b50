"""Noise and bias of gradients, objective by objective, at a point or along a fit."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from vi_toolkit._checks import check_instance
from vi_toolkit.gradient_variance import GradientVariance
from vi_toolkit.plots._style import EXACT_FILL, INK, PALETTE, Look, legend_below, looks, style

FAR = 1e12  # values so many times below or above the median are rounding or without a bound: drawn at the edge
EDGE = 3.0  # how far beyond the other values the edge is, as a factor

_TITLES = {
    "variance x work": "variance × work",
    "signal to noise": "signal to noise of one estimate",
    "bias": "bias",
}


def plot_gradient_variance(result: GradientVariance) -> Figure:
    """Draws how noisy the gradients of several objectives are, for the same work.

    At one point, a row for each objective, the least noisy first: variance times work with twice its standard error
    (the smaller the better: for the same budget of log-density gradients). A hollow mark at the left edge stands for no
    noise but rounding, a hollow triangle at the right edge for a variance without any bound to speak of.

    Along several points, a line for each objective over the points, and below it the signal to noise of one estimate.
    Where there is a reference, a last panel shows the bias. It is not told from zero where it lies within the grey bar,
    twice its standard error; along several points, where it has no cross.

    Args:
        result: from `vi.gradient_variance`.

    Returns:
        A matplotlib figure: ``figure.savefig("gradient_variance.png")``.

    Raises:
        TypeError: if ``result`` is something else.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum((z - 1.0) ** 2), dim=1)
        >>> objectives = {"STL": vi.ReverseKL(), "score": vi.ReverseKL(vi.estimators.score_function)}
        >>> found = vi.gradient_variance(jax.random.key(0), target, vi.MeanFieldNormal(), objectives, repeats=100)
        >>> [label.get_text() for label in vi.plot_gradient_variance(found).axes[0].get_yticklabels()]
        ['STL', 'score']
    """
    check_instance(result, GradientVariance, "result", "Pass what vi.gradient_variance returned.")
    with style():
        if result.table["point"].nunique() == 1:
            return _draw_point(result)
        return _draw_points(result)


def _draw_point(result: GradientVariance) -> Figure:
    table = result.table.sort_values("variance x work", kind="stable", na_position="last")
    has_bias = "bias" in table
    size = (10.5 if has_bias else 7.0, 1.6 + 0.36 * len(table))
    figure, panels = plt.subplots(1, 2 if has_bias else 1, sharey=True, figsize=size, squeeze=False)
    _draw_variances(panels[0, 0], table)
    handles: list[Artist] = [_handle("variance × work, ± 2 standard errors")]
    edges = _place(table["variance x work"])[1]
    if (edges < 0).any():
        handles.append(_handle("no noise", marker="o"))
    if (edges > 0).any():
        handles.append(_handle("far beyond", marker=">"))
    if has_bias:
        _draw_biases(panels[0, 1], table, result.reference or "")
        handles.append(Patch(facecolor=EXACT_FILL, label="2 standard errors of the bias"))
    point = table["point"].iloc[0]
    where = {"start": "the start of a fit", "end": "the end of the fit"}.get(point, point)
    figure.suptitle(f"Gradients at {where}", x=0.01, ha="left", fontsize=12)
    legend_below(figure, handles)
    return figure


def _draw_variances(axes: Axes, table: pd.DataFrame) -> None:
    rows = np.arange(len(table))
    places, edges = _place(table["variance x work"])
    errors = np.where(edges, 0.0, 2 * (table["variance se"] * table["work"]).to_numpy())
    low = np.minimum(errors, 0.9 * places)  # the axis is logarithmic
    for row in range(len(table)):
        axes.axhline(row, color="#EEEEEE", linewidth=1.0, zorder=0)
    axes.errorbar(
        places[edges == 0], rows[edges == 0], xerr=np.stack([low, errors])[:, edges == 0],
        fmt="o", color=PALETTE[0], markersize=6, elinewidth=1.6,
    )  # fmt: skip
    for side, marker in ((-1, "o"), (1, ">")):
        at = edges == side
        axes.plot(places[at], rows[at], marker, markerfacecolor="white", markeredgecolor=PALETTE[0], markersize=7)
    axes.set_xscale("log")
    axes.set_yticks(rows, list(table["objective"]))
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_xlabel("nats² × log-density gradients")
    axes.set_title(_TITLES["variance x work"])


def _draw_biases(axes: Axes, table: pd.DataFrame, reference: str) -> None:
    rows = np.arange(len(table))
    errors = 2 * table["bias se"].to_numpy()
    axes.barh(rows, errors, height=0.55, color=EXACT_FILL)
    axes.plot(table["bias"], rows, "o", color=PALETTE[1], markersize=6)
    axes.set_xscale("symlog", linthresh=_linear_part(table))
    axes.set_xlim(left=0.0)
    axes.set_xlabel("nats")
    axes.set_title(f"bias against {reference}")


def _linear_part(table: pd.DataFrame) -> float:
    """Where the logarithmic axis of the biases turns linear towards zero."""
    values = table[["bias", "bias se"]].to_numpy().ravel()
    largest = float(np.nanmax(values, initial=0.0)) or 1.0
    shown = values[values > 1e-6 * largest]
    return float(np.nanmin(shown)) / 2 if len(shown) else largest


def _draw_points(result: GradientVariance) -> Figure:
    table = result.table
    columns = ["variance x work", "signal to noise", *(["bias"] if "bias" in table else [])]
    figure, panels = plt.subplots(len(columns), 1, sharex=True, figsize=(8.0, 1.0 + 2.7 * len(columns)))
    styles = looks(table["objective"].unique())
    names = list(table["point"].unique())
    for axes, column in zip(panels, columns, strict=True):
        for name, look in styles.items():
            _draw_line(axes, table[table["objective"] == name], column, look, table[column])
        axes.set_yscale("log")
        axes.set_title(_TITLES[column] + (f" against {result.reference}" if column == "bias" else ""))
        axes.set_xticks(range(len(names)), names)
    units = {"variance x work": "nats² × gradients", "signal to noise": "ratio", "bias": "nats"}
    for axes, column in zip(panels, columns, strict=True):
        axes.set_ylabel(units[column])
    figure.align_ylabels(panels)
    handles: list[Artist] = [
        Line2D([], [], color=look.color, linestyle=look.linestyle, marker=look.marker, markersize=5, label=name)
        for name, look in styles.items()
    ]
    if "bias" in table:
        handles.append(Line2D([], [], color=INK, marker="x", linestyle="", label="bias above 2 standard errors"))
    legend_below(figure, handles)
    return figure


def _draw_line(axes: Axes, rows: pd.DataFrame, column: str, look: Look, everything: pd.Series) -> None:
    places, edges = _place(rows[column], everything)
    at, silent = np.arange(len(rows)), edges != 0
    axes.plot(at, places, color=look.color, linestyle=look.linestyle, marker=look.marker, markersize=5)
    axes.plot(
        at[silent], places[silent], look.marker, markerfacecolor="white", markeredgecolor=look.color, markersize=7
    )
    if column == "bias":
        told = (rows["bias"] > 2 * rows["bias se"]).to_numpy() & ~silent
        axes.plot(at[told], places[told], "x", color=INK, markersize=9)


def _place(values: pd.Series, everything: pd.Series | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Where values stand on a logarithmic axis, and which stand at its lower (-1) or its upper edge (1)."""
    among = (values if everything is None else everything).to_numpy(float)
    positive = among[(among > 0) & np.isfinite(among)]
    middle = float(np.median(positive)) if len(positive) else 1.0
    shown = positive[(positive > middle / FAR) & (positive < middle * FAR)]
    low, high = (shown.min() / EDGE, EDGE * shown.max()) if len(shown) else (middle, middle)
    here = values.to_numpy(float)
    edges = np.where(here <= middle / FAR, -1, np.where(here >= middle * FAR, 1, 0))
    return np.select([edges < 0, edges > 0], [low, high], here), edges


def _handle(label: str, *, marker: str | None = None) -> Line2D:
    """A filled mark, or a hollow one of a shape of its own."""
    face = PALETTE[0] if marker is None else "white"
    return Line2D([], [], color=PALETTE[0], marker=marker or "o", linestyle="", label=label, markerfacecolor=face)
