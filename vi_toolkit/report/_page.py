"""The page around the sections: head, style, foot."""

from __future__ import annotations

from typing import Any

from vi_toolkit.report._html import Html, join, tag

# Nothing is loaded from anywhere, and no script runs, whatever a model's source says.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem 1.25rem 3rem; background: #fff; color: #222;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0.8rem 0 0.2rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 0.6rem; padding-top: 0.6rem; border-top: 1px solid #ddd; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 0.4rem; }
p { margin: 0.5rem 0; max-width: 48rem; }
ul { margin: 0.4rem 0; padding-left: 1.3rem; max-width: 48rem; }
li { margin: 0.2rem 0; }
.quiet { color: #595959; font-size: 0.92rem; }
.badge { display: inline-block; padding: 0.1rem 0.65rem; border-radius: 0.85rem; font-weight: 650; color: #fff;
  line-height: 1.35; white-space: normal; overflow-wrap: normal; }
td .badge { white-space: nowrap; }
.good { --mark: #00664b; } .usable { --mark: #8a5a00; } .bad { --mark: #a83a00; } .unknown { --mark: #595959; }
.badge { background: var(--mark); }
.whole { margin: 0.8rem 0; padding: 0.8rem 1rem; border-left: 0.4rem solid var(--mark); background: #f6f6f6; }
.whole .badge { font-size: 1.1rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13.5rem, 1fr)); gap: 0.7rem; margin: 0.8rem 0; }
.card { border: 1px solid #ddd; border-top: 0.3rem solid var(--mark); border-radius: 0.3rem; padding: 0.5rem 0.8rem; }
.card h3 { margin: 0 0 0.3rem; text-transform: capitalize; }
.card p { font-size: 0.92rem; }
.warning { border-left: 0.3rem solid #8a5a00; background: #fff8e8; padding: 0.4rem 0.9rem; margin: 0.8rem 0; }
.scroll { overflow-x: auto; max-width: 100%; }
.tall { max-height: 36rem; overflow-y: auto; border-bottom: 1px solid #999; }
.tall thead th { position: sticky; top: 0; background: #fff; box-shadow: inset 0 -2px #999; }
.scroll:focus-visible { outline: 2px solid #0072b2; }
table { border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid #e4e4e4; text-align: right; vertical-align: top; }
thead th { border-bottom: 2px solid #999; vertical-align: bottom; max-width: 7rem; }
td { white-space: nowrap; }
tr > :first-child { text-align: left; }
tbody th { font-weight: 500; white-space: nowrap; }
.pairs td { text-align: left; white-space: normal; min-width: 12rem; overflow-wrap: anywhere; }
.pairs th { white-space: normal; }
.narrow { display: none; }
@media (max-width: 40rem) { .narrow { display: block; } }
figure { margin: 1.2rem 0; }
figcaption { font-weight: 600; margin-bottom: 0.3rem; }
figure img { display: block; max-width: 100%; height: auto; }
pre { background: #f6f6f6; border: 1px solid #e4e4e4; padding: 0.7rem 0.9rem; font-size: 0.85rem; line-height: 1.4;
  white-space: pre; overflow-wrap: normal; }
footer { margin-top: 2.5rem; border-top: 1px solid #ddd; padding-top: 0.6rem; }
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  .scroll { overflow: visible; max-height: none; }
  figure img { min-width: 0 !important; }
  figure, .card, tr { break-inside: avoid; }
  pre { white-space: pre-wrap; }
  .badge { border: 1px solid var(--mark); print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def page(title: str, *sections: Any) -> str:
    """A whole document."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        Html(f"<style>{STYLE}</style>"),
    )
    body = tag("body", tag("main", *[part for part in sections if part]))
    return join([Html("<!DOCTYPE html>\n"), tag("html", head, "\n", body, lang="en"), "\n"])
