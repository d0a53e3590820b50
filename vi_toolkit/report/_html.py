"""HTML from nested calls: text is escaped unless it came from here."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

VOID = frozenset({"img", "meta", "link", "br"})  # elements without an end
PIXELS_PER_INCH = 66  # below this width of a figure its letters are too small, and it scrolls in its box instead
DPI = 150
MANY_LINES = 30  # of a table, beyond which it scrolls in its box


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """An element; a child that is no `Html` is escaped. ``class_`` stands for class, ``_`` in names for ``-``."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"' for key, value in attributes.items()
    )
    if name in VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[Any], between: str = "") -> Html:
    """Parts side by side, those escaped that are no `Html`."""
    return Html(between.join(part if isinstance(part, Html) else html.escape(str(part)) for part in parts))


def section(title: str, *children: Any) -> Html:
    """A part of the page with its heading; nothing where it has no content."""
    content = [child for child in children if child]
    return tag("section", tag("h2", title), *content) if content else Html("")


def paragraph(*children: Any, **attributes: Any) -> Html:
    return tag("p", *children, **attributes) if any(children) else Html("")


def bullets(items: Sequence[Any]) -> Html:
    return tag("ul", *(tag("li", item) for item in items)) if items else Html("")


def rows(pairs: Mapping[str, Any]) -> Html:
    """Names and values, a line each."""
    body = (tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in pairs.items())
    return tag("div", tag("table", tag("tbody", *body), class_="pairs"), class_="scroll")


def table(head: Sequence[str], body: Iterable[Sequence[Any]], label: str) -> Html:
    """A table that scrolls in a box of its own where it is too wide for the page, or long."""
    top = tag("tr", *(tag("th", name, scope="col") for name in head))
    lines = [tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest)) for first, *rest in body]
    whole = tag("table", tag("thead", top), tag("tbody", *lines))
    box = "scroll tall" if len(lines) > MANY_LINES else "scroll"
    return tag("div", whole, class_=box, tabindex="0", role="region", aria_label=label)


def picture(figure: Figure, words: str, title: str = "") -> Html:
    """A figure as a PNG inside the page, with words for who cannot see it; the figure is closed."""
    buffer = io.BytesIO()
    width = figure.get_figwidth()
    figure.savefig(buffer, format="png", dpi=DPI)
    plt.close(figure)
    source = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    sizes = f"width:{96 * width:.0f}px;min-width:{PIXELS_PER_INCH * width:.0f}px"
    image = tag("img", src=source, alt=words, style=sizes)
    caption = tag("figcaption", title) if title else Html("")
    return tag("figure", caption, tag("div", image, class_="scroll", tabindex="0", role="region", aria_label=words))
