"""Words and arrows inside the panels of the experiments' figures."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from vi_toolkit.plots._style import INK


def note(axes: Axes, x: Any, y: Any, text: str, color: str, **options: Any) -> None:
    """A label beside what it names, in the colour of that."""
    label = axes.text(x, y, text, color=color, **{"fontsize": 10, "ha": "left", "va": "bottom", **options})
    label.set_in_layout(False)  # or a label near an edge would make its panel narrower


def arrow_between(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "<->", "color": INK, "shrinkA": 0, "shrinkB": 0})
