"""The files of a clone of posteriordb: found, read, and refused with words."""

from __future__ import annotations

import difflib
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = "posterior_database"
DRAWS = "reference_posteriors/draws/draws"
_SCALAR = re.compile(r"(?P<name>[^\[\]]+)(?P<indices>(\[\d+(,\s*\d+)*\])*)")


def find_root(path: str | Path) -> Path:
    """The folder of the database itself, in which ``posteriors`` lies."""
    path = Path(path)
    for root in (path / FOLDER, path):
        if (root / "posteriors").is_dir():
            return root
    found = f"the folder {path}, which has none" if path.is_dir() else f"{path}, which is not there"
    raise FileNotFoundError(
        f"path: expected a clone of posteriordb, a folder with {FOLDER}/posteriors in it, got {found}. Clone "
        "github.com/stan-dev/posteriordb and pass its folder."
    )


def read_entry(root: Path, name: str) -> dict[str, Any]:
    """What the database says of a posterior."""
    names = sorted(file.name.removesuffix(".json") for file in (root / "posteriors").glob("*.json"))
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4) or names[:3]
        raise ValueError(
            f"name: expected one of the {len(names)} posteriors there, such as {', '.join(near) or 'none'}; got "
            f"{name!r}."
        )
    entry: dict[str, Any] = json.loads((root / "posteriors" / f"{name}.json").read_text(encoding="utf-8"))
    return entry


def read_data(root: Path, name: str) -> dict[str, Any]:
    """{name: array}; numbers stay numbers."""
    data: dict[str, Any] = _read(root / "data/data", name, "data")
    return {key: np.asarray(value) if isinstance(value, list) else value for key, value in data.items()}


def read_draws(root: Path, name: str, info: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """{scalar name: (chains, draws)} of the posterior that the entry names as its reference."""
    reference = info.get("reference_posterior_name")
    if reference is None:
        raise ValueError(
            f"name: {name} has no reference draws in the database. Pass draws= of your own, or draws={{}} for its data "
            "(and target) alone."
        )
    chains: Sequence[Mapping[str, Any]] = _read(root / DRAWS, reference, "reference draws")
    return check_draws({scalar: [chain[scalar] for chain in chains] for scalar in chains[0]})


def check_draws(draws: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """{scalar name: (chains, draws)} in float64."""
    arrays = {scalar: np.asarray(values, np.float64) for scalar, values in draws.items()}
    shapes = {values.shape for values in arrays.values()}
    if len(shapes) > 1 or any(len(shape) != 2 for shape in shapes):
        raise ValueError(f"draws: expected every scalar with one shape (chains, draws), got {sorted(shapes)}.")
    return arrays


def group_scalars(scalars: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Scalars "x[1,2]" of shape (chains, draws) as arrays "x" of shape (chains, draws, ...), their indices from 1."""
    entries: dict[str, dict[tuple[int, ...], np.ndarray]] = {}
    for scalar, values in scalars.items():
        match = _SCALAR.fullmatch(scalar)
        if match is None:
            raise ValueError(f"draws: expected names such as 'mu', 'beta[1]' or 'L[2,1]', got {scalar!r}.")
        index = tuple(int(digits) - 1 for digits in re.findall(r"\d+", match["indices"]))
        entries.setdefault(match["name"], {})[index] = values
    return {name: _assemble(name, parts) for name, parts in entries.items()}


def _assemble(name: str, parts: Mapping[tuple[int, ...], np.ndarray]) -> np.ndarray:
    shape = tuple(max(entries) + 1 for entries in zip(*parts, strict=False))
    if set(parts) != set(np.ndindex(shape)):
        raise ValueError(
            f"draws: expected every entry of {name!r} once, its indices counted from 1, got {len(parts)} entries with "
            f"indices up to {shape}."
        )
    entries = np.stack([parts[index] for index in np.ndindex(shape)], axis=-1)  # the last index runs fastest
    return entries.reshape(entries.shape[:-1] + shape)


def _read(folder: Path, name: str, what: str) -> Any:
    """The JSON of a file, zipped or not."""
    zipped, plain = folder / f"{name}.json.zip", folder / f"{name}.json"
    if plain.is_file():
        return json.loads(plain.read_text(encoding="utf-8"))
    if zipped.is_file():
        with zipfile.ZipFile(zipped) as archive:
            return json.loads(archive.read(f"{name}.json"))
    there = sorted(file.name for file in folder.glob("*.json*"))
    raise FileNotFoundError(
        f"path: expected the {what} of this posterior at {zipped} or {plain.name} beside it, got none of them; there "
        f"are {', '.join(there[:3]) or 'no such files'}{', ...' if len(there) > 3 else ''}."
    )
