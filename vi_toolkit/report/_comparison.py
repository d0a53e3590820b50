"""The page of several fits side by side."""

from __future__ import annotations

import jax

from vi_toolkit._types import Key
from vi_toolkit.compare import Comparison
from vi_toolkit.plots.comparison import plot_comparison
from vi_toolkit.report import _sections as sections
from vi_toolkit.report._findings import Findings, findings_of
from vi_toolkit.report._html import Html, paragraph, picture, rows, section, table, tag
from vi_toolkit.report._page import page
from vi_toolkit.report._verdict import badge, verdict_block
from vi_toolkit.tables import LEGEND, evidence_line, overview
from vi_toolkit.tree import to_datatree

NUM_DRAWS = 1000


def comparison_page(key: Key, comparison: Comparison) -> str:
    key_figure, key_draws = jax.random.split(key)
    found = {
        name: findings_of(to_datatree(key_draws, fit, num_draws=NUM_DRAWS, diagnosis=comparison.diagnoses[name]))
        for name, fit in comparison.fits.items()
    }
    first = next(iter(found.values()))
    title = f"{first.course.model or 'A target'}: {len(found)} {'methods' if len(found) > 1 else 'method'} compared"
    against = f", held against {comparison.reference.name}" if comparison.reference is not None else ""
    return page(
        title,
        tag("h1", title),
        paragraph(f"{first.course.dim} dimensions{against}.", class_="quiet"),
        sections.narrow(),
        _overview(comparison),
        _figure(key_figure, comparison),
        *(_part(name, each) for name, each in found.items()),
        sections.source(first),
        section("Versions", rows(sections.versions(first))),
    )


def _overview(comparison: Comparison) -> Html:
    frame = overview(comparison).drop(columns="verdict")
    body = [
        [name, badge(comparison.diagnoses[name].verdict), *cells]
        for name, cells in zip(frame.index, frame.to_numpy(), strict=True)
    ]
    shown = table(["method", "verdict", *map(str, frame.columns)], body, "The methods side by side")
    return section("Side by side", shown, paragraph(evidence_line(comparison)), paragraph(LEGEND, class_="quiet"))


def _figure(key: Key, comparison: Comparison) -> Html:
    words = f"{', '.join(comparison.fits)}, each over the posterior."
    try:
        return picture(plot_comparison(key, comparison), words)
    except ValueError as error:  # no guide has finite draws
        return paragraph(str(error))


def _part(name: str, found: Findings) -> Html:
    return section(name, verdict_block(found.diagnosis), sections.run(found), rows(sections.recipe(found)))
