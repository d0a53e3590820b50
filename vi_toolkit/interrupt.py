"""Signals that end a fit: noted between two calls of compiled code, so that they are neither lost nor in the way."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """While entered, a first Ctrl-C is only noted in ``asked``; a second one raises KeyboardInterrupt at once.

    An exception that a signal raises can come up anywhere, also where Python drops it, such as in a finaliser. Only
    the main thread can take signals, and a handler of the user's own is left alone: there nothing changes.

    With ``heeds_terminate``, a first SIGTERM is noted, too, and has its usual effect on leaving, once what is to be
    kept has been written: the process ends by it. A second signal has its effect at once.
    """

    def __init__(self, heeds_terminate: bool = False) -> None:
        self.asked = False
        self._usual: dict[int, Any] = {signal.SIGINT: signal.default_int_handler}
        if heeds_terminate:
            self._usual[signal.SIGTERM] = signal.SIG_DFL
        self._ours: list[int] = []
        self._terminates = False

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._ours = [number for number, usual in self._usual.items() if signal.getsignal(number) is usual]
            for number in self._ours:
                signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()
        if self._terminates:
            signal.raise_signal(signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            self._give_back()
            signal.raise_signal(number)
        self.asked = True
        self._terminates = number == signal.SIGTERM

    def _give_back(self) -> None:
        for number in self._ours:
            signal.signal(number, self._usual[number])
