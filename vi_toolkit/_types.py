"""The words that every other file uses: keys, vectors, log weights, and what a target must be able to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key as KeyArray, UInt32

Key = KeyArray[Array, ""] | UInt32[Array, "2"]  # jax.random.key(0), or the older jax.random.PRNGKey(0)
OLDER_KEYS = "threefry2x32"  # what a key of the older sort, which does not say, is of
Scalar = Float[Array, ""]
Vector = Float[Array, "dim"]  # one point of R^dim
Draws = Float[Array, "draws dim"]
LogWeights = Float[Array, "draws"]  # log p(z_i) - log q(z_i), in nats
Params = Any  # an unconstrained pytree of floats
Sites = Mapping[str, Array]  # named sites in the model's own, constrained space


class Density(Protocol):
    """What a guide and an objective ask of a target: a log density of one point of R^dim."""

    @property
    def dim(self) -> int: ...

    def log_density(self, z: Vector) -> Scalar: ...


def typed_key(key: Any, kind: str = OLDER_KEYS) -> Key:
    """A key as `jax.random.key` makes them, from one of either sort, or from the data of one and its kind."""
    is_typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return key if is_typed else jax.random.wrap_key_data(jnp.asarray(key), impl=kind)


def raw_key(key: Key) -> tuple[np.ndarray, str]:
    """The data of a key of either sort, on the host, and its kind: what `typed_key` makes it from."""
    typed = typed_key(key)
    return np.asarray(jax.random.key_data(typed)), str(jax.random.key_impl(typed))


def numpy_generator(key: Key) -> np.random.Generator:
    """NumPy's random numbers from a key of either sort."""
    return np.random.default_rng(raw_key(key)[0].ravel())
