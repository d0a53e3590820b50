"""What conjugate entries are given: numbers, positive vectors, scale matrices and new rows, refused with words."""

from __future__ import annotations

from typing import Any

import numpy as np

from vi_toolkit.exact._inputs import as_array, check_symmetric


def as_positive(value: Any, name: str) -> np.ndarray:
    """A vector of finite numbers above 0."""
    array = as_array(value, name, 1)
    if (array <= 0).any():
        index = int(np.argmax(array <= 0))
        raise ValueError(f"{name}: expected numbers above 0, got {array[index]} at index {index}.")
    return array


def as_positive_definite(value: Any, name: str, size: int) -> np.ndarray:
    """A symmetric positive definite matrix (size, size), exactly symmetric."""
    matrix = as_array(value, name, 2)
    if matrix.shape != (size, size):
        raise ValueError(f"{name}: expected shape {(size, size)}, one row for each column of y, got {matrix.shape}.")
    check_symmetric(matrix, name)
    matrix = 0.5 * (matrix + matrix.T)
    smallest = np.linalg.eigvalsh(matrix)[0]
    if smallest <= 0:
        raise ValueError(f"{name}: expected a positive definite matrix; its smallest eigenvalue is {smallest:.3g}.")
    return matrix


def as_new_rows(value: Any, columns: int) -> np.ndarray:
    """Rows (new rows, columns) at which a regression predicts."""
    X = as_array(value, "X", 2)
    if X.shape[1] != columns:
        raise ValueError(f"X: expected rows of {columns} entries, as many as the design had columns, got {X.shape[1]}.")
    return X
