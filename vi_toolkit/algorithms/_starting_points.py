"""As many starting points as a method asks for, out of the candidates that a fit offers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vi_toolkit._types import Draws, Key


def starting_points(key: Key, candidates: Draws, count: int) -> Float[Array, "starts dim"]:
    """The first candidates; beyond their number, points between two of them, each coordinate on its own."""
    offered, dim = candidates.shape
    if count <= offered:
        return candidates[:count]
    key_pairs, key_shares = jax.random.split(key)
    pairs = jax.random.randint(key_pairs, (2, count - offered, dim), 0, offered)
    one, other = jnp.take_along_axis(candidates, pairs[0], 0), jnp.take_along_axis(candidates, pairs[1], 0)
    shares = jax.random.uniform(key_shares, one.shape, candidates.dtype)
    return jnp.concatenate([candidates, one + shares * (other - one)])
