"""What closed forms are given: data and hyperparameters as float64, refused with words where they do not fit."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from vi_toolkit._checks import check_finite, describe

SYMMETRY = 1e-10  # of the largest entry


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


def check_number(value: Any, name: str) -> float:
    """A finite number of any sign."""
    if not isinstance(value, numbers.Real) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected a number, got {describe(value)}.")
    if not np.isfinite(float(value)):
        raise ValueError(f"{name}: expected a finite number, got {float(value)}.")
    return float(value)


def check_symmetric(matrix: np.ndarray, name: str) -> None:
    """Raises ValueError unless a square matrix is its transpose, but for rounding."""
    gap = np.abs(matrix - matrix.T).max()
    if gap > SYMMETRY * np.abs(matrix).max():
        raise ValueError(f"{name}: expected a symmetric matrix; it differs from its transpose by up to {gap:.3g}.")


def as_trials(trials: Any, successes: np.ndarray, name: str, hint: str) -> np.ndarray:
    """The numbers of trials (n,) that go with counts of successes (n,), which are called ``name``."""
    numbers = as_counts(trials, "trials")
    if numbers.shape not in ((1,), successes.shape):
        raise ValueError(f"trials: expected one number or {len(successes)}, as many as {name}, got {len(numbers)}.")
    numbers = np.broadcast_to(numbers, successes.shape).copy()
    if (successes > numbers).any():
        index = int(np.argmax(successes > numbers))
        raise ValueError(
            f"{name}: expected at most the number of trials, got {successes[index]:.0f} of {numbers[index]:.0f} at "
            f"index {index}. {hint}"
        )
    return numbers
