"""Fits into files."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import check_instance
from vi_toolkit.fit import Fit
from vi_toolkit.io._format import FORMAT, FORMAT_VERSION, layout
from vi_toolkit.io._recipe import Writer
from vi_toolkit.tree import versions
from vi_toolkit.windows import Checkpoint


def save(fit: Fit, path: str | os.PathLike[str]) -> None:
    """Saves a fit, all but its target, in one file.

    The file is NumPy's .npz (a zip of .npy arrays, none of them pickled), under the name given, whatever its ending:

    - ``meta``: one JSON text: ``format`` and ``format_version``; ``versions`` of the packages; ``recipe``, the method
      as ``{"part": class, "fields": {...}}`` all the way down, with ``lost``, the parts that have no such recipe;
      ``target``: dim and sites; ``status``, ``warnings``, ``preflight``, ``num_steps``, ``num_gradients``;
      ``schedule`` and ``checkpoint``: where the loop stands;
    - ``params/i`` and ``state/i``: the leaves of the guide's parameters and of the checkpoint's state, in JAX's order;
    - ``history/name``: the history; ``checkpoint/name``: the key and the losses of the window; ``recipe/i``: arrays
      inside the method.

    A method with a part of the user's own (an optax optimiser, a guide, a NumPyro autoguide) is saved without that
    part; `load` is then to be given the method again. The target, data and all, is never saved.

    Args:
        fit: from `vi.fit`.
        path: where to; a file that is there is replaced, once the new one is whole.

    Raises:
        TypeError: if ``fit`` is not a `Fit`.
        OSError: if the file cannot be written.

    Example:
        >>> import jax, jax.numpy as jnp, pathlib, tempfile, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
        >>> fit = vi.fit(jax.random.key(0), target, vi.gradient(vi.FullRankNormal(), vi.ReverseKL()), max_steps=10)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     vi.save(fit, pathlib.Path(folder) / "fit.npz")
        ...     vi.load(pathlib.Path(folder) / "fit.npz", target).num_steps
        10
    """
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    writer = Writer()
    point = {f.name: getattr(fit.checkpoint, f.name) for f in fields(Checkpoint)}
    state, schedule = point.pop("state"), point.pop("schedule")
    meta = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": versions(),
        "recipe": writer.write(fit.method, "method"),
        "lost": writer.lost,
        "target": layout(fit.target),
        "status": fit.status.name,
        "warnings": list(fit.warnings),
        "preflight": {"errors": list(fit.preflight.errors), "warnings": list(fit.preflight.warnings)},
        "num_steps": fit.num_steps,
        "num_gradients": float(fit.num_gradients),
        "schedule": {name: writer.write(_plain(value), name) for name, value in schedule._asdict().items()},
        "checkpoint": {name: _plain(value) for name, value in point.items() if not _is_array(value)},
    }
    arrays = {
        "meta": np.array(json.dumps(meta, allow_nan=False)),
        **{f"params/{i}": _as_array(leaf) for i, leaf in enumerate(jax.tree.leaves(fit.params))},
        **{f"state/{i}": _as_array(leaf) for i, leaf in enumerate(jax.tree.leaves(state))},
        **{f"checkpoint/{name}": np.asarray(value) for name, value in point.items() if _is_array(value)},
        **{f"history/{name}": values for name, values in fit.history.items()},
        **writer.arrays,
    }
    path = Path(path)
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())  # else a loss of power could leave the new name with nothing in it
    os.replace(part, path)


def _as_array(leaf: Any) -> np.ndarray:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(leaf))
    return np.asarray(leaf)


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, jax.Array))


def _plain(value: Any) -> Any:
    """A NumPy number as Python's."""
    return value.item() if isinstance(value, np.generic) else value
