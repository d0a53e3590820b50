"""The verdict as the page begins: the whole, its four parts with their reasons, what to try next, warnings."""

from __future__ import annotations

from vi_toolkit.diagnostics import Diagnosis, Verdict
from vi_toolkit.report._html import Html, bullets, join, paragraph, tag

# A sign beside the colour: print and eyes that see no difference between colours need it.
LOOKS = {
    Verdict.GOOD: ("good", "✓"),
    Verdict.USABLE_AFTER_REWEIGHTING: ("usable", "≈"),
    Verdict.NOT_TRUSTED: ("bad", "✕"),
    Verdict.CANNOT_TELL: ("unknown", "?"),
}


def badge(verdict: Verdict) -> Html:
    look, sign = LOOKS[verdict]
    return tag("span", f"{sign} {verdict.value}", class_=f"badge {look}")


def verdict_block(diagnosis: Diagnosis | None) -> Html:
    """What stands first on the page."""
    if diagnosis is None:
        words = "No diagnosis was kept with this fit, so that nothing is said here about how good it is."
        return tag("div", paragraph(badge(Verdict.CANNOT_TELL)), paragraph(words), class_="whole unknown")
    look, _ = LOOKS[diagnosis.verdict]
    whole = tag("div", paragraph(badge(diagnosis.verdict)), paragraph(diagnosis.sentence), class_=f"whole {look}")
    cards = tag("div", *(_card(part, diagnosis) for part in diagnosis.verdicts), class_="cards")
    return join([whole, cards, advice_block(diagnosis.advice), warning_block(diagnosis.warnings)])


def _card(part: str, diagnosis: Diagnosis) -> Html:
    verdict = diagnosis.verdicts[part]
    return tag(
        "div", tag("h3", part), badge(verdict), paragraph(diagnosis.reasons.get(part, "")),
        class_=f"card {LOOKS[verdict][0]}",
    )  # fmt: skip


def advice_block(advice: tuple[str, ...]) -> Html:
    return join([tag("h3", "What to try next"), bullets(advice)]) if advice else Html("")


def warning_block(warnings: tuple[str, ...]) -> Html:
    return tag("div", tag("strong", "Warnings"), bullets(warnings), class_="warning") if warnings else Html("")
