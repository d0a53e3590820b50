"""The page of one fit."""

from __future__ import annotations

from vi_toolkit.report import _sections as sections
from vi_toolkit.report._findings import Findings
from vi_toolkit.report._html import paragraph, rows, section, tag
from vi_toolkit.report._page import page
from vi_toolkit.report._verdict import verdict_block, warning_block

FOOT = "q is the fitted approximation, p the posterior. A nat is the unit of natural logarithms."


def fit_page(found: Findings) -> str:
    title = found.course.model or "A fit"
    diagnosis = found.diagnosis
    against = f", held against {diagnosis.reference}" if diagnosis is not None and diagnosis.reference else ""
    kept = diagnosis.warnings if diagnosis is not None else ()
    return page(
        f"{title}: how good the fit is",
        tag("h1", title),
        paragraph(f"A variational fit in {found.course.dim} dimensions{against}.", class_="quiet"),
        verdict_block(diagnosis),
        sections.narrow(),
        warning_block(tuple(warning for warning in found.course.warnings if warning not in kept)),
        sections.parameters(found),
        section(
            "The evidence", sections.evidence(diagnosis) if diagnosis is not None else "", *sections.figures(found)
        ),
        section("How the fit went", sections.run(found)),
        section("Recipe", rows({**sections.recipe(found), **sections.versions(found)})),
        sections.source(found),
        tag("footer", paragraph(FOOT, class_="quiet")),
    )
