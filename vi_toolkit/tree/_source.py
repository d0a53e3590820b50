"""The source of the function that a target was made of."""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import jax

from vi_toolkit.targets import Target
from vi_toolkit.targets.numpyro_program import NumPyroProgram


def source_of_model(target: Target) -> str:
    """The source of the user's function, without its indentation; "" where Python cannot find it."""
    function = _innermost(_function(target))
    # since 3.13, Python takes what -c was given for the source of everything that was typed or put together
    if getattr(getattr(function, "__code__", None), "co_filename", "") in ("<string>", "<stdin>"):
        return ""
    try:
        return textwrap.dedent(inspect.getsource(function)).rstrip() if function is not None else ""
    except (OSError, TypeError, IndentationError):  # typed at a prompt, built in, or gone from the disk
        return ""


def name_of_model(target: Target) -> str:
    """The function's name, without underscores about it; "" where it has none."""
    name = getattr(_innermost(_function(target)), "__name__", "")
    return "" if name == "<lambda>" else str(name).strip("_")


def _function(target: Target) -> Callable[..., Any] | None:
    """The NumPyro model or the log density that the target's program calls."""
    if isinstance(target.program, NumPyroProgram):
        return target.program.model
    structure = getattr(target.program, "density", getattr(target.program, "mass", None))
    if structure is None:
        return None
    return jax.tree.unflatten(structure, [0] * structure.num_leaves)


def _innermost(function: Any) -> Any:
    """The user's own function, inside partial applications, decorators and NumPyro's handlers."""
    seen: list[int] = []
    while id(function) not in seen:
        seen.append(id(function))
        function = inspect.unwrap(function) if callable(function) else function
        if isinstance(function, functools.partial):
            function = function.func
        function = getattr(function, "fn", None) or function
    return function
