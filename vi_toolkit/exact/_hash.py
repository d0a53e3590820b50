"""A hash of what a computation depends on: arrays by their bytes, functions by their code, the same in every process.

A function is its bytecode with its constants, its defaults, what it closes over, and the globals that it reads, and so
on through the functions among these. What has a name in the standard library, JAX, NumPy, NumPyro or SciPy stands by
that name, since their versions stand beside every hash. Whatever is neither is refused: a hash that does not see a
change would be worse than none.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from functools import partial
from itertools import chain
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import describe
from vi_toolkit.exact._bytecode import (
    NotHashableError as NotHashableError,
    content_of_code,
    globals_read,
    is_named,
    is_trusted,
)

OURS = "vi_toolkit"  # its functions are read, as a user's are; its records are their names and fields
CHECKERS = ("jaxtyping", "beartype")  # their wrappers test what goes in and out of a function, and change none of it
COMPILED = type(jax.jit(lambda: None))
# Parts of a class that say nothing of what its methods compute; and what dataclasses and named tuples generate.
# fmt: off
SKIPPED = (
    "__abstractmethods__", "__annotate_func__", "__annotations__", "__annotations_cache__", "__dict__", "__doc__",
    "__firstlineno__", "__module__", "__signature__", "__slots__", "__static_attributes__", "__weakref__", "_abc_impl",
)
GENERATED = (
    "__dataclass_fields__", "__dataclass_params__", "__delattr__", "__eq__", "__getnewargs__", "__hash__", "__init__",
    "__match_args__", "__new__", "__orig_bases__", "__replace__", "__repr__", "__setattr__", "_asdict",
    "_field_defaults", "_fields", "_make", "_replace",
)
# fmt: on

Parts = tuple[str, Iterable[Any]]  # what kind of thing it is, and what it consists of


def digest(*values: Any) -> str:
    """SHA-256 of the values, in hexadecimal digits.

    Raises:
        NotHashableError: if a value, or something that a function uses, is of a kind whose content is not known.
    """
    try:
        return _Reader().read(values).hex()
    except RecursionError:
        raise NotHashableError("something that holds itself") from None


class _Reader:
    """Reads values. What has an identity and was met before stands by its number: functions can hold themselves."""

    def __init__(self) -> None:
        self.met: dict[int, tuple[int, Any]] = {}  # by identity; the value is kept, so that its identity is not reused

    def read(self, value: Any) -> bytes:
        kind, parts = self._plain(value) or self._met(value) or self._code(value) or self._instance(value)
        hashed = hashlib.sha256(kind.encode())
        for part in parts:
            content = part if isinstance(part, bytes) else self.read(part)
            hashed.update(len(content).to_bytes(8) + content)
        return hashed.digest()

    def _plain(self, value: Any) -> Parts | None:
        """What is equal by its content alone."""
        kind = type(value)
        if value is None or value is ... or kind in (bool, int, str):
            return kind.__name__, [repr(value).encode()]
        if kind in (float, complex):
            return kind.__name__, [np.asarray(value).tobytes()]
        if kind is bytes:
            return "bytes", [value]
        if kind in (slice, range):
            return kind.__name__, [value.start, value.stop, value.step]
        if isinstance(value, (np.ndarray, np.generic, np.dtype, jax.Array)):
            return self._array(value)
        if kind in (tuple, list):
            return kind.__name__, [len(value), *value]
        if kind in (set, frozenset):
            return "set", sorted(self.read(item) for item in value)
        if kind is dict:
            return "dict", [len(value), *(part for pair in value.items() for part in pair)]
        return None

    def _array(self, value: Any) -> Parts:
        if isinstance(value, np.dtype):
            return "dtype", [str(value)]
        if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            return "key", [str(jax.random.key_impl(value)), jax.random.key_data(value)]
        if value.dtype.hasobject:
            raise NotHashableError(f"an array of objects, of shape {value.shape}")
        weak = bool(getattr(value, "weak_type", False))
        return "array", [type(value).__name__, str(value.dtype), value.shape, weak, np.asarray(value).tobytes()]

    def _met(self, value: Any) -> Parts | None:
        if id(value) in self.met:
            return "again", [self.met[id(value)][0]]
        self.met[id(value)] = (len(self.met), value)
        return None

    def _code(self, value: Any) -> Parts | None:
        """Functions, classes, modules, and what is bound to them."""
        if is_named(value):
            return "named", [value.__module__, getattr(value, "__qualname__", None) or value.__name__]
        if isinstance(value, ModuleType):
            if not is_trusted(value.__name__):
                raise NotHashableError(f"the module {value.__name__} as a whole")
            return "module", [value.__name__]
        if isinstance(value, CodeType):
            return "code", content_of_code(value)
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return "class", [value.__qualname__, value.__bases__, _content_of_class(value)]
        if isinstance(value, partial):
            return "partial", [value.func, value.args, value.keywords]
        if isinstance(value, MethodType):
            return "method", [value.__func__, value.__self__]
        if isinstance(value, (staticmethod, classmethod)):
            return type(value).__name__, [value.__func__]
        if isinstance(value, property):
            return "property", [value.fget, value.fset, value.fdel]
        return None

    def _function(self, value: FunctionType) -> Parts:
        home = value.__globals__.get("__name__", "")
        if home.partition(".")[0] in CHECKERS and hasattr(value, "__wrapped__"):
            return "checked", [value.__wrapped__]
        try:
            cells = [cell.cell_contents for cell in value.__closure__ or ()]
        except ValueError:
            raise NotHashableError(f"{value.__qualname__}, which closes over what has no value yet") from None
        attributes = {name: part for name, part in vars(value).items() if name != "__wrapped__"}
        held = [value.__defaults__, value.__kwdefaults__, cells, attributes]
        if is_trusted(home):
            return "function of a package", [home, value.__code__.co_qualname, *held]
        return "function", chain([value.__code__, *held], globals_read(value))

    def _instance(self, value: Any) -> Parts:
        """An instance whose attributes say all that it is; raises NotHashableError for any other."""
        kind = type(value)
        if kind is COMPILED:
            return "compiled", [value.__wrapped__]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return "named tuple", [kind, *value]
        if isinstance(value, jax.tree_util.PyTreeDef):
            return "tree", [value.num_leaves, value.node_data(), *value.children()]
        if dataclasses.is_dataclass(value):
            fields = [getattr(value, field.name) for field in dataclasses.fields(value)]
            if kind.__module__.partition(".")[0] == OURS:
                return "record", [kind.__module__, kind.__qualname__, fields]
            return "dataclass", [kind, fields, dict(getattr(value, "__dict__", {}))]
        is_of_numpyro = kind.__module__.partition(".")[0] == "numpyro"
        if is_of_numpyro or isinstance(value, (jax.custom_jvp, jax.custom_vjp)):
            return "instance", [kind, vars(value)]
        raise NotHashableError(describe(value))


def _content_of_class(kind: type) -> dict[str, Any]:
    skipped = set(SKIPPED)
    if dataclasses.is_dataclass(kind):
        skipped |= set(GENERATED)
    elif issubclass(kind, tuple):
        skipped |= {*GENERATED, *getattr(kind, "_fields", ())}
    return {name: part for name, part in sorted(vars(kind).items()) if name not in skipped}
