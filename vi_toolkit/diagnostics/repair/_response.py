"""What linear response is made of: the Hessian at a fit, gradients by groups of draws, and functions of a point."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial, register_dataclass, register_static
from jaxtyping import Array

from vi_toolkit._types import Key, Params, Vector
from vi_toolkit.algorithms._conjugate_gradients import solve_freely
from vi_toolkit.algorithms._sampled_elbo import SampledElbo, has_moments, noise_for
from vi_toolkit.guides import Guide
from vi_toolkit.targets import Target

COLUMNS = 16  # of the Hessian, side by side
MAX_PRODUCTS = 1000  # with the Hessian, for each right-hand side
ACCURACY = 1e-10  # of what a right-hand side's quadratic gains


class Function(Protocol):
    """A function of one point of R^dim, in any structure of arrays."""

    def __call__(self, target: Target, z: Vector) -> Any: ...


@register_static
@dataclass(frozen=True)
class Coordinates:
    """The point itself."""

    def __call__(self, target: Target, z: Vector) -> Any:
        return z


@register_static
@dataclass(frozen=True)
class NamedSites:
    """Sites of the model, in its own space."""

    names: tuple[str, ...]

    def __call__(self, target: Target, z: Vector) -> Any:
        sites = target.constrain(z)
        return {name: sites[name] for name in self.names}


@partial(register_dataclass, data_fields=["function"], meta_fields=[])
@dataclass(frozen=True)
class OwnFunction:
    """A user's function; arrays that it is bound to by `jax.tree_util.Partial` are arguments of compiled programs."""

    function: Partial

    def __call__(self, target: Target, z: Vector) -> Any:
        return self.function(z)


class Local(NamedTuple):
    """The sampled ELBO near a fit, f(u) with steps u in the guide's own coordinates, and functions phi of the point."""

    gradients: Array  # (groups, params), of each group of draws
    values: Array  # (groups, functions), E phi over each group of draws
    jacobian: Array  # (functions, params), of E phi over all draws


@partial(jax.jit, static_argnames=("guide", "groups"))
def look(guide: Guide, target: Target, params: Params, key: Key, of: Function, blocks: Any, groups: int) -> Local:
    """Gradients by groups of draws, and functions with their derivatives."""
    f = SampledElbo(guide, target, key, noise_for(guide, params))
    size = blocks // groups
    bounds = [(i * size, (i + 1) * size) for i in range(groups)]
    first = jnp.stack([low for low, _ in bounds])
    gradients = jax.lax.map(lambda low: f.evaluate(params, low, low + size)[1], first)
    zero = jnp.zeros_like(gradients[0])

    def mean_of(u: Array, block: Any) -> Array:
        points, weights, _ = f.draws(f.moved(params, u), block)
        return weights @ jax.vmap(lambda z: ravel_pytree(of(target, z))[0])(points)

    if of == Coordinates() and has_moments(guide, params):

        def exact(u: Array) -> Array:
            return guide.distribution(f.moved(params, u)).mean

        values = jnp.broadcast_to(exact(zero), (groups, target.dim))
        return Local(gradients, values, jax.jacfwd(exact)(zero))
    derivative = jax.jacrev if jax.eval_shape(mean_of, zero, 0).size < zero.size else jax.jacfwd

    def add(block: Any, total: Array) -> Array:
        return jax.tree.map(jnp.add, total, mean_of(zero, block))

    def mean_over(low: Array) -> Array:
        return jax.lax.fori_loop(low, low + size, add, jnp.zeros_like(mean_of(zero, 0))) / size

    def slope(block: Any, total: Array) -> Array:
        return total + derivative(mean_of)(zero, block)

    values = jax.lax.map(mean_over, first)
    empty = jnp.zeros((values.shape[1], zero.size), zero.dtype)
    return Local(gradients, values, jax.lax.fori_loop(0, size * groups, slope, empty) / (size * groups))


@partial(jax.jit, static_argnames="guide")
def hessian(guide: Guide, target: Target, params: Params, key: Key, blocks: Any) -> Array:
    """The Hessian of the sampled ELBO's negative, written out."""
    f = SampledElbo(guide, target, key, noise_for(guide, params))
    flat = ravel_pytree(params)[0]
    units = jnp.eye(flat.size, dtype=flat.dtype)
    return jax.lax.map(f.curvature(params, blocks), units, batch_size=min(COLUMNS, flat.size))


@partial(jax.jit, static_argnames="guide")
def solutions(guide: Guide, target: Target, params: Params, key: Key, blocks: Any, rows: Array) -> tuple[Array, ...]:
    """H^-1 applied to every row by conjugate gradients; the least curvatures met, and the numbers of products."""
    f = SampledElbo(guide, target, key, noise_for(guide, params))

    def one(row: Array) -> tuple[Array, Array, Array]:
        found = solve_freely(f.curvature(params, blocks), row, max_iterations=MAX_PRODUCTS, accuracy=ACCURACY)
        return found.x, found.least, found.iterations

    return jax.lax.map(one, rows)


def least_eigenvalue(H: np.ndarray) -> tuple[float, float, np.ndarray]:
    """The least eigenvalue of a symmetric matrix, the largest, and the direction of the least."""
    values, vectors = np.linalg.eigh(H)
    return float(values[0]), float(values[-1]), vectors[:, 0]
