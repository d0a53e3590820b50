"""One look for every figure: colours that the colour-blind can tell apart, and line styles that grey print can."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

# Okabe and Ito (2008), Color universal design: blue, vermillion, bluish green, reddish purple, orange, sky blue, black.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (8, 2, 2, 2, 2, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

EXACT_FILL = "#C8C8C8"
EXACT_DARK = "#9A9A9A"
EXACT_EDGE = "#6E6E6E"
FAINT = "#B0B0B0"
INK = "#333333"

_SETTINGS: dict[str, Any] = {
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "savefig.dpi": 160,
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.labelsize": 10.5,
    "axes.titlelocation": "left",
    "axes.facecolor": "white",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
}


class Look(NamedTuple):
    """How one method is drawn everywhere in a figure."""

    color: str
    linestyle: Any
    marker: str


@contextmanager
def style() -> Iterator[None]:
    """The settings of the figures, for the time of drawing one; nothing global changes.

    Only these settings are put back, not all, as `matplotlib.rc_context` does: a notebook's backend is loaded with the
    first figure and then makes matplotlib interactive; to undo that would keep every later figure from being shown.
    """
    settings: Any = matplotlib.rcParams  # whose annotation lists every name that there is
    before = {name: settings[name] for name in _SETTINGS}
    settings.update(_SETTINGS)
    try:
        yield
    finally:
        settings.update(before)


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look for each name; colours repeat after seven and line styles after five, so that pairs repeat after 35."""
    return {
        name: Look(PALETTE[i % len(PALETTE)], LINES[i % len(LINES)], MARKERS[i % len(MARKERS)])
        for i, name in enumerate(names)
    }


def legend_below(figure: Figure, handles: list[Artist]) -> None:
    """One legend for the whole figure, under the panels, in as many columns as there is room for."""
    entry = 0.8 + 0.083 * max(len(str(handle.get_label())) for handle in handles)  # inches: the line, and the text
    columns = max(1, int(figure.get_figwidth() / entry))
    rows = -(-len(handles) // columns)
    figure.legend(handles=handles, loc="outside lower center", ncols=-(-len(handles) // rows), handlelength=3.2)


def exact_handle(label: str, color: str = EXACT_FILL) -> Patch:
    return Patch(facecolor=color, edgecolor=EXACT_EDGE, label=label)


def method_handle(name: str, look: Look, *, marker: bool = False) -> Line2D:
    return Line2D([], [], color=look.color, linestyle=look.linestyle, marker=look.marker if marker else "", label=name)


def no_y_ticks(axes: Axes) -> None:
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
