"""Records of this package as plain data, their arrays aside; no code is run to read them but the records' own."""

from __future__ import annotations

import enum
import importlib
import math
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

PACKAGE = __name__.partition(".")[0]
MOST = 1_000_000  # numbers in an array that is kept


def pack(value: Any, arrays: dict[str, np.ndarray], where: str) -> Any:
    """A value as JSON has it; what is an array goes to ``arrays`` under its place, without rows where it is large."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, enum.Enum):
        return {"enum": _name(type(value)), "member": value.name}
    if _is_record(type(value)):
        names = _field_names(type(value))
        return {
            "record": _name(type(value)),
            "fields": {n: pack(getattr(value, n), arrays, _below(where, n)) for n in names},
        }
    if isinstance(value, dict):
        return {"dict": {str(name): pack(item, arrays, _below(where, str(name))) for name, item in value.items()}}
    if isinstance(value, (tuple, list)):
        return {"tuple": [pack(item, arrays, _below(where, str(i))) for i, item in enumerate(value)]}
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        array = np.asarray(value)
        name = _free_name(where, arrays)
        arrays[name] = array if array.size <= MOST else array[:0]
        return {"array": name}
    return {"words": str(value)}


def unpack(data: Any, arrays: dict[str, np.ndarray]) -> Any:
    """What `pack` was given; ValueError where the data name what this package does not have."""
    if not isinstance(data, dict):
        return data
    if "record" in data:
        kind = _known(data["record"])
        if not _is_record(kind):
            raise ValueError(f"{data['record']} is no record")
        given = {n: unpack(item, arrays) for n, item in data["fields"].items() if n in _field_names(kind)}
        return kind(**given)
    if "enum" in data:
        kind = _known(data["enum"])
        if not issubclass(kind, enum.Enum):
            raise ValueError(f"{data['enum']} is no enum")
        return kind[data["member"]]
    ((form, content),) = data.items()
    readers: dict[str, Callable[[], Any]] = {
        "float": lambda: float(content),
        "dict": lambda: {name: unpack(item, arrays) for name, item in content.items()},
        "tuple": lambda: tuple(unpack(item, arrays) for item in content),
        "array": lambda: arrays[content],
        "words": lambda: content,
    }
    return readers[form]()


def _below(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _free_name(where: str, arrays: dict[str, np.ndarray]) -> str:
    """A name that a variable can have: a place may hold the name of a site, in which anything may stand."""
    name = re.sub(r"[^\w.]", "_", where)
    while name in arrays:
        name += "_"
    return name


def _is_record(kind: type) -> bool:
    """Whether a class of this package is a dataclass or a named tuple."""
    own = kind.__module__.partition(".")[0] == PACKAGE
    return own and (is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields")))


def _field_names(kind: Any) -> list[str]:
    return [f.name for f in fields(kind) if f.init] if is_dataclass(kind) else list(kind._fields)


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _known(name: str) -> Any:
    module, _, inside = name.partition(":")
    if module.partition(".")[0] != PACKAGE or "." in inside:
        raise ValueError(f"{name} is not of {PACKAGE}")
    try:
        return getattr(importlib.import_module(module), inside)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name} is not known here") from error
