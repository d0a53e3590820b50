"""How much of p and of q lies at each mode."""

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

from vi_toolkit._checks import check_instance
from vi_toolkit.diagnostics import Diagnosis, Measured
from vi_toolkit.diagnostics._limits import NUM_SES
from vi_toolkit.plots._style import EXACT_FILL, INK, PALETTE, legend_below, style

MAX_MODES = 12
MAX_SCALARS = 4  # of a mode's location
SAME = 1e-3  # relative difference, up to which a scalar tells no modes apart
ROUNDING = 1e-12  # a value as small as this is zero
LABEL = 34  # characters in a line
LINE = 0.19  # inches


class Masses(NamedTuple):
    """What is drawn: one entry a mode, the heaviest first."""

    p: Measured
    q: Measured
    missed: tuple[int, ...]
    labels: list[str]


def plot_mode_masses(diagnosis: Diagnosis) -> Figure:
    """Draws the mass of p and of q at every mode, with two standard errors, and marks the modes that q misses.

    The modes are those that the diagnosis found, with their locations in the model's own sites: of many scalars, those
    that tell the modes apart best. Where it looked for none, they are those of the reference. At most twelve, the
    heaviest first.

    Args:
        diagnosis: from `vi.diagnose`.

    Returns:
        A matplotlib figure: ``figure.savefig("mode_masses.png")``.

    Raises:
        TypeError: if ``diagnosis`` is something else.
        ValueError: if nothing is known about modes.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> two = vi.exact.gaussian_mixture([0.5, 0.5], [[-10.0], [10.0]], [[[1.0]], [[1.0]]])
        >>> diagnosis = vi.diagnose(jax.random.key(1), vi.fit(jax.random.key(0), two.target), reference=two)
        >>> figure = vi.plot_mode_masses(diagnosis)
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['missed by q']
    """
    check_instance(diagnosis, Diagnosis, "diagnosis", "Pass what vi.diagnose returned.")
    masses = masses_of(diagnosis)
    if masses is None:
        raise ValueError(
            "diagnosis: nothing is known about modes: it looked for none, and has no reference with a list of modes."
        )
    return draw_masses(masses)


def masses_of(diagnosis: Diagnosis) -> Masses | None:
    """From the search for modes where there was one, else from the reference; None without either."""
    basins = diagnosis.basins
    if basins is not None:
        order = np.argsort(-np.maximum(basins.mass.values, basins.mass_q.values), kind="stable")[:MAX_MODES]
        p, q = (Measured(m.values[order], m.ses[order]) for m in (basins.mass, basins.mass_q))
        places = locations([basins.sites[i] for i in order])
        missed = tuple(place for place, mode in enumerate(order) if mode in basins.missed)
        return Masses(p, q, missed, [f"mode {i + 1}: {place}" for i, place in enumerate(places)])
    of_p, of_q = diagnosis.reference_mode_masses, diagnosis.mode_masses
    if of_p is None or of_q is None:
        return None
    order = np.argsort(-np.maximum(of_p, of_q), kind="stable")[:MAX_MODES]
    none = np.zeros(len(order))
    return Masses(
        Measured(of_p[order], none), Measured(of_q[order], none), (), [f"mode {i + 1} of the reference" for i in order]
    )


def locations(sites: list[dict[str, np.ndarray]]) -> list[str]:
    """``site = value`` for the scalars that tell places apart best, in the sites' own order, for each place."""
    scalars: dict[str, np.ndarray] = {}
    for name in sites[0]:
        values = np.stack([np.asarray(place[name], np.float64) for place in sites])
        values = np.where(np.abs(values) < ROUNDING, 0.0, values)
        for index in np.ndindex(values.shape[1:]):
            scalars[f"{name}[{', '.join(map(str, index))}]" if index else name] = values[(slice(None), *index)]
    apart = {name: np.ptp(v) / (np.abs(v).mean() or 1.0) for name, v in scalars.items()}
    telling = [name for name in scalars if apart[name] > SAME] or list(scalars)
    kept = sorted(telling, key=lambda name: -apart[name])[:MAX_SCALARS]
    shown = [name for name in scalars if name in kept]
    ending = ", ..." if len(scalars) > len(shown) else ""
    hard = "\N{NO-BREAK SPACE}"
    return [
        ", ".join(f"{name}{hard}={hard}{scalars[name][i]:.3g}" for name in shown) + ending for i in range(len(sites))
    ]


def draw_masses(masses: Masses) -> Figure:
    """The figure of `plot_mode_masses`."""
    labels = [textwrap.fill(label, LABEL, subsequent_indent="   ") for label in masses.labels]
    lines = max(label.count("\n") + 1 for label in labels)
    rows = np.arange(len(labels))
    with style():
        figure, axes = plt.subplots(figsize=(7.5, 1.6 + len(rows) * max(0.62, LINE * (lines + 0.6))))
        for place, measured, color, hatch in ((-0.19, masses.p, EXACT_FILL, ""), (0.19, masses.q, PALETTE[0], "///")):
            axes.barh(
                rows + place, 100 * measured.values, 0.36, color=color, hatch=hatch, edgecolor="white", linewidth=0,
                xerr=100 * NUM_SES * np.where(np.isfinite(measured.ses), measured.ses, 0.0),
                error_kw={"ecolor": INK, "elinewidth": 1.2},
            )  # fmt: skip
        _mark_missed(axes, masses)
        axes.set_yticks(rows, labels)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set(xlim=(0.0, 108.0), xlabel="% of the mass", title=_title(masses))
        legend_below(figure, _handles())
    return figure


def _mark_missed(axes: Axes, masses: Masses) -> None:
    for mode in masses.missed:
        at = 100 * (masses.q.values[mode] + NUM_SES * masses.q.ses[mode]) + 1.5
        axes.text(at, mode + 0.19, "missed by q", color=PALETTE[1], va="center", fontsize=10, weight="bold")


def _title(masses: Masses) -> str:
    if not masses.missed:
        return "Mass at each mode"
    lost = 100 * masses.p.values[list(masses.missed)].sum()
    return f"Mass at each mode: q misses {lost:.2g} % of the posterior"


def _handles() -> list[Artist]:
    return [
        Patch(facecolor=EXACT_FILL, label="posterior p"),
        Patch(facecolor=PALETTE[0], hatch="///", edgecolor="white", label="approximation q"),
        Line2D([], [], color=INK, linewidth=1.2, label="two standard errors"),
    ]
