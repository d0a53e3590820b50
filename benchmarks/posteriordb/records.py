"""The file of results: one record a line, written anew after each, so that a run can be stopped at any time."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("jax", "numpyro", "optax", "blackjax", "pymc", "pymc-extras", "vi-toolkit")
Key = tuple[str, str, int]  # method, target, seed


@dataclass
class Records:
    """What is known so far.

    Attributes:
        file: where it is kept.
        machines: class of machine and versions, as each run had them; a record names one by its number.
        missing: {method: why it could not run}.
        fits: {(method, target, seed): record}.
    """

    file: Path
    machines: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    fits: dict[Key, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Records:
        """The records of a file; none where there is no file."""
        if not file.is_file():
            return cls(file)
        content = json.loads(file.read_text())
        fits = {(r["method"], r["target"], r["seed"]): r for r in content["records"]}
        return cls(file, content["machines"], content["missing"], fits)

    def add(self, method: str, record: Mapping[str, Any]) -> None:
        """Keeps a record under its method, and writes the file."""
        whole = {"method": method, **record, "machine": self._number(machine())}
        self.fits[method, record["target"], record["seed"]] = whole
        self.missing.pop(method, None)
        self.write()

    def say_missing(self, method: str, why: str) -> None:
        """Notes why a method did not run; what it gave elsewhere stays."""
        if not any(key[0] == method for key in self.fits):
            self.missing[method] = why
            self.write()

    def todo(self, method: str, targets: Iterable[str], seeds: Iterable[int], again: bool) -> dict[str, list[int]]:
        """{target: seeds} that are still to be run."""
        asked = {name: [s for s in seeds if again or (method, name, s) not in self.fits] for name in targets}
        return {name: left for name, left in asked.items() if left}

    def write(self) -> None:
        """Whole or not at all."""
        lines = ",\n".join(json.dumps(self.fits[key]) for key in sorted(self.fits))
        head = f'"machines": {json.dumps(self.machines)},\n"missing": {json.dumps(self.missing)}'
        fresh = self.file.with_suffix(".part")
        fresh.write_text(f'{{{head},\n"records": [\n{lines}\n]}}\n')
        os.replace(fresh, self.file)

    def _number(self, words: str) -> int:
        if words not in self.machines:
            self.machines.append(words)
        return self.machines.index(words)


def machine() -> str:
    """The class of machine and the versions, in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.machine()}, float64, Python {platform.python_version()}, "
        f"{versions}"
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
