"""A choice between two trees of arrays, made one by one along their leading axis."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array


def where_each(chosen: Array, new: Any, old: Any) -> Any:
    """The entries of the new arrays where ``chosen`` (n,), those of the old ones elsewhere; all of shape (n, ...)."""
    return jax.tree.map(lambda a, b: jnp.where(chosen.reshape(-1, *(1,) * (a.ndim - 1)), a, b), new, old)
