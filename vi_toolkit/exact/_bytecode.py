"""What a function reads beside its arguments, found in its bytecode."""

from __future__ import annotations

import builtins
import dis
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

# fmt: off
# Packages whose names stand for what they name: their versions stand beside every hash.
TRUSTED = (
    "builtins", "collections", "dataclasses", "enum", "functools", "itertools", "jax", "jaxlib", "math", "numpy",
    "numpyro", "operator", "scipy", "statistics", "typing",
)
READ_FILES_OR_CHANCE = ("numpy.random", "scipy.io")  # all but these parts of them
# Names that lead to what bytecode does not show: files, and names that are made while it runs.
READERS = (
    "__import__", "compile", "delattr", "eval", "exec", "getattr", "globals", "input", "locals", "open", "setattr",
    "vars", "fromfile", "genfromtxt", "load", "loadtxt", "memmap",
)
# fmt: on
GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
WRITES = ("STORE_GLOBAL", "DELETE_GLOBAL")


class NotHashableError(TypeError):
    """Something of which it cannot be told whether it is the same; the message says what, in words."""


def is_trusted(module: str) -> bool:
    return module.partition(".")[0] in TRUSTED and not module.startswith(READ_FILES_OR_CHANCE)


def is_named(value: Any) -> bool:
    """Whether a value is what its module and name lead to, in a package that is trusted."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    name = name or getattr(value, "__name__", None)
    if not isinstance(module, str) or not isinstance(name, str) or not is_trusted(module) or name in READERS:
        return False
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def content_of_code(code: CodeType) -> list[Any]:
    """All that decides what the code does, and not where it stands in a file."""
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return [code.co_code, code.co_exceptiontable, code.co_consts, names, counts]


def globals_read(function: FunctionType) -> Iterator[Any]:
    """The names and values of the globals that a function reads, and the functions inside it; raises NotHashableError.

    Of a module that is not trusted, as in ``helpers.rate``, the value that is read is found, not the module.
    """
    yield from _globals_read(function.__code__, function.__globals__, function.__qualname__)


def _globals_read(code: CodeType, namespace: dict[str, Any], where: str) -> Iterator[Any]:
    steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    for index, step in enumerate(steps):
        if step.opname in WRITES:
            raise NotHashableError(f"{where}, which changes the global {step.argval}")
        if step.opname == "IMPORT_NAME" and not is_trusted(step.argval):
            raise NotHashableError(f"{where}, which imports {step.argval or 'a part of its own package'}")
        if step.opname in GLOBAL:
            yield from _follow(steps[index:], namespace, where)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals_read(constant, namespace, where)


def _follow(steps: list[dis.Instruction], namespace: dict[str, Any], where: str) -> Iterator[Any]:
    """The path and the value of the global that the first step reads: ``a``, or ``a.b.c`` where a and b are modules."""
    path = [steps[0].argval]
    yield path[0]
    if path[0] not in namespace and not hasattr(builtins, path[0]):
        return  # a name inside the body of a class
    value = namespace[path[0]] if path[0] in namespace else getattr(builtins, path[0])
    for step in steps[1:]:
        if not isinstance(value, ModuleType) or step.opname != "LOAD_ATTR":
            break
        path.append(step.argval)
        value = getattr(value, step.argval, None)
    is_own = isinstance(value, FunctionType) and not is_trusted(value.__globals__.get("__name__", ""))
    if path[-1] in READERS and not is_own:
        raise NotHashableError(f"{where}, which calls {'.'.join(path)}")
    yield path
    yield value
