"""Runs of NUTS on disk, under names that are hashes of all that they depend on."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from vi_toolkit.exact._hash import NotHashableError, digest
from vi_toolkit.targets import Target

FORMAT = 1


def path_of_run(folder: Path, key: Any, target: Target, settings: Mapping[str, int | float]) -> Path | None:
    """Where a run is kept; None, with a warning, where the model uses something that cannot be hashed."""
    versions = [sys.version, *(metadata.version(package) for package in ("jax", "jaxlib", "numpyro", "numpy"))]
    precision = str(jnp.result_type(float))
    try:
        name = digest(FORMAT, versions, precision, key, dict(settings), target.program, target.data)
    except NotHashableError as error:
        warnings.warn(
            f"cache: this run is not kept, since it cannot be told whether the model is the same: it uses {error}.",
            stacklevel=3,
        )
        return None
    return folder / f"reference-{name[:40]}.npz"


def load_chains(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The chains that are kept there; None where there are none, or none that can be read."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            chains = np.asarray(file["chains"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return chains if chains.shape == shape and chains.dtype == np.float64 and np.isfinite(chains).all() else None


def save_chains(path: Path, chains: np.ndarray) -> None:
    """Writes them in one step, so that no reader finds half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(suffix=".npz", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, chains=chains)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
