"""How sites are spoken of: where a NumPyro function could not be run, and what a distribution is called."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

import numpyro.distributions as dist
from numpyro import primitives

_STATEMENTS: tuple[CodeType, ...] = (
    primitives.sample.__code__,
    primitives.deterministic.__code__,
    primitives.plate.__init__.__code__,
)
_WRAPPERS = (dist.Independent, dist.ExpandedDistribution, dist.MaskedDistribution)


def unwrapped(distribution: Any) -> Any:
    """A distribution without what plates, to_event and mask put about it."""
    while isinstance(distribution, _WRAPPERS):
        distribution = distribution.base_dist
    return distribution


def kind_of(distribution: Any) -> str:
    """What a user calls a distribution."""
    return type(unwrapped(distribution)).__name__


@contextmanager
def naming_the_site(function: Callable[..., Any], what: str) -> Iterator[None]:
    """Turns what NumPyro says about shapes, names and parameters into a ValueError that says where it happened.

    NumPyro's own errors name no site. The stack that they carry does.
    """
    try:
        yield
    except (ValueError, AssertionError) as error:
        raise ValueError(f"{what}: NumPyro could not run it{_where(error, function)}: {error}.") from error


def _where(error: BaseException, function: Callable[..., Any]) -> str:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    sites = [frame.f_locals["name"] for frame in frames if frame.f_code in _STATEMENTS]
    plates = [frame.f_locals["self"] for frame in frames if frame.f_code is primitives.plate.process_message.__code__]
    site = f" at site {sites[-1]!r}" if sites else ""
    within = "".join(f" in plate {plate.name!r} of size {plate.size}" for plate in plates)
    return site + within + _line(error, function)


def _line(error: BaseException, function: Callable[..., Any]) -> str:
    """The line of the function's file in which it happened, where there is such a file."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    lines = [entry for entry in traceback.extract_tb(error.__traceback__) if entry.filename == file and entry.line]
    return f" (line {lines[-1].lineno}: {lines[-1].line})" if lines else ""
