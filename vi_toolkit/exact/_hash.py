"""A hash of what a computation depends on: functions by their code, arrays by their bytes, libraries by version."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache, partial
from importlib import metadata
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

OURS = "vi_toolkit"  # its functions are hashed by their code, as a user's are: a version may be in the making


class NotHashableError(TypeError):
    """An object of which it cannot be told whether it is the same."""


def digest(*values: Any) -> str:
    """SHA-256 of the values, in hexadecimal digits.

    A function stands for its bytecode, constants, defaults and closure, and for what it finds under the global names
    that it uses, function by function; what belongs to an installed package, for its name and the package's version.

    Raises:
        NotHashableError: if a value, or something that a function uses, is of a kind whose content is not known.
    """
    found = hashlib.sha256()
    seen: set[int] = set()
    for value in values:
        for piece in _pieces(value, seen):
            found.update(len(piece).to_bytes(8, "little"))
            found.update(piece)
    return found.hexdigest()


def _pieces(value: Any, seen: set[int]) -> Iterator[bytes]:
    """What tells a value from others, as bytes; each kind begins with its name."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic, np.dtype)):
        yield f"{type(value).__name__} {value!r}".encode()
    elif isinstance(value, enum.Enum):
        yield f"enum {type(value).__qualname__}.{value.name}".encode()
    elif isinstance(value, (np.ndarray, jax.Array)):
        yield from _array(value)
    elif isinstance(value, (tuple, list, set, frozenset, Mapping)):
        yield from _collection(value, seen)
    elif isinstance(value, CodeType):
        yield from _code(value, seen)
    elif isinstance(value, (partial, jax.tree_util.Partial)):
        yield b"partial"
        yield from _pieces((value.func, value.args, value.keywords), seen)
    elif isinstance(value, ModuleType):
        yield f"module {value.__name__} {_version(value.__name__)}".encode()
    elif (installed := _installed(value)) is not None:
        yield installed.encode()
    elif isinstance(value, MethodType):
        yield b"method"
        yield from _pieces((value.__func__, value.__self__), seen)
    elif isinstance(value, FunctionType):
        yield from _function(inspect.unwrap(value, stop=lambda f: not _only_checks_types(f)), seen)
    elif isinstance(value, type):
        yield from _class(value, seen)
    elif dataclasses.is_dataclass(value):
        yield f"dataclass {type(value).__module__}.{type(value).__qualname__}".encode()
        yield from _pieces([getattr(value, field.name) for field in dataclasses.fields(value)], seen)
    elif isinstance(value, jax.tree_util.PyTreeDef):
        yield from _structure(value, seen)
    elif not isinstance(value, Iterator) and not jax.tree_util.treedef_is_leaf(jax.tree.structure(value)):
        yield from _structure(jax.tree.structure(value), seen)
        yield from _pieces(jax.tree.leaves(value), seen)
    else:
        raise NotHashableError(f"{type(value).__name__} {value!r:.60}")


def _array(value: Any) -> Iterator[bytes]:
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    if array.dtype == object:
        raise NotHashableError(f"an array of objects, of shape {array.shape}")
    yield f"array {array.dtype.str} {array.shape}".encode()
    yield array.tobytes()


def _collection(value: Any, seen: set[int]) -> Iterator[bytes]:
    yield f"{type(value).__name__} {len(value)}".encode()
    if isinstance(value, Mapping):  # in order: a model's sites follow it
        value = list(value.items())
    elif isinstance(value, (set, frozenset)):
        value = sorted(value, key=repr)
    for item in value:
        yield from _pieces(item, seen)


def _structure(value: jax.tree_util.PyTreeDef, seen: set[int]) -> Iterator[bytes]:
    """A tree's nodes, each by its type and what it holds beside its children, such as the function of a Partial."""
    yield f"tree {value.num_leaves}".encode()
    node = value.node_data()
    if node is not None:
        yield from _pieces(node, seen)
        for child in value.children():
            yield from _structure(child, seen)


def _function(value: FunctionType, seen: set[int]) -> Iterator[bytes]:
    yield f"function {value.__qualname__}".encode()
    if id(value) in seen:  # it calls itself, or was met before
        return
    seen.add(id(value))
    yield from _pieces((value.__code__, value.__defaults__, value.__kwdefaults__), seen)
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        yield name.encode()
        yield from _pieces(cell.cell_contents, seen)
    for name in sorted(_global_names(value.__code__)):
        if name in value.__globals__:
            yield name.encode()
            yield from _pieces(value.__globals__[name], seen)


def _only_checks_types(value: Any) -> bool:
    """Whether a function is what jaxtyping or beartype put around one: that changes nothing of what it computes."""
    made_by = (value.__globals__.get("__name__", ""), value.__code__.co_filename)
    return hasattr(value, "__wrapped__") and (made_by[0].startswith("jaxtyping") or "beartype" in made_by[1])


def _code(code: CodeType, seen: set[int]) -> Iterator[bytes]:
    yield b"code"
    yield code.co_code
    yield from _pieces((code.co_names, code.co_varnames, code.co_freevars, code.co_argcount, code.co_flags), seen)
    yield from _pieces(code.co_consts, seen)


def _global_names(code: CodeType) -> set[str]:
    nested = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*(_global_names(inner) for inner in nested))


def _class(value: type, seen: set[int]) -> Iterator[bytes]:
    """A user's class by what it defines."""
    yield f"class {value.__module__}.{value.__qualname__}".encode()
    if id(value) in seen:
        return
    seen.add(id(value))
    for name, member in sorted(vars(value).items()):
        if isinstance(member, (staticmethod, classmethod)):
            member = member.__func__
        if isinstance(member, (FunctionType, int, float, str, tuple)) and name not in ("__doc__", "__firstlineno__"):
            yield name.encode()
            yield from _pieces(member, seen)
    yield from _pieces(value.__bases__, seen)


def _installed(value: Any) -> str | None:
    """The name and version of a function, class or object of an installed package; None for others, and for ours."""
    if isinstance(value, (FunctionType, BuiltinFunctionType, type, np.ufunc)) or hasattr(value, "__wrapped__"):
        module, name = getattr(value, "__module__", None) or "builtins", getattr(value, "__qualname__", None)
        name = name or getattr(value, "__name__", None)
        version = _version(module)
        if version is not None and name is not None and "<locals>" not in name:
            return f"installed {module}.{name} {version}"
    return None


@cache
def _packages() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _version(module: str) -> str | None:
    """The version of the package that a module belongs to; None where it is not an installed one, or ours."""
    top = module.partition(".")[0]
    if top == OURS:
        return None
    if top in sys.stdlib_module_names and top != "__main__":
        return "Python"  # whose version belongs to every hash
    distributions = _packages().get(top)
    return metadata.version(distributions[0]) if distributions else None
