"""One process of the bench: fits one method to targets and seeds, and reports each as a line of JSON.

Started by `benchmarks.posteriordb.run`, which hands it the order as JSON and ends it when a fit takes too long.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from benchmarks.posteriordb import clock, metrics
from benchmarks.posteriordb.contender import Contender
from benchmarks.posteriordb.methods import METHODS
from benchmarks.posteriordb.problems import Problem, load

SECOND_KEY = 1_000  # added to the seed of a second fit that is only timed
Report = Callable[..., None]


def main() -> None:
    """Works through the order given as the only argument."""
    order = json.loads(sys.argv[1])
    report = _reporter()
    jax.config.update("jax_enable_x64", True)
    contender = METHODS[order["method"]]
    for name, seeds in order["targets"].items():
        jax.clear_caches()  # the first fit to a target pays for everything itself
        report(event="loading", target=name)
        try:
            problem = load(order["path"], name, Path(order["references"]))
        except Exception as error:
            for seed in seeds:
                report(event="record", **failed(name, seed, f"no reference: {in_words(error)}"))
            continue
        for position, seed in enumerate(seeds):
            first, last = position == 0, position == len(seeds) - 1
            report(event="record", **run_one(contender, problem, seed, first, first and last, report))


def run_one(
    contender: Contender, problem: Problem, seed: int, first: bool, alone: bool, report: Report
) -> dict[str, Any]:
    """Fits, measures, and where a target has one seed only, fits once more for the time of a second fit."""
    about = {"target": problem.name, "seed": seed}
    record: dict[str, Any] = {**about, "dim": problem.target.dim, "status": "ok", "said": ""}
    try:
        report(event="fitting", **about)
        fit = clock.timed(lambda: contender.fit(problem, seed))
        record |= _times("cold" if first else "warm", fit)
        report(event="measuring", **about)
        record |= metrics.measure(fit.value, problem, metrics.metrics_key(seed))
        record |= {"gradients": fit.value.gradients, "said": fit.value.ended}
        if contender.count is not None:
            record["gradients"] = contender.count(problem, seed)
    except Exception as error:
        record |= {"status": "failed", "said": in_words(error)}
    if alone and record["status"] == "ok":
        report(event="fitting", **about)
        record |= _second(contender, problem, seed + SECOND_KEY, record["said"])
    return record | {"load": round(os.getloadavg()[0], 1)}


def _second(contender: Contender, problem: Problem, seed: int, said: str) -> dict[str, Any]:
    """The times of a second fit. What goes wrong in it is said, but is no failure of the first."""
    try:
        return _times("warm", clock.timed(lambda: contender.fit(problem, seed)))
    except Exception as error:
        return {"said": f"{said}; a second fit failed: {in_words(error)}".removeprefix("; ")}


def _times(kind: str, fit: clock.Timed) -> dict[str, float]:
    return {
        f"{kind}_seconds": round(fit.seconds, 4),
        f"{kind}_compile_seconds": round(fit.compile_seconds, 4),
        f"{kind}_cpu_seconds": round(fit.cpu_seconds, 4),
    }


def failed(target: str, seed: int, said: str) -> dict[str, Any]:
    """The record of a fit that came to nothing."""
    return {"target": target, "seed": seed, "status": "failed", "said": said}


def in_words(error: BaseException) -> str:
    """The kind and the first line of an error, without this machine's paths."""
    lines = str(error).strip().splitlines() or [""]
    words = " ".join("..." if word.strip("\"'(),").startswith("/") else word for word in lines[0].split())
    return f"{type(error).__name__}: {words}"[:200]


def _reporter() -> Report:
    """Writes events to what was standard output; whatever a library prints goes to standard error instead."""
    stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def report(**event: Any) -> None:
        stream.write(json.dumps(plain(event)) + "\n")
        stream.flush()

    return report


def plain(value: Any) -> Any:
    """Numbers that JSON does not know become the words inf, -inf and nan."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value


if __name__ == "__main__":
    main()
