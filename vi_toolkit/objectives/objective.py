"""What an objective is: a loss of a guide's parameters, with facts about it for the history."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from vi_toolkit._types import Density, Key, Params, Scalar
from vi_toolkit.guides import Guide

Memory = Any  # a pytree of arrays


class Objective(ABC):
    """A divergence between q and p, as a loss to be minimised over q's parameters.

    Every objective is a frozen dataclass and a pytree, whose leaves are its arrays.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.ReverseKL().tracked, vi.ForwardKL().tracked
        (('elbo',), ('cross_entropy', 'elbo', 'ess', 'temper'))
    """

    num_draws: ClassVar[int] = 32  # a step, unless the user says otherwise

    @property
    @abstractmethod
    def tracked(self) -> tuple[str, ...]:
        """The names of the scalars that `loss` gives for the history."""

    @abstractmethod
    def loss(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """A random estimate of the loss in nats, differentiable in ``params``, and scalars for the history."""

    def begin(self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> Memory:
        """What the objective carries from step to step, before the first: a pytree of arrays; nothing by default."""
        return ()

    def loss_with_memory(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int, memory: Memory
    ) -> tuple[Scalar, dict[str, Scalar], Memory]:
        """`loss`, with what is carried from step to step; by default nothing is."""
        return *self.loss(key, params, guide, target, num_draws), memory

    @abstractmethod
    def gradients_per_step(self, num_draws: int) -> float:
        """Log-density gradients spent by one step: a gradient at one draw is one, a bare density a third."""

    def gradients_over(self, guide: Guide, num_draws: int) -> float:
        """The same over a guide, where what is spent depends on it."""
        return self.gradients_per_step(num_draws)

    def gradients_to_begin(self, num_draws: int) -> float:
        """Log-density gradients spent by `begin`."""
        return 0.0

    def collapsed(self, history: dict[str, Any]) -> bool:
        """Whether the last part of a history shows importance weights that rest on a few draws: no fit at all."""
        return False

    def warnings(self, history: dict[str, Any]) -> list[str]:
        """What the last part of a history says against the fit, in words."""
        return []

    def check(self, guide: Guide, dim: Any) -> None:
        """Raises ValueError where this objective does not go with the guide or the dimension."""
        return None
