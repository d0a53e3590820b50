"""The run-time type checker of the tests: beartype, with the package's own protocols made checkable first.

beartype holds a value against a Protocol by isinstance, which Python allows only where the protocol is
runtime_checkable. The package itself has no use for that.
"""

import sys
from collections.abc import Callable
from typing import Any, runtime_checkable

from beartype import beartype

_looked_through: set[str] = set()  # modules that were complete when they were looked through


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "vi_toolkit" and name not in _looked_through:
            if not getattr(module.__spec__, "_initializing", False):
                _looked_through.add(name)
            for value in list(vars(module).values()):
                if isinstance(value, type) and vars(value).get("_is_protocol"):
                    runtime_checkable(value)
    return beartype(function)


def as_users_call_it(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function without the run-time type checks, which would speak before its own checks of bad arguments."""
    return getattr(function, "__wrapped__", function)
