"""The test process itself: one precision, checked annotations, a compilation cache that a test can leave."""

import warnings

import jax
import jax.numpy as jnp
import jaxtyping
import pytest

from conftest import CACHE, TYPECHECK


def test_runs_in_float64():
    assert jnp.zeros(()).dtype == jnp.float64


@pytest.mark.float32
def test_runs_in_float32():
    assert jnp.zeros(()).dtype == jnp.float32


@pytest.mark.any_precision
def test_runs_in_either_precision():
    assert jnp.zeros(()).dtype == (jnp.float64 if jax.config.jax_enable_x64 else jnp.float32)


@pytest.mark.skipif(not TYPECHECK, reason="run-time type checks are off")
def test_annotations_of_the_package_are_checked():
    from vi_toolkit._checks import check_positive_int

    with pytest.raises(jaxtyping.TypeCheckError):
        check_positive_int(1, name=2)


def compile_something(number: float) -> list[str]:
    """The compilation events of one small program that holds ``number`` as a constant."""
    events: list[str] = []
    jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
    try:
        jax.jit(lambda x: x + number)(1.0).block_until_ready()
    finally:
        jax.monitoring.clear_event_listeners()
    return events


@pytest.mark.skipif(not CACHE, reason="the compilation cache is off")
def test_compiled_programs_are_kept():
    assert "/jax/compilation_cache/compile_requests_use_cache" in compile_something(0.25)


@pytest.mark.skipif(not CACHE, reason="the compilation cache is off")
@pytest.mark.no_compilation_cache
def test_a_test_can_leave_the_cache():
    assert "/jax/compilation_cache/compile_requests_use_cache" not in compile_something(0.5)


def test_warnings_are_errors():
    with pytest.raises(UserWarning, match="nobody expected"):
        warnings.warn("nobody expected this", UserWarning, stacklevel=1)
