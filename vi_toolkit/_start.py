"""Where a fit begins: a point of high density, found by a few quasi-Newton steps from several random points."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from vi_toolkit._types import Density, Draws, LogWeights, Scalar, Vector

NUM_STARTS = 8
NUM_STEPS = 50
DENSE_DIM = 512  # above it the curvature is kept as one number instead of a matrix


class Start(NamedTuple):
    """A point to begin at, its local scale, and the other points that were found."""

    location: Vector
    scale: Vector  # conditional standard deviations there: 1 / sqrt(diagonal of minus the Hessian)
    others: Draws  # the points reached from all candidates, the best first, then those furthest from one another
    finite: Array  # whether log density and gradient are finite at the location


class Climb(NamedTuple):
    """A climb of quasi-Newton steps, where it stands."""

    z: Vector
    value: Scalar
    gradient: Vector
    length: Scalar  # of the step to be tried, as a share of the quasi-Newton step
    inverse: Any  # of minus the Hessian, as BFGS knows it: a matrix, or one number
    curvature: Any  # minus the Hessian


def num_gradients() -> float:
    """Log-density gradients that `find_start` spends."""
    return float(NUM_STARTS * NUM_STEPS)


def find_start(target: Density, candidates: Draws) -> Start:
    """Climbs from every candidate, side by side, and keeps the best point.

    Each climb is a few BFGS steps, which follow the curvature whatever the units of the model; a step that
    lowers the density, or makes it non-finite, is tried again at a fifth of its length. It is not meant to
    reach the mode (a hierarchy may have none that is useful). The curvature gathered on the way is the scale.

    Source: Nocedal & Wright (2006), Numerical Optimization, section 6.1, doi:10.1007/978-0-387-40065-5.
    """
    climbs = jax.vmap(partial(_whole_climb, target))(candidates)
    values = jnp.where(jnp.isfinite(climbs.value), climbs.value, -jnp.inf)
    best = jnp.argmax(values)
    top = jax.tree.map(lambda leaf: leaf[best], climbs)
    curvature = jnp.diagonal(top.curvature) if top.curvature.ndim else jnp.full_like(top.z, top.curvature)
    return Start(top.z, 1.0 / jnp.sqrt(curvature), _spread_out(climbs.z, values, best), jnp.isfinite(values[best]))


def no_search(target: Density, candidates: Draws) -> Start:
    """The candidates as they are, on a scale of one, for a guide that begins somewhere of its own."""
    first = candidates[0]
    return Start(first, jnp.ones_like(first), candidates, jnp.asarray(True))


def _whole_climb(target: Density, z: Vector) -> Climb:
    """NUM_STEPS trial steps from z, the first of which looks at z itself."""

    def step(climb: Climb, count: Array) -> tuple[Climb, None]:
        return climb_on(target, climb, count), None

    return jax.lax.scan(step, begin_climb(z), jnp.arange(NUM_STEPS))[0]


def begin_climb(z: Vector) -> Climb:
    """A climb that has yet to look at its first point; its value stays -inf where the target is not finite there."""
    zero = jnp.zeros((), z.dtype)
    unit = jnp.eye(len(z), dtype=z.dtype) if len(z) <= DENSE_DIM else zero + 1.0
    return Climb(z, zero - jnp.inf, jnp.zeros_like(z), zero + 1.0, unit, unit)


def climb_on(target: Density, climb: Climb, count: Array) -> Climb:
    """One trial step, the ``count``-th; a step that does not rise is tried again at a fifth of its length."""
    direction = climb.inverse @ climb.gradient if climb.inverse.ndim else climb.inverse * climb.gradient
    new = climb.z + climb.length * direction
    value, gradient = jax.value_and_grad(target.log_density)(new)
    rises = (value > climb.value) & jnp.all(jnp.isfinite(gradient))
    inverse, curvature = _learn(climb, new - climb.z, climb.gradient - gradient, count)
    # The first step has at most length 1; every later one is tried at its full length first.
    length = jnp.where(count == 0, 1.0 / jnp.maximum(jnp.linalg.norm(gradient), 1.0), 1.0)
    taken = Climb(new, value, gradient, length, inverse, curvature)
    return jax.tree.map(partial(jnp.where, rises), taken, climb._replace(length=0.2 * climb.length))


def _learn(climb: Climb, moved: Vector, turned: Vector, count: Array) -> tuple[Any, Any]:
    """The BFGS updates of the inverse curvature and of the curvature, from a step and the change of gradient."""
    product = moved @ turned
    informative = (product > 1e-6 * jnp.linalg.norm(moved) * jnp.linalg.norm(turned)) & (count > 0)
    rho = jnp.where(informative, 1.0 / jnp.where(informative, product, 1.0), 0.0)
    typical = jnp.where(informative, rho * (turned @ turned), 1.0)  # the size of the curvature along the step
    if not climb.inverse.ndim:
        known = jnp.where(informative, typical, climb.curvature)
        return 1.0 / known, known
    # The first step that is informative sets the size, which until then is a guess.
    fresh = informative & (count == 1)
    inverse = jnp.where(fresh, climb.inverse / typical, climb.inverse)
    curvature = jnp.where(fresh, climb.curvature * typical, climb.curvature)
    back, bent = inverse @ turned, curvature @ moved
    new_inverse = inverse - rho * (jnp.outer(moved, back) + jnp.outer(back, moved))
    new_inverse += rho * (1.0 + rho * (turned @ back)) * jnp.outer(moved, moved)
    stiffness = jnp.where(informative, moved @ bent, 1.0)
    new_curvature = curvature - jnp.outer(bent, bent) / stiffness + rho * jnp.outer(turned, turned)
    return jnp.where(informative, new_inverse, inverse), jnp.where(informative, new_curvature, curvature)


def _spread_out(points: Draws, values: LogWeights, first: Array) -> Draws:
    """The points in an order that begins with the best and goes on with the one furthest from those taken."""
    points = jnp.where(jnp.isfinite(values)[:, None], points, points[first])
    apart = jnp.sum((points[:, None] - points) ** 2, axis=-1)

    def take(nearest: LogWeights, _: None) -> tuple[LogWeights, Vector]:
        chosen = jnp.argmax(nearest)
        return jnp.minimum(nearest, apart[chosen]), points[chosen]

    nearest = jnp.where(jnp.arange(len(points)) == first, jnp.inf, 1e30)
    return jax.lax.scan(take, nearest, None, length=len(points))[1]
