"""Methods as plain data: parts of this package by their names, with their fields; no code is run to read them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from types import FunctionType
from typing import Any

import jax
import numpy as np

from vi_toolkit.algorithms import Method
from vi_toolkit.estimators import Estimator
from vi_toolkit.guides import Guide, noise
from vi_toolkit.kernels import Kernel
from vi_toolkit.objectives import Generator, Objective, generators
from vi_toolkit.sources import PosteriorDraws, Transition


@dataclass(frozen=True)
class Writer:
    """Turns values into JSON, arrays aside, and notes what it could not write."""

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def write(self, value: Any, where: str) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, (int, float)) and type(value) in (int, float):
            return value if math.isfinite(value) else {"float": str(value)}
        if type(value) in (tuple, list):
            return {type(value).__name__: [self.write(item, f"{where}[{i}]") for i, item in enumerate(value)]}
        if type(value) is dict and all(isinstance(name, str) for name in value):
            return {"dict": {name: self.write(item, f"{where}.{name}") for name, item in value.items()}}
        if isinstance(value, (np.ndarray, np.generic, jax.Array)) and value.dtype.kind in "biuf":
            place = f"recipe/{len(self.arrays)}"
            self.arrays[place] = np.asarray(value)
            return {"array": place}
        name = getattr(value, "__name__", "")
        if isinstance(value, FunctionType) and _functions().get(name) is value:
            return {"function": name}
        if is_dataclass(value) and _parts().get(type(value).__name__) is type(value):
            written = {f.name: self.write(getattr(value, f.name), f"{where}.{f.name}") for f in fields(value)}
            return {"part": type(value).__name__, "fields": written}
        self.lost.append(f"{where} ({type(value).__name__})")
        return {"lost": where}


def read(recipe: Any, arrays: dict[str, np.ndarray]) -> Any:
    """What a `Writer` wrote; ValueError where the recipe names what this package does not have."""
    if not isinstance(recipe, dict):
        return recipe
    if set(recipe) == {"part", "fields"}:
        kind = _known(_parts(), recipe["part"])
        return kind(**{name: read(value, arrays) for name, value in recipe["fields"].items()})
    if len(recipe) != 1:
        raise ValueError(f"unknown entry {sorted(recipe)}")
    ((kind, value),) = recipe.items()
    readers: dict[str, Callable[[], Any]] = {
        "float": lambda: float(value),
        "tuple": lambda: tuple(read(item, arrays) for item in value),
        "list": lambda: [read(item, arrays) for item in value],
        "dict": lambda: {name: read(item, arrays) for name, item in value.items()},
        "array": lambda: jax.numpy.asarray(arrays[value]),
        "function": lambda: _known(_functions(), value),
    }
    return _known(readers, kind)()


def _known(table: dict[str, Any], name: Any) -> Any:
    if name not in table:
        raise ValueError(f"unknown part {name!r}")
    return table[name]


def _parts() -> dict[str, type[Any]]:
    """Every guide, objective, estimator, kernel, source and method of this package by its class name."""
    found: dict[str, type[Any]] = {}
    waiting: list[type[Any]] = [Guide, Objective, Estimator, Generator, Kernel, Method, PosteriorDraws, Transition]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.partition(".")[0] == "vi_toolkit":  # a user's own class is not ours to rebuild
            found[kind.__name__] = kind
    return found


def _functions() -> dict[str, Any]:
    """The sources of noise and the formulas of generators by name."""
    found = {**vars(noise), **vars(generators)}
    return {name: value for name, value in found.items() if isinstance(value, FunctionType)}
