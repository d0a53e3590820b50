"""Runs of NUTS on disk, under names that are hashes of all that they depend on."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit.exact._bytecode import NotHashableError
from vi_toolkit.exact._hash import digest
from vi_toolkit.targets import Target

FORMAT = 1


def path_of_run(folder: Path, key: Any, target: Target, settings: Mapping[str, int | float]) -> Path | None:
    """Where a run is kept; None, with a warning, where the model uses something that cannot be hashed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cache: expected a folder, or where one can be made, got {folder}: {error}.") from None
    packages = ("jax", "jaxlib", "numpy", "numpyro", "scipy")
    versions = [sys.version, *(metadata.version(package) for package in packages)]
    try:
        name = digest(FORMAT, versions, _configuration(), key, dict(settings), target.program, target.data)
    except NotHashableError as error:
        warnings.warn(
            f"cache: this run is not kept, since it cannot be told whether the model is the same: it uses {error}.",
            stacklevel=3,
        )
        return None
    return folder / f"reference-{name[:40]}.npz"


def _configuration() -> list[str]:
    """The settings of JAX that change the numbers that it gives."""
    options = ("jax_default_matmul_precision", "jax_threefry_partitionable")
    values = [str(getattr(jax.config, option)) for option in options]
    return [str(jnp.result_type(float)), jax.default_backend(), *values]


def load_chains(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The chains that are kept there; None where there are none, or none that can be read."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            chains = np.asarray(file["chains"])
    except Exception:  # a file that is damaged, or of another kind, can make NumPy and zlib raise anything
        return None
    return chains if chains.shape == shape and chains.dtype == np.float64 and np.isfinite(chains).all() else None


def save_chains(path: Path, chains: np.ndarray) -> None:
    """Writes them in one step, so that no reader finds half a file; where it cannot, a warning says so."""
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, chains=chains)
        os.replace(temporary, path)
    except OSError as error:  # the run itself is not lost
        warnings.warn(f"cache: the run could not be kept in {path}: {error}.", stacklevel=3)
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
