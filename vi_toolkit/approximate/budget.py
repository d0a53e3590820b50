"""How much an approximation may cost."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

from vi_toolkit._checks import check_positive
from vi_toolkit._types import Key
from vi_toolkit.algorithms import Method
from vi_toolkit.fit import Fit, fit, resume
from vi_toolkit.targets import Target
from vi_toolkit.windows import Status

FIRST_SLICE = 200  # steps before the budget is looked at
LONGER = 1.5  # each slice than the one before


@dataclass(frozen=True)
class Budget:
    """Gradients of the log density, or seconds of wall time, or both; what is exceeded first ends the search.

    Attributes:
        gradients: as `Fit.num_gradients` counts them.
        seconds: of wall time, compiling included. A result that seconds cut short depends on the machine.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.Budget(seconds=30)
        Budget(gradients=inf, seconds=30)
    """

    gradients: float | int = math.inf
    seconds: float | int = math.inf

    def __post_init__(self) -> None:
        for name in ("gradients", "seconds"):
            value = getattr(self, name)
            if value != math.inf:
                check_positive(value, f"budget.{name}")


def as_budget(budget: Any) -> Budget:
    """A budget from what a user may pass: None is without bound, a number counts gradients."""
    if budget is None:
        return Budget()
    return budget if isinstance(budget, Budget) else Budget(gradients=check_positive(budget, "budget"))


@dataclass
class Purse:
    """What is left of a budget while it is spent."""

    budget: Budget
    began: float = field(default_factory=time.monotonic)
    spent: float = 0.0

    @property
    def empty(self) -> bool:
        return self.spent >= self.budget.gradients or time.monotonic() - self.began >= self.budget.seconds

    def fit(self, key: Key, target: Target, method: Method) -> Fit:
        """A fit that stops where the budget does. Slices are taken up exactly where the last one stopped."""
        found = fit(key, target, method, max_steps=self._slice(0, 0.0, float(FIRST_SLICE)))
        before, length = 0.0, float(FIRST_SLICE)
        while True:
            self.spent += found.num_gradients - before
            before = found.num_gradients
            out_of_steps = found.status is Status.MAX_STEPS and found.num_steps < method.max_steps
            if not out_of_steps or self.empty:
                return found
            length *= LONGER
            found = resume(found, max_steps=self._slice(found.num_steps, found.num_gradients, length))

    def _slice(self, steps: int, gradients: float, length: float) -> int:
        """How many steps to take before looking again: not far beyond what is left of the gradients."""
        if not steps or math.isinf(self.budget.gradients):
            return int(length)
        left = (self.budget.gradients - self.spent) / (gradients / steps)
        return max(1, int(min(length, left)))
