"""Where a search begins: as many points as a method asks for, and the scale of a round normal about one."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vi_toolkit._types import Draws, Key, Scalar, Vector
from vi_toolkit.targets import Target

SCALES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)  # of a round normal, that a search tries
SCALE_DRAWS = 8  # at each


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


def first_scale(key: Key, target: Target, location: Vector, scales: Sequence[float] | Array, num_draws: int) -> Scalar:
    """The scale s, of a few, at which the ELBO of N(location, s^2 I) is highest by a few mirrored draws of each.

    Two standard deviations of log p~ are taken off the mean: with few draws a density whose far side falls steeply
    shows it in their spread first.
    """
    half = jax.random.normal(key, (num_draws // 2, len(location)), location.dtype)
    noise = jnp.concatenate([half, -half])
    tried = jnp.asarray(scales, location.dtype)
    values = jax.vmap(lambda s: jax.vmap(target.log_density)(location + s * noise))(tried)
    elbos = values.mean(axis=1) - 2 * values.std(axis=1) + len(location) * jnp.log(tried)
    elbos = jnp.where(jnp.isfinite(elbos), elbos, -jnp.inf)
    return jnp.where(jnp.any(elbos > -jnp.inf), tried[jnp.argmax(elbos)], tried[-1])
