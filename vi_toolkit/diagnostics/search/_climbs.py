"""Where the posterior may have mass: climbs from points far apart, and particles led in from afar."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vi_toolkit._start import Climb
from vi_toolkit._types import Draws, Key, Scalar, Vector, numpy_generator
from vi_toolkit.algorithms._party import climb_together
from vi_toolkit.programs import QUICK_TO_COMPILE
from vi_toolkit.sources._temper import temper
from vi_toolkit.targets import Target

LONGEST = 100  # steps of a climb
NEAR = 1e-3  # nats that a step still promises, below which a climb is at its top
LOOKED_AT = 8192  # points, by their density alone
SLACK = 10.0  # nats
EACH = 8  # starts of a kind
REACHES = (3.0, 10.0, 30.0, 100.0)  # standard deviations of q, from its mean
WIDE = (2.0, 10.0)  # where models begin that are written in units of one
PARTICLES = 128
PARTICLE_CLIMBS = 16
STRETCH = 10.0  # of q's standard deviations, from which particles are led in
STAGES = 200  # of the tempering, at most
KEPT = 0.7  # share of the particles that a stage keeps in effect
HALVINGS = 45  # in the search for the next power
STRIDE = 0.3  # of the particles' spread, in a step of the diffusion


class Tops(NamedTuple):
    """Where climbs ended."""

    points: np.ndarray  # (climbs, dim)
    values: np.ndarray  # (climbs,): log p~, -inf where a climb found no finite density
    curvatures: np.ndarray  # (climbs, dim, dim): minus the Hessian as the climb knows it
    num_gradients: float


def climb_from(target: Target, starts: np.ndarray) -> Tops:
    """Quasi-Newton climbs from every start, side by side."""
    climbs, spent = _climb(target, jnp.asarray(starts, jnp.result_type(float)))
    points, values, curvatures = (np.asarray(leaf, np.float64) for leaf in (climbs.z, climbs.value, climbs.curvature))
    usable = np.isfinite(values) & np.isfinite(points).all(axis=1)
    return Tops(points, np.where(usable, values, -np.inf), curvatures, float(spent))


def scattered(key: Key, target: Target, draws: np.ndarray) -> np.ndarray:
    """Points to begin climbs at, far and near.

    Some of q's own draws; points far out in q's units and in the model's; of very many more, those where the density
    stands out; and particles led in from a wide start, which come to regions by their mass rather than by their pull.
    """
    center, scale = np.median(draws, axis=0), spread_of(draws)
    rng = numpy_generator(key)
    size = (EACH, draws.shape[1])
    far = [center + reach * scale * rng.standard_normal(size) for reach in REACHES]
    wide = [rng.uniform(-width, width, size) for width in WIDE]
    points = [draws[:EACH], *far, *wide, _standing_out(rng, target, center, scale)]
    dtype = jnp.result_type(float)
    particles = _led_in(key, target, jnp.asarray(center, dtype), jnp.asarray(scale, dtype))
    points.append(np.asarray(particles, np.float64)[:PARTICLE_CLIMBS])
    found = np.concatenate(points)
    return np.where(np.isfinite(found).all(axis=1, keepdims=True), found, center)


def _standing_out(rng: np.random.Generator, target: Target, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Of many points far and near, those where p exceeds by most what a normal of q's scale would leave there.

    The excess, in nats, is taken as a share of what that normal falls by: far out, it is the error of q's scale.
    """
    reach = np.exp(rng.uniform(0.0, np.log(REACHES[-1]), (LOOKED_AT, 1)))
    x = reach * rng.standard_normal((LOOKED_AT, len(center))) / np.sqrt(len(center))
    x[0] = 0.0
    points = center + scale * x
    values = np.asarray(_values(target, jnp.asarray(points, jnp.result_type(float))), np.float64)
    values = np.where(np.isfinite(values), values, -np.inf)
    fall = 0.5 * (x**2).sum(axis=1)
    top = values[0] if np.isfinite(values[0]) else max(values.max(), -np.finfo(float).max)
    excess = (values - top + fall) / (SLACK + fall)
    return points[np.argsort(-excess)[: 2 * EACH]]


@partial(jax.jit, compiler_options=QUICK_TO_COMPILE)
def _values(target: Target, points: Draws) -> Array:
    return jax.vmap(target.log_density)(points)


def spread_of(draws: np.ndarray) -> np.ndarray:
    """Standard deviations, (dim,), with one in the place of what is not a positive number."""
    sd = draws.std(axis=0)
    return np.where(np.isfinite(sd) & (sd > 0), sd, 1.0)


@partial(jax.jit, compiler_options=QUICK_TO_COMPILE)
def _climb(target: Target, starts: Draws) -> tuple[Climb, Scalar]:
    party = climb_together(target, starts, LONGEST, NEAR)
    return party.climbs, party.spent


class _Led(NamedTuple):
    """Particles on their way."""

    points: Draws
    beta: Scalar  # they are of p^beta pi^(1 - beta), pi the normal that they came from
    stage: Array


@partial(jax.jit, compiler_options=QUICK_TO_COMPILE)
def _led_in(key: Key, target: Target, center: Vector, scale: Vector) -> Draws:
    """Particles that came from N(center, (STRETCH scale)^2) by tempering, to p unless it takes very many stages.

    At each stage they are weighted for the next power of p, resampled, and moved by a step of Langevin's diffusion in
    units of their own spread, without a test: they are to find places, not to be draws.
    """
    wide = STRETCH * scale

    def goes_on(led: _Led) -> Array:
        return (led.beta < 1) & (led.stage < STAGES)

    def stage(led: _Led) -> _Led:
        keys = jax.random.split(jax.random.fold_in(key, led.stage), 2)
        values, slopes = jax.vmap(jax.value_and_grad(target.log_density))(led.points)
        usable = jnp.isfinite(values) & jnp.isfinite(slopes).all(axis=1)
        x = (led.points - center) / wide
        ahead = jnp.where(usable, values + 0.5 * (x**2).sum(axis=1), -jnp.inf)
        change = jnp.minimum(temper(ahead, KEPT * usable.sum(), HALVINGS), 1 - led.beta)
        kept = jax.random.categorical(keys[0], change * ahead, shape=values.shape)
        beta, points = led.beta + change, led.points[kept]
        spread = jnp.std(points, axis=0) + 1e-6 * scale
        slope = beta * slopes[kept] - (1 - beta) * x[kept] / wide
        drift = 0.5 * (STRIDE * spread) ** 2 * slope
        longest = STRIDE * spread * jnp.sqrt(1.0 * len(spread))
        noise = jax.random.normal(keys[1], points.shape, points.dtype)
        return _Led(points + jnp.clip(drift, -longest, longest) + STRIDE * spread * noise, beta, led.stage + 1)

    noise = jax.random.normal(jax.random.fold_in(key, STAGES), (PARTICLES, len(center)), center.dtype)
    begun = _Led(center + wide * noise, jnp.zeros((), center.dtype), jnp.zeros((), int))
    return jax.lax.while_loop(goes_on, stage, begun).points
