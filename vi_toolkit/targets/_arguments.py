"""A model's arguments, split into arrays that are traced and all else, which is part of the program."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from vi_toolkit._checks import describe


@dataclass(frozen=True)
class Constant:
    """An array that is built into the program; equal to another by its content, so that programs are found again."""

    content: bytes
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, array: Any) -> Constant:
        value = np.asarray(array)
        return cls(value.tobytes(), value.dtype.str, value.shape)

    @property
    def array(self) -> np.ndarray:
        return np.frombuffer(self.content, dtype=self.dtype).reshape(self.shape)


@dataclass(frozen=True)
class Traced:
    """Stands where an array argument goes."""


@dataclass(frozen=True)
class Arguments:
    """The shape of a call: hashable. ``static`` has a `Traced` wherever an array of the data goes."""

    structure: Any  # the tree of (args, kwargs)
    static: tuple[Any, ...]
    names: tuple[str, ...]  # of every leaf

    @property
    def array_names(self) -> list[str]:
        """The names of the traced leaves, in the order of the data."""
        return [name for name, leaf in zip(self.names, self.static, strict=True) if isinstance(leaf, Traced)]

    def call_leaves(self, data: Any) -> list[Any]:
        """Every leaf of (args, kwargs), the data among them."""
        arrays = iter(data)
        return [
            next(arrays) if isinstance(leaf, Traced) else leaf.array if isinstance(leaf, Constant) else leaf
            for leaf in self.static
        ]

    def call(self, data: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """(args, kwargs) of the model."""
        args, kwargs = jax.tree.unflatten(self.structure, self.call_leaves(data))
        return args, kwargs


def bind_arguments(
    model: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Arguments, tuple[Any, ...]]:
    """Splits a call into its hashable shape and its arrays; raises when it does not fit the model's signature."""
    signature = inspect.signature(model)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(
            f"from_numpyro: the arguments do not fit the model: {error}. Expected ({', '.join(signature.parameters)}), "
            f"got {len(args)} positional and {sorted(kwargs) or 'no named ones'}."
        ) from None
    paths, structure = jax.tree_util.tree_flatten_with_path((args, kwargs), is_leaf=_is_leaf)
    positional = list(bound.arguments)
    names = tuple(_leaf_name(path, positional) for path, _ in paths)
    leaves = [_convert(value, name) for name, (_, value) in zip(names, paths, strict=True)]
    static = tuple(Traced() if isinstance(leaf, jax.Array) else leaf for leaf in leaves)
    return Arguments(structure, static, names), tuple(leaf for leaf in leaves if isinstance(leaf, jax.Array))


def freeze(arguments: Arguments, data: tuple[Any, ...]) -> Arguments:
    """The same call with every array built into the program."""
    leaves = [Constant.of(leaf) if isinstance(leaf, jax.Array) else leaf for leaf in arguments.call_leaves(data)]
    return Arguments(arguments.structure, tuple(leaves), arguments.names)


def name_of_leaf(name: str) -> str:
    """How an argument is called in an error message."""
    return f"model argument {name!r}"


def _is_leaf(value: Any) -> bool:
    return value is None or isinstance(value, list) or hasattr(value, "to_numpy")


def _leaf_name(path: tuple[Any, ...], positional: list[str]) -> str:
    entries: list[Any] = [getattr(entry, "idx", getattr(entry, "key", "")) for entry in path]
    kind, first, *rest = entries
    base = str(first) if kind == 1 else (positional[first] if first < len(positional) else f"argument {first}")
    return base + "".join(f"[{part!r}]" for part in rest)


def _convert(value: Any, name: str) -> Any:
    """An array as a JAX array, anything else as it is; refuses what is neither numeric nor hashable."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name_of_leaf(name)}: masked arrays are not understood; pass the values and the mask apart.")
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    if isinstance(value, np.generic) and value.dtype.kind in "biu":
        value = value.item()  # a count or a switch: part of the program, as Python's own are
    is_scalar = isinstance(value, (bool, int, float, str, type(None)))
    if is_scalar or (hasattr(value, "dtype") and isinstance(value, jax.Array) and value.size):
        return value
    if isinstance(value, (np.ndarray, np.generic, list, jax.Array)):
        array = np.asarray(value)
        if array.dtype.kind not in "biufc":
            raise TypeError(
                f"{name_of_leaf(name)}: expected numbers, got {describe(array)}. Code categories as integers first, "
                "and drop columns that are not numeric."
            )
        if array.size == 0:
            raise ValueError(f"{name_of_leaf(name)}: it is empty (shape {array.shape}); a fit needs at least one row.")
        # a transfer, where jnp.asarray would compile a program
        return jax.device_put(array.astype(jax.dtypes.canonicalize_dtype(array.dtype)))
    try:
        hash(value)
    except TypeError:
        raise TypeError(
            f"{name_of_leaf(name)}: expected arrays, numbers, strings or hashable objects, got {describe(value)}."
        ) from None
    return value
