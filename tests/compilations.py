"""Counts what JAX compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

_events: list[str] = []
_EVENT = "/jax/core/compile/backend_compile_duration"


def _listen(name: str, seconds: float, **_: Any) -> None:
    if name == _EVENT:
        _events.append(name)


jax.monitoring.register_event_duration_secs_listener(_listen)


def count_compilations(call: Callable[[], Any]) -> tuple[int, Any]:
    """How many programs a call had compiled (or fetched from the persistent cache), and what it returned."""
    before = len(_events)
    result = call()
    return len(_events) - before, result


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """As `jax.jit`, for programs that run once: compiling them well costs more than it saves."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0}, **options)
