"""What Gaussian entries are given: vectors, matrices and covariances, refused with words where they do not fit."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from vi_toolkit._checks import check_finite, describe
from vi_toolkit.exact._inputs import as_array, check_symmetric


def as_vector(value: Any, name: str, size: int, each: str) -> np.ndarray:
    """A finite vector (size,); ``each`` says what one entry belongs to."""
    vector = as_array(value, name, 1)
    if len(vector) != size:
        raise ValueError(f"{name}: expected one value for each of the {size} {each}, got {len(vector)}.")
    return vector


def as_matrix(value: Any, name: str, rows: int | None, columns: int | None, what: str) -> np.ndarray:
    """A finite matrix of the given numbers of rows and columns; None allows any."""
    matrix = as_array(value, name, 2)
    if rows not in (None, len(matrix)) or columns not in (None, matrix.shape[1]):
        raise ValueError(f"{name}: expected shape {what}, got {describe(matrix)}.")
    return matrix


def as_covariance_root(value: Any, name: str, size: int) -> np.ndarray:
    """The lower Cholesky factor of a symmetric positive definite matrix (size, size)."""
    if isinstance(value, numbers.Real):
        raise ValueError(f"{name}: expected a matrix of shape {(size, size)}, got {value}; for a variance v, v * eye.")
    matrix = as_matrix(value, name, size, size, f"{(size, size)}")
    check_symmetric(matrix, name)
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        smallest = np.linalg.eigvalsh(matrix)[0]
        raise ValueError(
            f"{name}: expected a positive definite matrix; its smallest eigenvalue is {smallest:.3g}. It holds "
            "variances and covariances, not standard deviations."
        ) from None


def as_offset(value: Any, size: int) -> np.ndarray:
    """One number for all rows, or one for each."""
    try:
        offset = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"offset: expected numbers, got {describe(value)}.") from None
    if offset.shape not in ((), (size,)):
        raise ValueError(f"offset: expected one number, or one for each of the {size} rows, got {describe(offset)}.")
    check_finite(offset, "offset")
    return np.broadcast_to(offset, (size,)).copy()


def as_effects(effects: Any, ses: Any) -> tuple[np.ndarray, np.ndarray]:
    """Estimated effects (groups,) and their standard errors."""
    effects = as_array(effects, "effects", 1)
    ses = as_vector(ses, "ses", len(effects), "effects")
    if (ses <= 0).any():
        index = int(np.argmax(ses <= 0))
        raise ValueError(f"ses: expected standard errors above 0, got {ses[index]} at index {index}.")
    return effects, ses


def check_not_negative(value: Any, name: str) -> float:
    """A finite number of at least 0."""
    if not isinstance(value, numbers.Real) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected a number, got {describe(value)}.")
    number = float(value)
    if not (np.isfinite(number) and number >= 0):
        raise ValueError(f"{name}: expected a finite number of at least 0, got {number}.")
    return number
