"""The format of a saved fit, and how a file is read into plain data."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vi_toolkit.io import _recipe
from vi_toolkit.preflight import Preflight
from vi_toolkit.stopping import Schedule
from vi_toolkit.targets import Target
from vi_toolkit.windows import Checkpoint, Status

FORMAT = "vi-toolkit fit"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Saved:
    """What is in a file, seen to be complete."""

    path: Path
    lost: list[str]
    recipe: Any
    versions: Any
    target: dict[str, Any]
    checkpoint: dict[str, Any]  # all but its state
    fields: dict[str, Any]  # of the fit, all but what needs the method
    arrays: dict[str, np.ndarray]

    def leaves(self, group: str) -> list[np.ndarray]:
        count = sum(name.startswith(f"{group}/") for name in self.arrays)
        return [self.arrays[f"{group}/{i}"] for i in range(count)]

    def members(self, group: str) -> dict[str, np.ndarray]:
        return {name.removeprefix(f"{group}/"): a for name, a in self.arrays.items() if name.startswith(f"{group}/")}


_DAMAGE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
)


def read_file(path: Path) -> Saved:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as members:
            arrays = {name: members[name] for name in members.files}
        meta = json.loads(str(arrays.pop("meta")))
        form, version = meta["format"], meta["format_version"]
    except _DAMAGE as error:
        raise ValueError(f"path: {path} is not a fit saved by vi.save, or it is damaged: {error}.") from error
    if form != FORMAT:
        raise ValueError(f"path: {path} is not a fit saved by vi.save: its format is {form!r}.")
    if version != FORMAT_VERSION:
        raise ValueError(
            f"path: {path} has format version {version!r}, and this version of vi-toolkit reads {FORMAT_VERSION}. "
            f"It was written by {meta.get('versions')}."
        )
    try:
        return _parse(path, meta, arrays)
    except _DAMAGE as error:
        raise ValueError(f"path: {path} is a saved fit, but damaged: {type(error).__name__}: {error}.") from error


def _parse(path: Path, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Saved:
    saved = Saved(path, meta["lost"], meta["recipe"], meta["versions"], meta["target"], {}, {}, arrays)
    schedule = Schedule(**{name: _recipe.read(value, arrays) for name, value in meta["schedule"].items()})
    checkpoint = {**meta["checkpoint"], **saved.members("checkpoint"), "schedule": schedule}
    Checkpoint(state=None, **checkpoint)  # raises where an entry is missing, or not known
    fitted = {
        "status": Status[meta["status"]],
        "history": saved.members("history"),
        "num_steps": meta["num_steps"],
        "num_gradients": meta["num_gradients"],
        "warnings": tuple(meta["warnings"]),
        "preflight": Preflight(**{name: tuple(said) for name, said in meta.get("preflight", {}).items()}),
    }
    return replace(saved, checkpoint=checkpoint, fields=fitted)


def layout(target: Target) -> dict[str, Any]:
    sites = [[s.name, s.start, s.stop, list(s.unconstrained_shape), list(s.shape)] for s in target.sites]
    return {"dim": target.dim, "sites": sites}
