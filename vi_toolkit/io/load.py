"""Fits from files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import check_instance
from vi_toolkit._start import NUM_STARTS
from vi_toolkit.algorithms import Method
from vi_toolkit.fit import Fit
from vi_toolkit.io import _recipe
from vi_toolkit.io._format import Saved, layout, read_file
from vi_toolkit.targets import Target
from vi_toolkit.windows import Checkpoint


def load(path: str | os.PathLike[str], target: Target, *, method: Method | None = None) -> Fit:
    """Reads a fit that `save` wrote. No code in the file is run, whoever wrote it.

    The fit is the same, bit for bit, and `vi.resume` continues it as it would have continued the one that was saved.

    Args:
        path: of the file.
        target: what was fitted to: made again from the model and the data.
        method: the method again; needed only where a part of it could not be saved, which the error then names.

    Returns:
        The fit.

    Raises:
        TypeError: if ``target`` or ``method`` is of the wrong kind.
        ValueError: if the file is no saved fit, is damaged, or is of a later format; if it is of a target of another
            dimension or other sites; if it was saved in float64 and this process is in float32; if the method does not
            go with it, or is needed and was not given.
        OSError: if the file cannot be read.

    Example:
        >>> import jax, jax.numpy as jnp, pathlib, tempfile, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
        >>> fit = vi.fit(jax.random.key(0), target, max_steps=10)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     vi.save(fit, pathlib.Path(folder) / "fit.npz")
        ...     again = vi.load(pathlib.Path(folder) / "fit.npz", target)
        >>> bool(vi.resume(again, max_steps=5).posterior.mean[0] == vi.resume(fit, max_steps=5).posterior.mean[0])
        True
    """
    check_instance(
        target, Target, "target", "Make one with vi.from_numpyro(model, ...) or vi.from_log_density(f, dim=...)."
    )
    if method is not None:
        check_instance(method, Method, "method", "Make one with vi.gradient(guide, objective).")
    saved = read_file(Path(path))
    _check_target(saved, target)
    method = _method(saved) if method is None else method
    method.check(target)
    state, params = _shapes(method, target)
    return Fit(
        target=target,
        method=method,
        params=_fill(saved, "params", params),
        checkpoint=Checkpoint(state=_fill(saved, "state", state), **saved.checkpoint),
        **saved.fields,
    )


def _method(saved: Saved) -> Method:
    if saved.lost:
        raise ValueError(
            f"method: {saved.path} was saved without {' and '.join(saved.lost)}, which cannot be written as plain "
            "data. Give the method again: vi.load(path, target, method=...)."
        )
    try:
        method = _recipe.read(saved.recipe, saved.arrays)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"method: the recipe in {saved.path} does not fit this version of vi-toolkit ({error}); it was written by "
            f"{saved.versions}. Give the method again: vi.load(path, target, method=...)."
        ) from error
    check_instance(method, Method, "method", "The file is damaged.")
    return method


def _shapes(method: Method, target: Target) -> tuple[Any, Any]:
    """The structures of a state of the method and of its parameters, without computing any."""

    def begin(target: Target, candidates: Any) -> tuple[Any, Any]:
        state, _ = method.init(jax.random.key(0), target, candidates)
        return state, method.latest(state)

    return jax.eval_shape(begin, target, jax.ShapeDtypeStruct((NUM_STARTS, target.dim), jnp.result_type(float)))


def _fill(saved: Saved, group: str, shapes: Any) -> Any:
    """The saved leaves in the structure that the method gives, once their shapes are seen to fit."""
    expected, structure = jax.tree.flatten(shapes)
    leaves = saved.leaves(group)
    if len(leaves) != len(expected):
        raise ValueError(f"method: {saved.path} has {len(leaves)} arrays of {group}, the method has {len(expected)}.")
    filled = [_as_leaf(saved, group, leaf, shape) for leaf, shape in zip(leaves, expected, strict=True)]
    return jax.tree.unflatten(structure, filled)


def _as_leaf(saved: Saved, group: str, leaf: np.ndarray, expected: Any) -> Any:
    if jnp.issubdtype(expected.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(leaf))
    if leaf.shape != expected.shape:
        raise ValueError(
            f"method: {saved.path} has an array of {group} of shape {leaf.shape} where the method has {expected.shape}."
        )
    if leaf.dtype != expected.dtype:
        raise ValueError(
            f"path: {saved.path} was saved in {leaf.dtype}, and this process computes in {expected.dtype}. Set "
            f'jax.config.update("jax_enable_x64", {leaf.dtype == np.float64}) before anything else.'
        )
    return jnp.asarray(leaf)


def _check_target(saved: Saved, target: Target) -> None:
    theirs, ours = saved.target, layout(target)
    if theirs["dim"] != ours["dim"]:
        raise ValueError(f"target: {saved.path} is of a target of dim {theirs['dim']}, this one has dim {ours['dim']}.")
    if theirs["sites"] != ours["sites"]:
        described = [", ".join(f"{site[0]} {tuple(site[4])}" for site in layout["sites"]) for layout in (theirs, ours)]
        raise ValueError(
            f"target: {saved.path} is of a target with the sites {described[0]}; this one has {described[1]}."
        )
