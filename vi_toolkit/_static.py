"""Equality by content for functions, so that objects built twice in the same way share one compiled program."""

from __future__ import annotations

from collections.abc import Hashable
from types import FunctionType
from typing import Any

import numpy as np


def fingerprint(value: Any) -> Hashable:
    """A hashable stand-in for a value: equal for functions of the same code over equal closures and defaults.

    Optimisers are records of closures; two calls of ``optax.adam(0.01)`` give records that differ by identity
    and are the same by fingerprint. What cannot be looked into stands for itself.
    """
    if isinstance(value, FunctionType):
        cells = tuple(fingerprint(cell.cell_contents) for cell in value.__closure__ or () if _is_filled(cell))
        defaults = fingerprint((value.__defaults__, value.__kwdefaults__))
        return (value.__code__, cells, defaults)
    if isinstance(value, (tuple, list)):
        return (type(value).__name__, *(fingerprint(item) for item in value))
    if isinstance(value, dict):
        return ("dict", *sorted((str(key), fingerprint(item)) for key, item in value.items()))
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    return value if _is_hashable(value) else id(value)


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises
    except ValueError:
        return False
    return True


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
