"""An optax optimiser as a part of a method: equal by content, and kept out of pickles."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from vi_toolkit._static import fingerprint

DECAY = 0.99
OUTLIER = 10.0  # root-mean-squares of its own, beyond which an entry of a gradient is cut


class _Sizes(NamedTuple):
    steps: Array
    squares: Any  # running means of the squared entries


def cut_outliers() -> optax.GradientTransformation:
    """Cuts every entry of a gradient at ten times its own running root-mean-square.

    One draw where a density explodes would otherwise stay in Adam's second moment for hundreds of steps, in which
    nothing moves.
    """

    def init(params: Any) -> _Sizes:
        return _Sizes(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(gradient: Any, sizes: _Sizes, params: Any = None) -> tuple[Any, _Sizes]:
        seen = 1 - DECAY**sizes.steps

        def cut(g: Array, square: Array) -> Array:
            limit = OUTLIER * jnp.sqrt(square / jnp.where(seen > 0, seen, 1))
            return jnp.where(limit > 0, jnp.clip(g, -limit, limit), g)

        kept = jax.tree.map(cut, gradient, sizes.squares)
        squares = jax.tree.map(lambda square, g: DECAY * square + (1 - DECAY) * g**2, sizes.squares, kept)
        return kept, _Sizes(sizes.steps + 1, squares)

    return optax.GradientTransformation(init, update)


DEFAULT = optax.chain(cut_outliers(), optax.scale_by_adam(b1=0.9, b2=DECAY))


class Optimizer:
    """A user's optax transformation. Two that were built in the same way are equal.

    Optax builds them of local functions, which cannot be pickled: a pickle keeps the place empty.
    """

    def __init__(self, transformation: optax.GradientTransformation) -> None:
        self.transformation = transformation
        self._fingerprint = fingerprint(tuple(transformation))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Optimizer) and self._fingerprint == other._fingerprint

    def __hash__(self) -> int:
        return hash(self._fingerprint)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_lost_optimizer, ())


def _lost_optimizer() -> Optimizer:
    def refuse(*_: Any) -> Any:
        raise ValueError(
            "optimizer: this fit was unpickled, and its own optax optimiser could not travel with it. "
            "Continue it with vi.resume(fit, method=...), giving the method again."
        )

    return Optimizer(optax.GradientTransformation(refuse, refuse))
