"""A target from any JAX function that returns a log density."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import check_positive_int, describe
from vi_toolkit._types import Scalar, Sites, Vector
from vi_toolkit.targets._explain import bad_arguments
from vi_toolkit.targets._plain import PlainProgram
from vi_toolkit.targets.target import Site, Target

Static = Any  # a function, or the structure of a jax.tree_util.Partial


@dataclass(frozen=True)
class LogDensityProgram(PlainProgram):
    """The functions of a target made from a log density; ``data`` holds the leaves of both functions."""

    density: Static
    constrainer: Static
    dim: int
    sites: tuple[Site, ...]

    def log_density(self, data: Any, z: Vector) -> Scalar:
        return jax.tree.unflatten(self.density, data["log_density"])(z)

    def constrain(self, data: Any, z: Vector) -> Sites:
        return jax.tree.unflatten(self.constrainer, data["constrain"])(z)

    def unconstrain(self, data: Any, sites: Sites) -> tuple[Vector, Scalar]:
        if jax.tree.unflatten(self.constrainer, data["constrain"]).func is not _whole:
            raise ValueError("target: it was made with a constrain of its own, whose inverse is not known.")
        return jnp.asarray(sites["z"]), jnp.zeros(())

    def explain(self, data: Any, z: Vector) -> str:
        leaves = [leaf for leaf in data["log_density"] if hasattr(leaf, "dtype")]
        lines = bad_arguments([f"bound array {i}" for i in range(len(leaves))], leaves)
        return "; ".join([*lines, f"the log density is {float(self.log_density(data, z))} at z = {np.asarray(z)}"])


def from_log_density(
    f: Callable[[Vector], Scalar],
    *,
    dim: int,
    constrain: Callable[[Vector], Sites] | None = None,
    log_evidence: float | None = None,
) -> Target:
    """Makes a target of any JAX function z -> log p~(z).

    Args:
        f: the unnormalised log density of ONE point z of shape (dim,): a scalar, in nats. Arrays that should
            travel as arguments rather than be built into the compiled program (large data, or data to be
            exchanged without compiling again) are bound with ``jax.tree_util.Partial(f, data)``.
        dim: the number of coordinates.
        constrain: a map from z to named values {site: array}; by default {"z": z}. If it is a change of
            variables, ``f`` must include its log Jacobian already.
        log_evidence: log of the integral of exp f, in nats, if it is known.

    Returns:
        The target.

    Raises:
        TypeError: if ``f`` is not callable, cannot be traced by JAX, or does not return one real number.
        ValueError: if ``dim`` is below 1.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> def log_density(z):  # the density of z = log scale, Jacobian included
        ...     return jnp.sum(z - jnp.exp(z))
        >>> target = vi.from_log_density(log_density, dim=3, constrain=lambda z: {"scale": jnp.exp(z)})
        >>> sorted(target.constrain(jnp.zeros(3)))
        ['scale']
    """
    dim = check_positive_int(dim, "dim")
    for name, function in (("f", f), ("constrain", constrain)):
        if function is not None and not callable(function):
            raise TypeError(f"{name}: expected a function of one point of shape ({dim},), got {describe(function)}.")
    density_leaves, density = jax.tree.flatten(_as_partial(f))
    constrain_leaves, constrainer = jax.tree.flatten(_as_partial(constrain or _whole))
    data = {"log_density": density_leaves, "constrain": constrain_leaves}
    point = jax.ShapeDtypeStruct((dim,), jnp.result_type(float))
    _check_value(_traced(f, point, "f"), dim)
    order: list[str] = []

    def named(z: Vector) -> Any:
        sites: Any = (constrain or _whole)(z)
        order.extend(sites if isinstance(sites, Mapping) else ())  # as written: JAX sorts dictionaries by name
        return sites

    sites = _traced(named, point, "constrain")
    if not isinstance(sites, Mapping) or not all(isinstance(name, str) for name in sites):
        raise TypeError(f"constrain: expected it to return a dict of named arrays, got {describe(sites)}.")
    layout = tuple(Site(name, 0, dim, (dim,), tuple(sites[name].shape)) for name in order)
    return Target(LogDensityProgram(density, constrainer, dim, layout), data, log_evidence)


def _whole(z: Vector) -> Sites:
    return {"z": z}


def _as_partial(function: Callable[..., Any]) -> jax.tree_util.Partial:
    """A pytree whose leaves are the function's bound arrays, and whose structure is the function."""
    return function if isinstance(function, jax.tree_util.Partial) else jax.tree_util.Partial(function)


def _traced(function: Callable[..., Any], point: Any, name: str) -> Any:
    try:
        return jax.eval_shape(function, point)
    except Exception as error:
        raise TypeError(
            f"{name}: JAX could not trace it at one point of shape {point.shape}: {type(error).__name__}: {error}\n"
            f"Write {name} with jax.numpy, for one point at a time."
        ) from error


def _check_value(value: Any, dim: int) -> None:
    if not hasattr(value, "shape") or value.shape != () or not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(
            f"f: expected one real number (shape ()) at one point of shape ({dim},), got {describe(value)}. "
            "Sum the log density over its terms, and let the toolkit do the vectorising."
        )
