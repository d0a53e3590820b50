"""An optax optimiser as a part of a method: equal by content, and kept out of pickles."""

from __future__ import annotations

from typing import Any

import optax

from vi_toolkit._static import fingerprint

DEFAULT = optax.scale_by_adam(b1=0.9, b2=0.99)


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
