"""Random points at which a search or a chain may begin."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np

from vi_toolkit._types import Draws, Key
from vi_toolkit.targets import Target


def candidates(key: Key, target: Target, number: int) -> np.ndarray:
    """(number, dim): in turn from the target's prior, where it has one to draw from, and uniform on (-2, 2)."""
    uniform, prior = _draw(key, target, number)
    points = np.array(uniform, dtype=np.float64)
    if prior is not None:
        points[::2] = prior[::2]
    return points


@partial(jax.jit, static_argnames="number")
def _draw(key: Key, target: Target, number: int) -> tuple[Draws, Draws | None]:
    key_uniform, key_prior = jax.random.split(key)
    uniform = jax.random.uniform(key_uniform, (number, target.dim), minval=-2.0, maxval=2.0)
    return uniform, jax.vmap(target.prior_draw)(jax.random.split(key_prior, number))
