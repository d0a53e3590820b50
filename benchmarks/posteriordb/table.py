"""The page of results: medians by method, D(q‖p) by target and method, what failed, what was not run, settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import inf, isnan
from statistics import median
from typing import Any

from benchmarks.posteriordb.methods import METHODS
from benchmarks.posteriordb.problems import NAMES
from benchmarks.posteriordb.records import Records
from benchmarks.posteriordb.timing import NEAR, NUTS, OPTIMUM, is_near, optima, ratios

ACCURATE = 0.1  # means within this many sds, and log sds within this

HEAD = """# Real posteriors, side by side

Written by `python -m benchmarks posteriors` ([how to run it](README.md)). Every method is fitted to the same posteriors
as it comes, without tuning by hand, and held against reference draws and the log evidence. All distances are on the
unconstrained space. One process for each method, one fit at a time.
"""

LEGEND = f"""How to read it. *Mean error*: the largest error of a mean, in posterior standard deviations. *Log sd
error*: the largest |log(sd of q / sd of p)|; 0.1 is about 10 %. *Accurate*: fits with both at most {ACCURATE}.
*Near*: fits whose D(q‖p) is at most {NEAR} nats above that of the best full-rank Gaussian, where that is known.
*D(q‖p)* and *D(p‖q)*: nats; zero is perfect, below 0.1 is hard to see, above 1 is poor; from 20,000 draws of q, and
from the reference draws. *k-hat*: below 0.7, the fit can be corrected by importance weights. *Gradients*: of the log
density, as many as the fit spent (one a draw; a Hessian-vector product two, a bare density a third). *Cold*: wall
seconds of the first fit of a posterior in its process, in brackets the part in which JAX traced and compiled; *warm*:
those of a second fit, with another key. *CPU*: seconds of all threads, cold and warm. Every number is a median over
all fits of a row; a failed fit counts as infinitely wrong. Where rows cover different numbers of posteriors, compare
them by the second table. "–": the method does not give it.
"""


def page(records: Records) -> str:
    """The whole page, as Markdown."""
    names = [name for name in METHODS if any(key[0] == name for key in records.fits)]
    parts = [HEAD, *_machines(records), "", "## By method", "", _by_method(records, names), "", LEGEND]
    parts += ["## D(q‖p) by posterior, nats", "", _note(records), "", _by_target(records, names)]
    parts += ["", "## Time to accuracy", "", _times(names, records)]
    parts += ["", "## What failed", "", _failures(records, names)]
    parts += ["", "## What was not run", "", _missing(records)]
    parts += ["", "## Settings", "", *(f"- **{name}**: {METHODS[name].settings}" for name in names)]
    return "\n".join(parts) + "\n"


def _machines(records: Records) -> list[str]:
    used = {record.get("machine") for record in records.fits.values()}
    loads = [record["load"] for record in records.fits.values() if "load" in record]
    lines = [f"- {words}" for number, words in enumerate(records.machines) if number in used]
    if loads:
        lines.append(
            f"- The machine was not idle: its load average at the fits was {min(loads)} to {max(loads)}, median "
            f"{median(loads)}. Seconds are to be read with that in mind; the other columns do not depend on it."
        )
    return lines


def _by_method(records: Records, names: Iterable[str]) -> str:
    quality = [
        "posteriors",
        "seeds",
        "failed",
        "accurate",
        "near",
        "mean error",
        "log sd error",
        "D(q‖p)",
        "D(p‖q)",
        "k-hat",
    ]
    head = ["method", *quality, "gradients", "cold (s)", "warm (s)", "CPU (s)"]
    best = optima(records)
    return _markdown([head, *(_row(records, name, best) for name in names)])


def _row(records: Records, name: str, best: dict[str, float]) -> list[str]:
    fits = of_method(records, name)
    targets, seeds = {record["target"] for record in fits}, {record["seed"] for record in fits}
    failed = sum(record["status"] == "failed" for record in fits)
    return [
        name,
        str(len(targets)),
        str(len(seeds)),
        str(failed),
        f"{sum(map(is_accurate, fits))} of {len(fits)}",
        f"{sum(is_near(fit, best) for fit in fits)} of {sum(fit['target'] in best for fit in fits)}",
        *(short(_median(fits, column)) for column in ("mean_error", "sd_error", "reverse_kl", "forward_kl", "khat")),
        short(_plain_median(fits, "gradients")),
        *(f"{_seconds(fits, kind)} ({_seconds(fits, f'{kind}_compile')})" for kind in ("cold", "warm")),
        " / ".join(_seconds(fits, f"{kind}_cpu") for kind in ("cold", "warm")),
    ]


def of_method(records: Records, name: str) -> list[dict[str, Any]]:
    """Its records."""
    return [record for key, record in records.fits.items() if key[0] == name]


def is_accurate(record: dict[str, Any]) -> bool:
    """Whether means and spreads are right to within `ACCURATE`."""
    return record["status"] == "ok" and max(float(record["mean_error"]), float(record["sd_error"])) <= ACCURATE


def _median(fits: list[dict[str, Any]], column: str) -> float | None:
    """Failed fits count as infinite; None where no fit that ended well has a number."""
    found = [float(f[column]) for f in fits if f["status"] == "ok" and f.get(column) is not None]
    if not found:
        return None
    found += [inf] * sum(f["status"] == "failed" for f in fits)
    return median(found)


def _plain_median(fits: list[dict[str, Any]], column: str) -> float | None:
    found = [float(f[column]) for f in fits if f["status"] == "ok" and f.get(column) is not None]
    return median(found) if found else None


def _seconds(fits: list[dict[str, Any]], kind: str) -> str:
    return short(_plain_median(fits, f"{kind}_seconds"))


def _note(records: Records) -> str:
    counts = sorted(Counter((method, target) for method, target, _ in records.fits).values()) or [0]
    words = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    return (
        f"Medians over seeds ({words} a cell). *optimum*: the best full-rank Gaussian, found by a long run from the "
        "reference draws; no Gaussian method can be much below it, flows can. ∞: a failed fit, or draws where the "
        "density is zero. Empty: not run."
    )


def _by_target(records: Records, names: list[str]) -> str:
    shown = [name for name in names if name not in (NUTS, OPTIMUM)]
    shown = [name for name in shown if any(r.get("reverse_kl") is not None for r in of_method(records, name))]
    head = ["posterior", "dim", "optimum", *shown]
    rows = [
        [target, _dim(records, target), *(_cell(records, name, target) for name in (OPTIMUM, *shown))]
        for target in NAMES
        if any(key[1] == target for key in records.fits)
    ]
    return _markdown([head, *rows])


def _dim(records: Records, target: str) -> str:
    return next((str(r["dim"]) for key, r in records.fits.items() if key[1] == target and "dim" in r), "")


def _cell(records: Records, name: str, target: str) -> str:
    fits = [record for record in of_method(records, name) if record["target"] == target]
    if not fits:
        return ""
    if all(record["status"] == "failed" for record in fits):
        return "∞"
    return short(_median(fits, "reverse_kl"))


def _times(names: list[str], records: Records) -> str:
    ours = [name for name in names if name.startswith("ours/")]
    peers = [name for name in names if name not in (*ours, NUTS, OPTIMUM)]
    words = (
        f"Posteriors on which a method is near: its median D(q‖p) within {NEAR} nats of the best full-rank Gaussian's; "
        "and there, its seconds divided by those of the fastest peer that is near too, and by NUTS's; geometric means, "
        "in brackets over how many posteriors: where no peer is near, there is nothing to divide by."
    )
    head = ["method", "near", "cold, against the fastest peer", "warm, against the fastest peer", "warm, against NUTS"]
    return f"{words}\n\n{_markdown([head, *ratios(records, ours, peers)])}" if ours else "Nothing of ours was run."


def _failures(records: Records, names: Iterable[str]) -> str:
    lines = []
    for name in names:
        failures = [r for r in of_method(records, name) if r["status"] == "failed"]
        counted = Counter((record["target"], record["said"]) for record in failures)
        lines += [f"- {name}, {target}: {said}" + (f" ({n} seeds)" * (n > 1)) for (target, said), n in counted.items()]
    return "\n".join(lines) or "Nothing."


def _missing(records: Records) -> str:
    lines = [f"- {name}: {why}" for name, why in records.missing.items()]
    for name in METHODS:
        ran = {key[1] for key in records.fits if key[0] == name}
        left = [target for target in NAMES if target not in ran]
        if ran and left:
            lines.append(f"- {name}: not on {', '.join(left)}")
        elif not ran and name not in records.missing:
            lines.append(f"- {name}: not asked for")
    return "\n".join(lines) or "Nothing."


def short(value: Any) -> str:
    """Three digits; what there is none of is a dash."""
    if value is None:
        return "–"
    number = float(value)
    if isnan(number) or abs(number) == inf:
        return "∞" if number == inf else "–∞" if number == -inf else "nan"
    if abs(number) >= 1e7:
        return f"{number:.0e}".replace("e+", "e")
    if abs(number) >= 1e4:
        return f"{number:,.0f}"
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}" if abs(number) >= 5e-4 else "0.000"


def _markdown(rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [rows[0], ["---"] * len(rows[0]), *rows[1:]])
