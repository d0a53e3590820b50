"""The bench of real posteriors: ``python -m benchmarks posteriors --path FOLDER``.

Every method has a process of its own, one after the other, on the same targets, with the same measures. Results are
kept in POSTERIORS.json after each fit and shown in POSTERIORS.md; what is kept is not run again without ``--again``, so
a run may be stopped (Ctrl-C) and taken up.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.posteriordb import MODELS, folder, table
from benchmarks.posteriordb.methods import METHODS, choose
from benchmarks.posteriordb.problems import NAMES
from benchmarks.posteriordb.records import Records
from benchmarks.posteriordb.synthetic import SYNTHETIC
from benchmarks.posteriordb.worker import failed

LIMIT = 300.0  # seconds of one fit, and again of its measures
LOADING_LIMIT = 3_600.0  # a long run of NUTS may have to be made
SETTINGS = {
    "OPENBLAS_NUM_THREADS": "1",
    "JAX_ENABLE_X64": "1",
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_COMPILATION_CACHE": "false",  # a first fit pays for its programs
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is asked for and not yet there; 0 also where something is missing, which is then said."""
    given = _parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being ended is like Ctrl-C: no process is left behind
    given.output.mkdir(parents=True, exist_ok=True)
    records = Records.read(given.output / "POSTERIORS.json")
    seeds = range(given.seeds)
    try:
        for method in given.methods:
            why = METHODS[method].missing()
            if why is not None:
                print(f"{method}: {why}", flush=True)
                records.say_missing(method, why)
                continue
            todo = records.todo(method, given.targets, seeds, given.again)
            if todo:
                run_method(method, todo, given, records)
    except KeyboardInterrupt:
        print("Stopped; what was finished is kept, and the same command goes on from there.")
    (given.output / "POSTERIORS.md").write_text(table.page(records))
    print(f"Wrote {given.output / 'POSTERIORS.md'}")
    return 0


def _parse(arguments: Sequence[str] | None) -> Any:
    parser = argparse.ArgumentParser(prog="python -m benchmarks posteriors", description=__doc__)
    parser.add_argument("--path", type=Path, help="the folder of the database; by default, POSTERIORDB")
    parser.add_argument("--targets", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}; all by default")
    parser.add_argument(
        "--methods", nargs="*", metavar="NAME", help=f"any of {', '.join(METHODS)}, or their beginnings"
    )
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0 on")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds of one fit")
    parser.add_argument("--again", action="store_true", help="run what is already there, too")
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1], help="the folder of the results")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.targets or () if name not in NAMES]:
        parser.error(f"--targets: no {unknown[0]!r}; there are {', '.join(NAMES)}")
    try:
        given.methods = choose(given.methods)
        given.path = folder(given.path)
    except ValueError as error:
        parser.error(str(error))
    except FileNotFoundError as error:
        if any(name in MODELS for name in given.targets or ()):
            parser.error(str(error))
        print(f"The {len(MODELS)} posteriors of the database are left out. {error}", flush=True)
        given.targets = given.targets or list(SYNTHETIC)
    given.targets = given.targets or list(NAMES)
    return given


def run_method(method: str, todo: dict[str, list[int]], given: Any, records: Records) -> None:
    """One process for the whole method, and another only where a fit had to be ended or took the process with it."""
    left = {name: list(seeds) for name, seeds in todo.items()}
    while left:
        target, seed = next(iter(left)), next(iter(left.values()))[0]
        why = ""
        for event in _events(method, left, given):
            if event["event"] == "record":
                record = {name: value for name, value in event.items() if name != "event"}
                _keep(method, record, left, records)
                target, seed = (next(iter(left)), next(iter(left.values()))[0]) if left else (target, seed)
            elif event["event"] in ("too long", "ended"):
                why = why or event["said"]
        if left:
            _keep(method, failed(target, seed, why), left, records)


def _keep(method: str, record: dict[str, Any], left: dict[str, list[int]], records: Records) -> None:
    records.add(method, record)
    left[record["target"]].remove(record["seed"])
    if not left[record["target"]]:
        del left[record["target"]]
    numbers = ("mean_error", "sd_error", "reverse_kl", "khat", "gradients", "cold_seconds", "warm_seconds")
    shown = " ".join(f"{name}={table.short(record.get(name))}" for name in numbers)
    print(f"{method} {record['target']} seed {record['seed']}: {shown} {record['status']} {record['said']}", flush=True)


def _events(method: str, left: dict[str, list[int]], given: Any) -> Iterator[dict[str, Any]]:
    """What the process says, and at last how it ended where that was not in order."""
    path = None if given.path is None else str(given.path)
    order = {"method": method, "targets": left, "path": path, "references": str(given.output / "references")}
    command = [sys.executable, "-m", "benchmarks.posteriordb.worker", json.dumps(order)]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **SETTINGS}
        )
        try:
            yield from _read(process, given.limit)
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        last = errors.read().strip().splitlines()[-1:]
        yield {"event": "ended", "said": f"the process ended with {process.returncode}: {' '.join(last)[:150]}"}


def _read(process: subprocess.Popen[str], limit: float) -> Iterator[dict[str, Any]]:
    """The lines of the process as they come; ends when it ends, or after a word on a fit that took too long."""
    lines: queue.Queue[str | None] = queue.Queue()
    stream = process.stdout
    assert stream is not None

    def listen() -> None:
        with stream:
            for line in stream:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=listen, daemon=True).start()
    doing, patience = "starting", LOADING_LIMIT
    while True:
        try:
            line = lines.get(timeout=patience)
        except queue.Empty:
            yield {"event": "too long", "said": f"{doing} took longer than {patience:.0f} s and was ended."}
            return
        if line is None:
            return
        event = json.loads(line)
        doing, patience = event["event"], limit if event["event"] in ("fitting", "measuring") else LOADING_LIMIT
        yield event
