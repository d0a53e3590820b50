"""Wall time of a call, and how much of it JAX spent on tracing, lowering and compiling."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

_MARKS = ("/jaxpr_trace_duration", "/jaxpr_to_mlir_module_duration", "/backend_compile_duration")
_intervals: list[tuple[float, float]] = []


class Timed(NamedTuple):
    """What a call returned, and its seconds."""

    value: Any
    seconds: float  # on the clock on the wall
    compile_seconds: float  # of these, in tracing, lowering and compiling by JAX
    cpu_seconds: float  # of all threads together: what hardly depends on a machine that does other work, too


def _note(name: str, seconds: float, **_: Any) -> None:
    """An event is reported at its end."""
    if name.endswith(_MARKS):
        now = time.perf_counter()
        _intervals.append((now - seconds, now))


jax.monitoring.register_event_duration_secs_listener(_note)


def timed(call: Callable[[], Any]) -> Timed:
    """Calls, and waits until JAX has computed what is returned."""
    _intervals.clear()
    began, began_cpu = time.perf_counter(), time.process_time()
    value = jax.block_until_ready(call())
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
    return Timed(value, seconds, covered(_intervals), cpu_seconds)


def covered(intervals: list[tuple[float, float]]) -> float:
    """The length of the union of intervals: tracing one function traces others within it."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
