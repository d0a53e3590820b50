"""Fixtures that many tests share."""

from collections.abc import Iterator

import jax
import jaxtyping
import pytest


@pytest.fixture
def key() -> jax.Array:
    """A fixed random key: a test that draws says so by asking for it, and split it for more than one use."""
    return jax.random.key(0)


@pytest.fixture
def without_type_checks() -> Iterator[None]:
    """Turns the run-time type checks off, so that the package's own words about a wrong argument are heard."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
