"""What closed forms are given: data and hyperparameters as float64, refused with words where they do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from vi_toolkit._checks import check_finite, describe


def as_array(value: Any, name: str, ndim: int) -> np.ndarray:
    """``value`` as a finite, non-empty float64 array of ``ndim`` axes."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected numbers, got {describe(value)}.") from None
    if array.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} {'axis' if ndim == 1 else 'axes'}, got {describe(array)}.")
    if array.size == 0:
        raise ValueError(f"{name}: it is empty (shape {array.shape}); it needs at least one row.")
    check_finite(array, name)
    return array


def as_regression(X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """The rows (n, d) of a design and the response (n,)."""
    X, y = as_array(X, "X", 2), as_array(y, "y", 1)
    if len(X) != len(y):
        raise ValueError(f"y: expected one value for each of the {len(X)} rows of X, got {len(y)}.")
    return X, y


def as_counts(value: Any, name: str) -> np.ndarray:
    """One count or several, as a float64 array of whole numbers of at least 0, with one axis."""
    counts = as_array(np.atleast_1d(np.asarray(value)), name, 1)
    wrong = (counts < 0) | (counts != np.round(counts))
    if wrong.any():
        index = int(np.argmax(wrong))
        raise ValueError(f"{name}: expected whole numbers of at least 0, got {counts[index]} at index {index}.")
    return counts
