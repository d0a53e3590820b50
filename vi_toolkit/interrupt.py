"""Ctrl-C during a fit: noted between two calls of compiled code, so that it is neither lost nor in the way."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Interrupts:
    """While entered, a first Ctrl-C is only noted in ``asked``; a second one raises KeyboardInterrupt at once.

    An exception that a signal raises can come up anywhere, also where Python drops it, such as in a finaliser. Only
    the main thread can take signals, and a handler of the user's own is left alone: there nothing changes.
    """

    def __init__(self) -> None:
        self.asked = False
        self._ours = False

    def __enter__(self) -> Interrupts:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._ours = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
