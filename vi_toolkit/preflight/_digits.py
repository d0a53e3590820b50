"""Whether float32 has digits enough for the data at hand."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from vi_toolkit.targets import Target

SINGLE = float(np.finfo(np.float32).eps)
NATS_LOST = 0.02  # by which a log density may be wrong
SDS_LOST = 0.05  # of the mean's own error, by which a mean may be wrong
HOW = 'Switch on float64, before anything is computed: jax.config.update("jax_enable_x64", True)'


def lost_digits(target: Target) -> list[str]:
    """What float32 loses of these data, in words; nothing is said in float64.

    A log likelihood of n terms is of the size of n nats, of which float32 keeps 24 binary digits: n 2^-23 nats are
    left open. Numbers of mean m and standard deviation s, n of them, say where their mean is to s / sqrt(n), and
    float32 holds them to |m| 2^-23.
    """
    if jax.config.read("jax_enable_x64"):
        return []
    leaves = [(name, np.asarray(leaf)) for name, leaf in _named_arrays(target)]
    most = max((len(leaf) for _, leaf in leaves if leaf.ndim), default=0)
    said = [] if most * SINGLE < NATS_LOST else [
        f"float32: a log likelihood of {most} terms is known to about {most * SINGLE:.2g} nats only, which is too "
        f"little. {HOW}."
    ]  # fmt: skip
    return said + [words for name, leaf in leaves if (words := _far_from_zero(name, leaf))]


def _named_arrays(target: Target) -> list[tuple[str, Any]]:
    arguments = getattr(target.program, "arguments", None)
    leaves = jax.tree.leaves(target.data)
    names = arguments.array_names if arguments else [f"bound array {i}" for i in range(len(leaves))]
    return list(zip(names, leaves, strict=True))


def _far_from_zero(name: str, leaf: np.ndarray) -> str:
    if leaf.dtype.kind != "f" or leaf.ndim == 0 or len(leaf) < 2:
        return ""
    numbers = leaf.astype(float)
    mean, error = numbers.mean(axis=0), numbers.std(axis=0) / np.sqrt(len(leaf))
    lost = np.where(error > 0, np.abs(mean) * SINGLE / np.where(error > 0, error, 1.0), 0.0)
    if not lost.max(initial=0.0) > SDS_LOST:
        return ""
    worst = np.unravel_index(np.argmax(lost), np.shape(lost))
    return (
        f"float32: the numbers of {name!r} are about {mean[worst]:.3g} in size and known to "
        f"{abs(mean[worst]) * SINGLE:.2g}, where their mean has an error of {error[worst]:.2g}. {HOW}, or subtract a "
        "round number from them."
    )
