"""Keeping a fit while it runs, every so many seconds."""

from __future__ import annotations

import time
import warnings
from typing import Any, Protocol, runtime_checkable

from vi_toolkit._checks import check_instance


@runtime_checkable
class Keeper(Protocol):
    """What keeps a fit while it runs; `vi.checkpoint` makes one that writes a file."""

    @property
    def every(self) -> float:
        """Seconds from one time to the next."""

    def write(self, fit: Any) -> None:
        """Keeps the fit, in place of the one before; OSError where it cannot."""


class Keeping:
    """When a keeper, if there is one, is next to be given the fit."""

    def __init__(self, keeper: Keeper | None) -> None:
        if keeper is not None:
            check_instance(keeper, Keeper, "checkpoint", "Make one with vi.checkpoint(path).")
        self.keeper = keeper
        self._kept_at = -float("inf")

    @property
    def due(self) -> bool:
        """Whether it is time; at once at the beginning."""
        return self.keeper is not None and time.monotonic() - self._kept_at >= self.keeper.every

    def keep(self, fit: Any) -> None:
        """Gives the fit to the keeper. Only the first time may fail: later on, a full disk must not end a fit."""
        if self.keeper is None:
            return
        try:
            self.keeper.write(fit)
        except OSError as error:
            if self._kept_at < 0:
                raise
            words = f"checkpoint: step {fit.num_steps} could not be kept, and the fit goes on: {error}"
            warnings.warn(words, stacklevel=4)
        self._kept_at = time.monotonic()
