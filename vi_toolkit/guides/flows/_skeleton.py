"""A flow without its arrays: functions, masks and permutations, built once for a flow and a dim."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
from flowjax.distributions import StandardNormal


@lru_cache(maxsize=64)
def skeleton(flow: Any, dim: int) -> Any:
    """The flow's bijection, as it is built with one fixed key.

    flowjax keeps arrays in closures (masks, the identity's parameters) and looks at values while it builds, so that
    building must not happen under jit or vmap, where guides are called. A thread of its own is outside of them.
    """
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(lambda: flow.build(jax.random.key(0), dim)).result()


def split(bijection: Any) -> tuple[Any, Any]:
    """The arrays that are fitted, and where they belong."""
    return jax.tree.flatten(eqx.filter(bijection, eqx.is_inexact_array))


def join(bijection: Any, arrays: Any) -> Any:
    """The bijection with other arrays in it."""
    fitted, rest = eqx.partition(bijection, eqx.is_inexact_array)
    return eqx.combine(jax.tree.unflatten(jax.tree.structure(fitted), arrays), rest)


def standard_normal(dim: int) -> Any:
    """The noise, of which flowjax's flows want to know the shape."""
    make: Any = StandardNormal  # its fields hide its constructor from mypy
    return make((dim,))
