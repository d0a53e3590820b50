"""Probabilities of states, and draws of states."""

from __future__ import annotations

from typing import Any

import numpy as np

from vi_toolkit.exact._inputs import as_array


def as_probabilities(value: Any, name: str, ndim: int) -> np.ndarray:
    """``value`` as probabilities along the last axis, divided by their sum, which is one up to rounding."""
    probs = as_array(value, name, ndim)
    if (probs < 0).any():
        raise ValueError(f"{name}: expected probabilities, got {probs.min()}.")
    total = probs.sum(axis=-1, keepdims=True)
    if np.abs(total - 1.0).max() > 1e-6:
        row = int(np.abs(total - 1.0).argmax())
        where = f"row {row} sums" if ndim == 2 else "they sum"
        raise ValueError(f"{name}: expected probabilities that sum to 1, but {where} to {total.flat[row]:.6g}.")
    return probs / total


def log_of(probs: np.ndarray) -> np.ndarray:
    """Logarithms, -inf for zero."""
    with np.errstate(divide="ignore"):
        return np.log(probs)


def draw_states(generator: np.random.Generator, probs: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """States of shape ``shape`` with probabilities ``probs`` (..., K), by inversion of the distribution function.

    A state of probability zero is never drawn.
    """
    cumulative = np.cumsum(probs, axis=-1)
    cumulative /= cumulative[..., -1:]
    uniform = generator.random(shape)
    states = np.zeros(shape, dtype=np.int64)
    for k in range(probs.shape[-1] - 1):
        states += uniform >= cumulative[..., k]
    return states
