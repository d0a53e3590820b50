"""Writes docs/OPTIMA.md: every objective's known minimiser against the fitted one. ROW ... renews some rows only."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.optima.rows import BEYOND, ROWS  # noqa: E402 - found by the line above

DATA = ROOT / "docs" / "optima.json"
LIMITS = {"normal": 2.0, "other": 3.0}  # per cent
HEAD = """# The optimum table

Written by `make optima`. Every objective is minimised by `vi.fit` with its default settings, from its own start, over
mean-field and full-rank normals, and held against the minimiser that is known by other means: for normal targets in
closed form (full rank: q = p) or by an integral over two coordinates; for the others by quadrature on a grid and a
quasi-Newton method from several starts; for IWAE, the tail-adaptive and the Stein ones by many fixed draws.
The divergences are written from their definitions in `scripts/optima/divergences.py`, apart from the package's code.

An entry is the largest error in per cent: of a location in standard deviations of the minimiser, and of the logarithm
of its scale in any direction. MF is mean field, FR full rank. The scales of the normal targets go from 0.01 to 100,
but are 1 for `Fisher()`, which depends on the units. All fits ended as CONVERGED unless a letter says otherwise: m for
MAX_STEPS, c for COLLAPSED, d for DIVERGED.
"""


def main() -> int:
    jax.config.update("jax_enable_x64", True)  # before anything is computed
    from scripts.optima.cases import CASES
    from scripts.optima.table import GUIDES, cell

    cells: dict[str, Any] = json.loads(DATA.read_text()) if DATA.exists() else {}
    wanted = sys.argv[1:] or list(ROWS)
    cases = {name: make() for name, make in CASES.items()}
    for row in wanted:
        for name, case in cases.items():
            for guide in GUIDES if len(case.mean) > 1 else ("full rank",):
                found = cell(ROWS[row], case, guide)
                cells[f"{row} | {name} | {guide}"] = asdict(found)
                jax.clear_caches()  # a process has room for some thousands of compiled programs
                print(f"{row:32s} {name:14s} {guide:10s} {text(asdict(found)):>8s} {found.steps:6d} steps", flush=True)
        DATA.write_text(json.dumps(cells, indent=1) + "\n", encoding="utf-8")
        write(cells, {name: case.name for name, case in cases.items()}, [row for row in ROWS if any_of(cells, row)])
    return 0


def any_of(cells: dict[str, Any], row: str) -> bool:
    return any(name.split(" | ")[0] == row for name in cells)


def write(cells: dict[str, Any], titles: dict[str, str], rows: list[str]) -> None:
    """The page, from all cells so far."""
    normals = [name for name in titles if name.startswith("normal")]
    parts = [HEAD]
    for heading, names, limit in (
        ("Normal targets", normals, LIMITS["normal"]),
        ("Other targets", [name for name in titles if name not in normals], LIMITS["other"]),
    ):
        columns = [(name, guide) for name in names for guide in ("mean field", "full rank")]
        columns = [column for column in columns if f"{rows[0]} | {column[0]} | {column[1]}" in cells]
        shown = [[cells.get(f"{row} | {name} | {guide}") for name, guide in columns] for row in rows]
        errors = [each["error"] for line in shown for each in line if each and each["error"] == each["error"]]
        within = sum(100 * error <= limit for error in errors)
        short = {"mean field": "MF", "full rank": "FR"}
        header = ["objective", *(f"{titles[name]}, {short[guide]}" for name, guide in columns)]
        lines = [header, ["---"] * len(header)]
        lines += [[f"`{row}`", *map(text, line)] for row, line in zip(rows, shown, strict=True)]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts.append(f"## {heading}\n\n{within} of {len(errors)} entries are within {limit:g} %.\n\n{table}\n")
    reasons = {each["reason"] for each in cells.values() if each["reason"]}
    parts += [f"{mark(reason)}: {reason}.\n" for reason in sorted(reasons)]
    parts += ["Beyond the limit:\n", *(f"- `{row}`: {reason}." for row, reason in BEYOND.items()), ""]
    (ROOT / "docs" / "OPTIMA.md").write_text("\n".join(parts), encoding="utf-8")


def text(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return ""
    if cell["reason"]:
        return mark(cell["reason"])
    letter = "" if cell["status"] == "CONVERGED" else " " + cell["status"][0].lower()
    return f"{100 * cell['error']:.2f}{letter}"


def mark(reason: str) -> str:
    return "∞ᵃ" if "slowly" in reason else "∞ᵇ"


if __name__ == "__main__":
    sys.exit(main())
