"""A target over finitely many points from any JAX function that returns a log mass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from vi_toolkit._checks import check_num_values, describe
from vi_toolkit._types import Scalar, Sites, Vector
from vi_toolkit.targets._plain import PlainProgram
from vi_toolkit.targets.target import Site, Target

States = Int[Array, "dim"]  # one point of whole numbers


@dataclass(frozen=True)
class LogMassProgram(PlainProgram):
    """The functions of a target made from a log mass; ``data`` holds the function's leaves."""

    mass: Any  # the structure of the function
    site: str
    num_values: tuple[int, ...]

    @property
    def dim(self) -> int:
        return len(self.num_values)

    @property
    def sites(self) -> tuple[Site, ...]:
        return (Site(self.site, 0, self.dim, (self.dim,), (self.dim,)),)

    def log_density(self, data: Any, z: Vector) -> Scalar:
        states = jnp.clip(z, 0, np.array(self.num_values) - 1).astype(int)
        value = jax.tree.unflatten(self.mass, data)(states)
        return jnp.where(jnp.all(states == z), value, -jnp.inf).astype(z.dtype)

    def constrain(self, data: Any, z: Vector) -> Sites:
        return {self.site: z.astype(int)}

    def unconstrain(self, data: Any, sites: Sites) -> tuple[Vector, Scalar]:
        z = jnp.asarray(sites[self.site], jnp.result_type(float))
        return z, jnp.zeros((), z.dtype)

    def explain(self, data: Any, z: Vector) -> str:
        return (
            f"the log mass is {float(self.log_density(data, z))} at z = {np.asarray(z)}; the points are whole numbers "
            f"from 0 up, of {self.num_values} values, and go with vi.MeanFieldCategorical"
        )


def from_log_mass(
    f: Callable[[States], Scalar],
    num_values: Sequence[int],
    *,
    site: str = "z",
    log_evidence: float | None = None,
) -> Target:
    """Makes a target over the points z with z_i among 0, 1, ..., num_values[i] - 1 of any JAX function z -> log p~(z).

    A guide for it is `vi.MeanFieldCategorical`. Guides keep the points as floats that hold whole numbers; ``f`` is
    given them as integers, and at any other point the log mass is -inf.

    Args:
        f: the unnormalised log mass of ONE point, integers of shape (dim,): a scalar, in nats. Arrays that should
            travel as arguments rather than be built into the compiled program are bound with
            ``jax.tree_util.Partial(f, data)``.
        num_values: how many values each coordinate takes, (dim,).
        site: what the point is called in trees and tables.
        log_evidence: log of the sum of exp f over all points, in nats, if it is known.

    Returns:
        The target, whose ``num_values`` are those.

    Raises:
        TypeError: if ``f`` is not callable, cannot be traced by JAX, or does not return one real number; if
            ``num_values`` is not a list of whole numbers.
        ValueError: if one of ``num_values`` is below 1.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> field = jnp.array([[0.0, 1.0, 0.0], [2.0, 0.0, 0.0]])
        >>> def log_mass(x):  # three values each, and a reward for being equal
        ...     return field[0, x[0]] + field[1, x[1]] + 0.5 * (x[0] == x[1])
        >>> target = vi.from_log_mass(log_mass, (3, 3))
        >>> float(target.log_density(jnp.array([1.0, 0.0]))), float(target.log_density(jnp.array([0.5, 0.0])))
        (3.0, -inf)
        >>> method = vi.gradient(vi.MeanFieldCategorical((3, 3)), vi.ReverseKL(vi.estimators.enumerated))
        >>> vi.fit(jax.random.key(0), target, method).posterior.probs[1].round(2)
        Array([0.78, 0.12, 0.1 ], dtype=float64)
    """
    if not callable(f):
        raise TypeError(f"f: expected a function of one point of whole numbers, got {describe(f)}.")
    counts = check_num_values(num_values)
    bound = f if isinstance(f, jax.tree_util.Partial) else jax.tree_util.Partial(f)
    _check_value(bound, len(counts))
    leaves, mass = jax.tree.flatten(bound)
    return Target(LogMassProgram(mass, site, counts), leaves, log_evidence)


def _check_value(f: Callable[[States], Scalar], dim: int) -> None:
    point = jax.ShapeDtypeStruct((dim,), jnp.result_type(int))
    try:
        value: Any = jax.eval_shape(f, point)
    except Exception as error:
        raise TypeError(
            f"f: JAX could not trace it at one point of {dim} whole numbers: {type(error).__name__}: {error}\n"
            "Write f with jax.numpy, for one point at a time, and index arrays of jax.numpy with it."
        ) from error
    if not hasattr(value, "shape") or value.shape != () or not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(
            f"f: expected one real number (shape ()) at one point of {dim} whole numbers, got {describe(value)}. "
            "Sum the log mass over its terms, and let the toolkit do the vectorising."
        )
