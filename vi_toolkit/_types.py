"""The words that every other file uses: keys, vectors, log weights, and what a target must be able to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from jaxtyping import Array, Float, Key as KeyArray, UInt32

Key = KeyArray[Array, ""] | UInt32[Array, "2"]  # jax.random.key(0), or the older jax.random.PRNGKey(0)
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
