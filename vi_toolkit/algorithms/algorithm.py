"""What a method is: a start, a step and a turn between windows of steps, all pure and compiled by `fit`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from numpyro.distributions import Distribution

from vi_toolkit._start import Start
from vi_toolkit._types import Draws, Key, Params, Scalar
from vi_toolkit.targets import Target

State = Any


class Turn(NamedTuple):
    """What is known at the end of a window of steps; in nats."""

    params: Params  # their average over the window: what the fit reports
    change: Scalar  # D(the window before || this window): how far the fit still travels
    noise: Scalar  # D(its first half || its second half): what is left of the steps' noise


class Method(ABC):
    """How a target is fitted. Every method is a frozen dataclass and a pytree, whose leaves are its arrays.

    Example:
        >>> import vi_toolkit as vi
        >>> isinstance(vi.gradient(vi.FullRankNormal(), vi.ReverseKL()), vi.Method)
        True
    """

    @property
    @abstractmethod
    def tracked(self) -> tuple[str, ...]:
        """The names of the scalars that a step gives for the history."""

    @abstractmethod
    def check(self, target: Target) -> None:
        """Raises ValueError where the method does not go with the target."""

    @abstractmethod
    def init(self, key: Key, target: Target, candidates: Draws) -> tuple[State, Start]:
        """The first state and the point found; ``start.finite`` says whether there is a place to begin."""

    @abstractmethod
    def begin_half(self, state: State) -> State:
        """Called before each half of a window."""

    @abstractmethod
    def step(self, key: Key, state: State, target: Target) -> tuple[State, dict[str, Scalar]]:
        """One step and its scalars for the history: ``loss``, ``ok`` (0 where it was skipped as not finite), ..."""

    @abstractmethod
    def turn(self, key: Key, state: State) -> Turn:
        """Looks at a window that has ended."""

    @abstractmethod
    def next_window(self, state: State, average: Params, slow_down: float) -> State:
        """The state at the beginning of the next window, with the learning rate multiplied by ``slow_down``.

        Runs between compiled programs, on plain arrays.
        """

    @abstractmethod
    def latest(self, state: State) -> Params:
        """The parameters as they stand, not averaged."""

    @abstractmethod
    def posterior(self, params: Params) -> Distribution:
        """The approximation that the parameters stand for."""

    @abstractmethod
    def num_gradients(self, target: Target, num_steps: int) -> float:
        """Log-density gradients spent by a start and ``num_steps`` steps."""

    def collapsed(self, history: dict[str, Any]) -> bool:
        """Whether the last part of the history rests on importance weights that collapsed onto a few draws."""
        return False

    @abstractmethod
    def warnings(self, history: dict[str, Any]) -> list[str]:
        """What the last part of the history says against the fit, in words."""
