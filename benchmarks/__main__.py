"""Runs every benchmark of speed, prints the tables, and writes them to ``benchmarks/RESULTS.md`` and ``RESULTS.json``.

Those that are named, such as ``python -m benchmarks calibration``, are only printed, unless ``--output`` says where to.

``python -m benchmarks posteriors ...`` runs the bench of real posteriors instead, which has options of its own, and
``python -m benchmarks verdicts`` the bench of the verdict, which writes ``docs/VERDICTS.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import calibration, cold, draws, per_step

BENCHMARKS = {"per_step": per_step, "draws": draws, "cold": cold, "calibration": calibration}
PACKAGES = ("jax", "numpyro", "optax", "vi-toolkit")


def main() -> None:
    """Runs the benchmarks that are named, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--output", type=Path, help="the folder of the results; benchmarks/ where all are run")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"unknown benchmark {sorted(unknown)[0]!r}; there are {', '.join(BENCHMARKS)}")
    results: dict[str, Any] = {"machine": machine()}
    parts = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Ratios are of times measured in turn, in one run, on one machine.",
    ]
    parts += ["", f"{results['machine']}"]
    for name in arguments.names or BENCHMARKS:
        module = BENCHMARKS[name]
        results[name] = module.run()
        table = pd.DataFrame(results[name])
        print(f"\n{module.__doc__}\n{table.to_string(index=False)}", flush=True)
        parts += ["", f"## {name}", "", str(module.__doc__), "", markdown(table)]
    folder = arguments.output or (None if arguments.names else Path(__file__).parent)
    if folder is None:  # some alone would take the place of all
        return
    (folder / "RESULTS.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "RESULTS.md").write_text("\n".join(parts) + "\n")


def machine() -> str:
    """The class of machine and the versions, in one line."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {versions}."


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["posteriors"]:
        from benchmarks.posteriordb.run import main as posteriors

        sys.exit(posteriors(sys.argv[2:]))
    if sys.argv[1:2] == ["verdicts"]:
        from benchmarks.verdicts.run import main as verdicts

        sys.exit(verdicts(sys.argv[2:]))
    main()
