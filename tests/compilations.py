"""Counts what JAX compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"


def count_compilations(call: Callable[[], Any]) -> tuple[int, Any]:
    """How many programs a call had compiled (or fetched from the persistent cache), and what it returned."""
    events: list[str] = []
    # registered anew for each count, since a test may clear all listeners
    jax.monitoring.register_event_duration_secs_listener(lambda name, seconds, **_: events.append(name))
    result = call()
    return events.count(_EVENT), result


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """As `jax.jit`, for programs that run once: compiling them well costs more than it saves."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0}, **options)
