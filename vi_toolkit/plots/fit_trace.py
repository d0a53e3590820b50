"""How a fit went: its loss over the steps, and what made it stop."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vi_toolkit._checks import check_instance
from vi_toolkit.fit import Fit
from vi_toolkit.plots._style import FAINT, INK, PALETTE, legend_below, style
from vi_toolkit.stopping import TOLERANCE
from vi_toolkit.tree.course import Course, course_of_fit
from vi_toolkit.windows import Status

SMOOTHING_SHARE = 100  # the running mean spans one step in so many
DASHED = (0, (5, 2))
DASH_DOT = (0, (6, 1.5, 1, 1.5))
MARKS: tuple[tuple[str, str, Any], ...] = ((PALETTE[1], "o", "-"), (PALETTE[2], "s", DASHED))
SMALLEST = 1e-12  # nats; a guide that stands exactly still is drawn here
TITLE = 85  # characters in a line
TALL = 20.0  # the first steps are left outside when they would make the panel so many times taller


def plot_fit(fit: Fit) -> Figure:
    """Draws the course of a fit.

    The upper panel shows what was optimised, in nats: the ELBO where that is the objective, else the loss; every step
    faintly, their running mean on top, the ends of windows as vertical lines, and why the fit stopped. The panel
    below shows what the stopping rule looks at, on a logarithmic axis: how far the averaged guide moved since
    the window before (*change*) and how far apart the two halves of a window are (*noise*); the fit ends once both
    are under the tolerance, or once both are small and going on would cost too much. A method that knows its own end
    shows there what it goes by, such as the length of the next step. Where the objective weighs draws, a third panel
    shows their effective share.

    Args:
        fit: from `vi.fit`.

    Returns:
        A matplotlib figure: ``figure.savefig("fit.png")``.

    Raises:
        TypeError: if ``fit`` is something else.
        ValueError: if the fit has taken no step.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> from vi_toolkit.plots import plot_fit
        >>> fit = vi.fit(jax.random.key(0), vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2), max_steps=200)
        >>> [axes.get_ylabel() for axes in plot_fit(fit).axes]
        ['ELBO (nats)', 'nats']
    """
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    return draw_course(course_of_fit(fit))


def draw_course(course: Course) -> Figure:
    """The figure of `plot_fit`."""
    if not len(course.history["loss"]):
        raise ValueError("fit: it has taken no step, so there is nothing to draw.")
    drawn = [(1.5, _draw_objective)]
    drawn += [(1.0, _draw_distances)] if course.distances else []
    drawn += [(0.8, _draw_ess)] if "ess" in course.history else []
    heights = [height for height, _ in drawn]
    with style():
        figure, grid = plt.subplots(
            len(drawn), 1, sharex=True, figsize=(7.5, 2.3 * sum(heights)), height_ratios=heights, squeeze=False
        )
        panels = list(grid[:, 0])
        for axes, (_, draw) in zip(panels, drawn, strict=True):
            draw(axes, course)
        panels[-1].set_xlabel("step")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.align_ylabels(panels)
        legend_below(figure, _handles(course))
    return figure


def _draw_objective(axes: Axes, course: Course) -> None:
    name, values = _objective(course)
    steps = np.arange(1, len(values) + 1)
    smoothed = running_mean(values, max(len(values) // SMOOTHING_SHARE, 1))
    axes.plot(steps, values, color=FAINT, linewidth=0.7)
    axes.plot(steps, smoothed, color=PALETTE[0], marker="o" if len(values) == 1 else None)
    _mark_windows(axes, course)
    if name == "ELBO" and course.log_evidence is not None:
        axes.axhline(float(course.log_evidence), color=INK, linestyle=(0, (1, 1.2)), linewidth=1.2)
    axes.set_ylabel(f"{name} (nats)")
    low, high, cut = _y_range(values, smoothed)
    if name == "ELBO" and course.log_evidence is not None:
        evidence = float(course.log_evidence)
        high = max(high, evidence + 0.05 * (high - low)) if evidence - high < high - low else high
    if np.isfinite([low, high]).all():
        axes.set_ylim(low, high)
    title = f"{course.status.name} after {course.num_steps:,} steps: {course.status.value}"
    title += f" (first step: {values[0]:.3g}, outside the panel)" if cut else ""
    axes.set_title(textwrap.fill(title, TITLE))


def _objective(course: Course) -> tuple[str, np.ndarray]:
    """What was optimised, under its own name and sign."""
    loss = np.asarray(course.history["loss"], dtype=float)
    elbo = course.history.get("elbo")
    if elbo is not None and np.allclose(-loss, elbo, equal_nan=True):
        return "ELBO", np.asarray(elbo, dtype=float)
    return "loss", loss


def _y_range(values: np.ndarray, smoothed: np.ndarray) -> tuple[float, float, bool]:
    """The range of the panel: all of it, or the later part where the first steps would flatten the rest."""
    late = values[len(values) // 5 :]
    late = late[np.isfinite(late)]
    if not len(late):
        return np.nan, np.nan, False
    low, high = np.quantile(late, [0.001, 0.999])
    span = max(high - low, 1e-3 * max(abs(high), 1.0))
    finite = values[np.isfinite(values)]
    whole = (float(finite.min()), float(finite.max()))
    if whole[1] - whole[0] <= TALL * span:
        margin = 0.05 * max(whole[1] - whole[0], span)
        return whole[0] - margin, whole[1] + margin, False
    return float(low - 0.5 * span), float(high + 0.5 * span), True


def _draw_distances(axes: Axes, course: Course) -> None:
    """What the fit goes by: window by window, or step by step where the method knows its own end."""
    for (name, _), (color, marker, line) in zip(course.distances, MARKS, strict=False):
        values = np.asarray(course.history[name], dtype=float)
        at = np.arange(1, len(values) + 1) if course.ends_itself else course.history["window_end"]
        known = np.isfinite(values)
        axes.plot(
            at[known], np.maximum(values[known], SMALLEST), color=color, marker=marker, markersize=4.5, linestyle=line
        )
    axes.set_yscale("log")
    axes.set_ylabel("nats")
    if course.ends_itself:
        axes.set_title("what is left to do")
    else:
        axes.axhline(tolerance(course.dim), color=INK, linestyle=DASH_DOT, linewidth=1.2)
        axes.set_title("distance between averaged guides" + _why_above(course))
    _mark_windows(axes, course)


def _why_above(course: Course) -> str:
    """A word where a fit has converged above the tolerance."""
    last = max(course.history[name][-1] for name in ("change", "noise")) if len(course.history["change"]) else 0.0
    above = course.status is Status.CONVERGED and last > tolerance(course.dim)
    return "  (small enough: less would cost more than all steps)" if above else ""


def _draw_ess(axes: Axes, course: Course) -> None:
    share = 100.0 * np.asarray(course.history["ess"], dtype=float)
    steps = np.arange(1, len(share) + 1)
    axes.plot(steps, share, color=FAINT, linewidth=0.7)
    axes.plot(steps, running_mean(share, max(len(share) // SMOOTHING_SHARE, 1)), color=PALETTE[0])
    axes.set_ylim(0.0, 100.0)
    axes.set_ylabel("%")
    axes.set_title("effective share of the weighted draws")
    _mark_windows(axes, course)


def tolerance(dim: int) -> float:
    """What both change and noise must stay under: four times the tolerance on the error of the average, in nats."""
    return 4.0 * TOLERANCE * max(dim, 2)


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """The mean of the last ``width`` finite values at every step; NaN where there is none."""
    finite = np.isfinite(values)
    total = np.cumsum(np.where(finite, values, 0.0))
    count = np.cumsum(finite)
    total[width:], count[width:] = total[width:] - total[:-width], count[width:] - count[:-width]
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)


def _mark_windows(axes: Axes, course: Course) -> None:
    for end in course.history["window_end"]:
        axes.axvline(end, color="#DDDDDD", linewidth=0.8, zorder=0)
    axes.axvline(course.num_steps, color=INK, linewidth=1.4, zorder=0)


def _handles(course: Course) -> list[Any]:
    handles = [
        Line2D([], [], color=FAINT, linewidth=0.9, label="every step"),
        Line2D([], [], color=PALETTE[0], label="running mean"),
    ]
    if not course.ends_itself:
        handles.append(Line2D([], [], color="#DDDDDD", linewidth=1.2, label="end of a window"))
    for (_, label), (color, marker, line) in zip(course.distances, MARKS, strict=False):
        handles.append(Line2D([], [], color=color, marker=marker, markersize=4.5, linestyle=line, label=label))
    if not course.ends_itself:
        handles.append(Line2D([], [], color=INK, linestyle=DASH_DOT, linewidth=1.2, label="tolerance for both"))
    handles.append(Line2D([], [], color=INK, linewidth=1.4, label="where it stopped"))
    if _objective(course)[0] == "ELBO" and course.log_evidence is not None:
        handles.insert(2, Line2D([], [], color=INK, linestyle=(0, (1, 1.2)), linewidth=1.2, label="log evidence"))
    return handles
