"""What a method is: a start, a step and a turn between windows of steps, all pure and compiled by `fit`."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpyro.distributions import Distribution

from vi_toolkit._start import Start
from vi_toolkit._types import Draws, Key, Params, Scalar
from vi_toolkit.targets import Target

State = Any


class Outcome(enum.IntEnum):
    """Where a method stands that knows its own end; a whole number, so that compiled programs can carry it."""

    GOES_ON = 0
    CONVERGED = 1
    STALLED = 2  # no step improves it any more, and it is not at rest
    DIVERGED = 3  # what it needs is not finite


class Turn(NamedTuple):
    """What is known at the end of a window of steps; in nats."""

    params: Params  # their average over the window: what the fit reports
    change: Scalar  # D(the window before || this window): how far the fit still travels
    noise: Scalar  # D(its first half || its second half): what is left of the steps' noise
    rhat: Scalar  # split R-hat of the parameters: 1 where they move about their place, more where they travel


class Method(ABC):
    """How a target is fitted. Every method is a frozen dataclass and a pytree, whose leaves are its arrays.

    Example:
        >>> import vi_toolkit as vi
        >>> isinstance(vi.gradient(vi.FullRankNormal(), vi.ReverseKL()), vi.Method)
        True
    """

    max_steps: ClassVar[int] = 50_000  # unless the user says otherwise
    ends_itself: ClassVar[bool] = False  # whether `outcome` says when it ends; `SelfEnding` does
    # entries of the history, in nats, by which one sees how near the end is, with words for `plot_fit`
    distances: ClassVar[tuple[tuple[str, str], ...]] = (
        ("change", "change since the last window"),
        ("noise", "noise within a window"),
    )

    @property
    def searches_rate(self) -> bool:
        """Whether a turn may raise its learning rate, too."""
        return False

    @property
    def spreads(self) -> bool:
        """Whether it begins at many of its candidates at once, rather than at one of them."""
        return False

    def as_one_of_many(self) -> Method:
        """The method for one of several runs, each with candidates of its own, which need no search among them."""
        return self

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
    def next_window(self, state: State, average: Params, pace: float) -> State:
        """The state at the beginning of the next window, with the learning rate multiplied by ``pace``.

        Runs between compiled programs, on plain arrays.
        """

    @abstractmethod
    def set_back(self, state: State) -> State:
        """The state at the average of the window before, for a window that went wrong; also between programs."""

    @abstractmethod
    def latest(self, state: State) -> Params:
        """The parameters as they stand, not averaged."""

    @abstractmethod
    def posterior(self, params: Params) -> Distribution:
        """The approximation that the parameters stand for."""

    @abstractmethod
    def num_gradients(self, target: Target, history: dict[str, Any]) -> float:
        """Log-density gradients spent by a start and the steps of a history."""

    def outcome(self, state: State) -> Array:
        """An `Outcome` as a whole number."""
        return jnp.asarray(Outcome.GOES_ON.value)

    def collapsed(self, history: dict[str, Any]) -> bool:
        """Whether the last part of the history rests on importance weights that collapsed onto a few draws."""
        return False

    def remarks(self, target: Target, params: Params) -> list[str]:
        """What the result says against the fit, in words that may name the target's sites."""
        return []

    @abstractmethod
    def warnings(self, history: dict[str, Any]) -> list[str]:
        """What the last part of the history says against the fit, in words."""


class SelfEnding(Method):
    """A method that knows its own end and reports its latest state: no windows, averages or learning rates.

    A step adds ``gradients`` to the history: the log-density gradients that it spent, the start's in the first.
    """

    max_steps: ClassVar[int] = 1_000
    ends_itself: ClassVar[bool] = True
    distances: ClassVar[tuple[tuple[str, str], ...]] = ()

    @abstractmethod
    def outcome(self, state: State) -> Array:
        """An `Outcome` as a whole number; the fit ends as soon as it is not GOES_ON."""

    def begin_half(self, state: State) -> State:
        return state

    def turn(self, key: Key, state: State) -> Turn:
        nothing = jnp.zeros(())
        return Turn(self.latest(state), nothing, nothing, jnp.ones(()))

    def next_window(self, state: State, average: Params, pace: float) -> State:
        return state

    def set_back(self, state: State) -> State:
        return state

    def num_gradients(self, target: Target, history: dict[str, Any]) -> float:
        return float(np.sum(history["gradients"])) if "gradients" in history else 0.0
