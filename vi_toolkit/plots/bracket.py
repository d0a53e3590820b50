"""The bounds of the evidence from below and from above, side by side."""

from __future__ import annotations

import textwrap
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from vi_toolkit._checks import check_instance
from vi_toolkit.diagnostics import Diagnosis, Estimate
from vi_toolkit.diagnostics._limits import NUM_SES
from vi_toolkit.diagnostics.weights.bounds import Bracket
from vi_toolkit.plots._style import EXACT_DARK, EXACT_FILL, INK, LINES, PALETTE, legend_below, style

ROW, LINE = 0.42, 0.15  # inches
NOTE = 78  # characters in a line


class Kind(NamedTuple):
    """On which side of log Z an estimate stands, and how it is drawn."""

    words: str
    color: str
    marker: str


BELOW = Kind("a lower bound", PALETTE[0], ">")
AT = Kind("an estimate of log Z", PALETTE[2], "o")
ABOVE = Kind("an upper bound", PALETTE[1], "<")


class Row(NamedTuple):
    """One line of the figure."""

    name: str
    estimate: Estimate
    kind: Kind


def plot_bracket(diagnosis: Diagnosis) -> Figure:
    r"""Draws what is known about the log evidence: bounds below, estimates, bounds above, in nats.

        ELBO <= IWAE_K <= log Z <= CUBO    and, from draws of p,    log Z <= EUBO

    Each with two standard errors; the grey bar runs from the best lower to the best upper bound. Its width is an upper
    bound of D(q‖p) where it begins at the ELBO. The reference's log evidence is a vertical line where it is known. What
    the draws cannot tell is left out, with the reason above the panel. An upper bound that was estimated from draws of
    q alone can lie below log Z where q misses mass.

    Args:
        diagnosis: from `vi.diagnose`.

    Returns:
        A matplotlib figure: ``figure.savefig("bracket.png")``.

    Raises:
        TypeError: if ``diagnosis`` is something else.
        ValueError: if no bound is known and finite.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> exact = vi.exact.beta_binomial(7, 10, a=1.0, b=1.0)
        >>> diagnosis = vi.diagnose(jax.random.key(1), vi.fit(jax.random.key(0), exact.target), reference=exact)
        >>> [label.get_text() for label in vi.plot_bracket(diagnosis).axes[0].get_yticklabels()][:2]
        ['ELBO', 'IWAE, 16 draws']

    Source: Dieng, Tran, Ranganath, Paisley and Blei (2017), Variational inference via chi upper bound minimization,
    arXiv:1611.00328; Burda, Grosse and Salakhutdinov (2016), Importance weighted autoencoders, arXiv:1509.00519.
    """
    check_instance(diagnosis, Diagnosis, "diagnosis", "Pass what vi.diagnose returned.")
    rows = rows_of(diagnosis)
    if not rows:
        raise ValueError("diagnosis: no bound of the log evidence is known, so there is nothing to draw.")
    with style():
        notes = "\n".join(textwrap.fill(note, NOTE) for note in notes_of(diagnosis))
        figure, axes = plt.subplots(figsize=(7.5, 1.9 + ROW * len(rows) + LINE * (notes.count("\n") + 1)))
        _draw_known(axes, diagnosis)
        _draw_rows(axes, rows)
        axes.set_title(notes, fontsize=9)
        figure.suptitle(_title(rows), x=0.01, ha="left", fontsize=12)
        legend_below(figure, _handles(rows, diagnosis))
    return figure


def notes_of(diagnosis: Diagnosis) -> tuple[str, ...]:
    """Why what is not known is not known."""
    return () if diagnosis.bracket is None else diagnosis.bracket.notes


def rows_of(diagnosis: Diagnosis) -> list[Row]:
    """What of the bracket is known and finite, from below to above."""
    bracket = diagnosis.bracket or Bracket()
    every = [
        ("ELBO", bracket.elbo, BELOW),
        (f"IWAE, {bracket.num_importance} draws", bracket.iwae, BELOW),
        ("importance sampling", bracket.log_evidence, AT),
        ("CUBO", bracket.cubo, ABOVE),
        ("EUBO", bracket.eubo, ABOVE),
    ]
    return [Row(name, found, kind) for name, found, kind in every if found is not None and np.isfinite(found.value)]


def _title(rows: list[Row]) -> str:
    below = [row for row in rows if row.kind is BELOW]
    above = [row for row in rows if row.kind is ABOVE]
    if not (below and above):
        return "Log evidence"
    width = min(row.estimate.value for row in above) - max(row.estimate.value for row in below)
    apart = f"the best bounds are {width:.2g} nats apart"
    return f"Log evidence: {apart if width >= 0 else 'the bounds cross, so that an estimate is wrong'}"


def _draw_rows(axes: Axes, rows: list[Row]) -> None:
    below = [row.estimate.value for row in rows if row.kind is BELOW]
    above = [row.estimate.value for row in rows if row.kind is ABOVE]
    if below and above and max(below) < min(above):
        axes.axvspan(max(below), min(above), color=EXACT_FILL, linewidth=0, zorder=0)
    for place, row in enumerate(rows):
        value, se = row.estimate
        error = NUM_SES * se if np.isfinite(se) else 0.0
        axes.errorbar(
            value, place, xerr=error, fmt=row.kind.marker, color=row.kind.color, markersize=8, elinewidth=1.8, capsize=3
        )
    beside = axes.secondary_yaxis("right")
    beside.set_yticks(range(len(rows)), [_number(row.estimate) for row in rows])
    beside.tick_params(axis="y", length=0)
    beside.spines["right"].set_visible(False)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.08)
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("nats")
    axes.spines["left"].set_visible(False)


def _draw_known(axes: Axes, diagnosis: Diagnosis) -> None:
    known, se = diagnosis.reference_log_evidence, diagnosis.reference_log_evidence_se
    if known is None or not np.isfinite(known):
        return
    if se:
        axes.axvspan(known - NUM_SES * se, known + NUM_SES * se, color=EXACT_DARK, alpha=0.4, linewidth=0, zorder=0.2)
    axes.axvline(known, color=INK, linestyle=LINES[2], linewidth=1.4, zorder=0.5)


def _number(estimate: Estimate) -> str:
    value, se = estimate
    if not (np.isfinite(se) and se > 0):
        return f"{value:.4g}"
    digits = int(np.clip(1 - np.floor(np.log10(se)), 0, 6))
    error = f"{se:.{digits}f}" if digits < 6 else f"{se:.1g}"
    return f"{round(value, digits) + 0.0:.{digits}f} ± {error}"


def _handles(rows: list[Row], diagnosis: Diagnosis) -> list[Artist]:
    kinds = [kind for kind in (BELOW, AT, ABOVE) if any(row.kind is kind for row in rows)]
    handles: list[Artist] = [
        Line2D([], [], color=kind.color, marker=kind.marker, linestyle="", markersize=8, label=kind.words)
        for kind in kinds
    ]
    if BELOW in kinds and ABOVE in kinds:
        handles.append(Patch(facecolor=EXACT_FILL, label="between the best bounds"))
    if diagnosis.reference_log_evidence is not None:
        handles.append(Line2D([], [], color=INK, linestyle=LINES[2], linewidth=1.4, label="log Z of the reference"))
    return handles
