"""Border checks: each error names the argument, what was expected, what came, and the likely fix."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def check_key(key: Any, name: str = "key") -> None:
    """Raises TypeError unless ``key`` is one JAX random key."""
    is_typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    is_raw = isinstance(key, jax.Array) and key.dtype == jnp.uint32 and key.shape == (2,)
    if not (is_raw or (is_typed and key.shape == ())):
        raise TypeError(f"{name}: expected one JAX random key, got {describe(key)}. Make one with jax.random.key(0).")


def check_positive_int(value: Any, name: str) -> int:
    """Returns ``value`` as an int; raises unless it is a whole number of at least 1 (booleans are refused)."""
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_))
    if not is_whole:
        raise TypeError(f"{name}: expected a whole number, got {describe(value)}.")
    if value < 1:
        raise ValueError(f"{name}: expected at least 1, got {int(value)}.")
    return int(value)


def check_num_values(value: Any) -> tuple[int, ...]:
    """``value``, how many values each coordinate takes, as a tuple; raises unless all are whole and at least 1."""
    if not isinstance(value, (Sequence, np.ndarray)) or isinstance(value, str) or not len(value):
        raise TypeError(
            f"num_values: expected how many values each coordinate takes, such as (2, 2, 3), got {describe(value)}."
        )
    return tuple(check_positive_int(entry, f"num_values[{i}]") for i, entry in enumerate(value))


def check_continuous(target: Any, what: str) -> None:
    """Raises ValueError where a target is over finitely many points and not over R^dim."""
    if target.num_values is not None:
        raise ValueError(
            f"target: {what} asks for a density on R^dim, and this target is over whole numbers of {target.num_values} "
            "values. See vi.MeanFieldCategorical for what goes with it."
        )


def check_positive(value: Any, name: str) -> float:
    """Returns ``value`` as a float; raises unless it is a finite number above zero."""
    if not isinstance(value, numbers.Real) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected a positive number, got {describe(value)}.")
    number = float(value)
    if not (np.isfinite(number) and number > 0):
        raise ValueError(f"{name}: expected a finite number above 0, got {number}.")
    return number


def check_instance(value: Any, kind: type | tuple[type, ...], name: str, hint: str) -> None:
    """Raises TypeError unless ``value`` is an instance of ``kind``; a class given for its instance is told apart."""
    if isinstance(value, kind):
        return
    kinds = kind if isinstance(kind, tuple) else (kind,)
    expected = " or ".join(k.__name__ for k in kinds)
    if isinstance(value, type):
        raise TypeError(f"{name}: expected a {expected}, got the class {value.__name__} itself. {hint}")
    raise TypeError(f"{name}: expected a {expected}, got {describe(value)}. {hint}")


def check_finite(array: Any, name: str) -> None:
    """Raises ValueError naming the first NaN or infinite entry of a numeric array."""
    array = np.asarray(array)
    if not np.issubdtype(array.dtype, np.inexact) or np.isfinite(array).all():
        return
    bad = np.argwhere(~np.isfinite(array))
    index = tuple(int(i) for i in bad[0])
    where = index[0] if len(index) == 1 else index
    raise ValueError(
        f"{name}: {len(bad)} of {array.size} entries are NaN or infinite, "
        f"the first is {array[index]} at index {where}. Drop or impute these rows."
    )


def describe(value: Any) -> str:
    """A value in a few words, for error messages."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of shape {tuple(value.shape)} and dtype {value.dtype}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
