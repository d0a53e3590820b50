"""A fit that is interrupted, as by Ctrl-C, at a call that is known."""

import sys

import pytest


def interrupt_fits(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Raises KeyboardInterrupt at the ``call``-th piece of steps, counted from 1."""
    module = sys.modules["vi_toolkit.fit"]
    advance, calls = module.advance, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return advance(*arguments)

    monkeypatch.setattr(module, "advance", interrupted)
