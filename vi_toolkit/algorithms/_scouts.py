"""Short climbs from several points: which has a top worth beginning at, and where to begin where none has."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vi_toolkit._start import Climb
from vi_toolkit._types import Draws, Key, LogWeights, Scalar, Vector
from vi_toolkit.algorithms._party import climb_together
from vi_toolkit.algorithms._starting_points import SCALE_DRAWS, SCALES, first_scale
from vi_toolkit.targets import Target

NUM_CLIMBS = 7
NEARER = (1.0, 0.5, 0.25)  # where a climb may begin: at a candidate, or on the way from it to the origin
LONGEST = 40  # steps of a climb
NEAR = 0.1  # nats that a quasi-Newton step still promises, below which a climb is at its top
SAME_ELBO = 5.0  # nats between tops that are one
SAME_PLACE = 25.0  # their squared distance, as the curvature of each has it
SHARE = 0.5  # of the conditional standard deviations at a top
LOOK_DRAWS = 4


class Scouted(NamedTuple):
    """What the climbs found, one entry for each."""

    start: Float[Array, "climbs dim"]
    start_value: Float[Array, " climbs"]  # log p~ there; -inf where it is not finite
    top: Float[Array, "climbs dim"]
    scale: Float[Array, "climbs dim"]  # conditional standard deviations at the top
    elbo: Float[Array, " climbs"]  # about the top, by a few draws, less twice their spread; -inf where none was reached
    apart: Float[Array, "climbs climbs"]  # squared distances between the tops, each in the other's curvature
    gradients: Scalar  # spent

    @property
    def meet(self) -> Array:
        """Whether most climbs reached a top, and two of them the same."""
        reached = jnp.isfinite(self.elbo)
        elbos = jnp.where(reached, self.elbo, 0.0)
        same = (self.apart < SAME_PLACE) & (jnp.abs(elbos[:, None] - elbos) < SAME_ELBO)
        same = same & reached[:, None] & reached & ~jnp.eye(len(reached), dtype=bool)
        return (2 * reached.sum() > len(reached)) & same.any()


class Place(NamedTuple):
    """N(location, diag(scale^2)), to begin with."""

    location: Vector
    scale: Vector
    is_round: Array
    gradients: Scalar  # spent on finding it


def place(key: Key, target: Target, candidates: Draws, start: int | Array) -> Place:
    """Where to begin: as climbs say, for start 0, or round at the n-th candidate."""
    key_climbs, key_scale = jax.random.split(key)
    none = jnp.zeros((), candidates.dtype)

    def given(_: Key) -> Place:
        location = candidates[(jnp.asarray(start) - 1) % len(candidates)]
        return Place(location, jnp.ones_like(location), jnp.asarray(True), none)

    def climbed(key: Key) -> Place:
        return _climbed_place(scout(key, target, candidates))

    if isinstance(start, int):
        found = (given if start > 0 else climbed)(key_climbs)
    else:
        found = jax.lax.cond(start > 0, given, climbed, key_climbs)

    def widened(key: Key) -> Place:
        """As wide as the ELBO likes best."""
        spread = jnp.sqrt(jnp.mean(candidates**2))
        scale = first_scale(key, target, found.location, spread * jnp.asarray(SCALES, none.dtype), SCALE_DRAWS)
        gradients = found.gradients + SCALE_DRAWS * len(SCALES) / 3
        return found._replace(scale=scale * jnp.ones_like(found.scale), gradients=gradients)

    return jax.lax.cond(found.is_round, widened, lambda _: found, key_scale)


def _climbed_place(found: Scouted) -> Place:
    """At the top of the highest ELBO, if climbs meet; if not, at the likeliest of their beginnings."""
    top, start = jnp.argmax(found.elbo), jnp.argmax(found.start_value)
    location = jnp.where(found.meet, found.top[top], found.start[start])
    return Place(location, SHARE * found.scale[top], ~found.meet, found.gradients)


def scout(key: Key, target: Target, candidates: Draws) -> Scouted:
    """Climbs from the first candidates until a step promises little, and looks at the ELBO about the tops.

    Where a posterior has several modes, this tells them apart before anything is spent on one of them. In a hierarchy
    the joint density climbs without bound as a group scale goes to zero, and climbs reach no top, or each one of its
    own: tops count only where two climbs meet.
    """
    nearer = jnp.asarray(NEARER, candidates.dtype)[:, None, None] * candidates[:NUM_CLIMBS]
    values = jax.vmap(jax.vmap(target.log_density))(nearer)
    values = jnp.where(jnp.isnan(values), -jnp.inf, values)
    likeliest = jnp.argmax(values, axis=0)
    starts = jnp.take_along_axis(nearer, likeliest[None, :, None], axis=0)[0]
    party = climb_together(target, starts, LONGEST, NEAR)
    climbs = party.climbs
    scale = 1 / jnp.sqrt(jax.vmap(_diagonal)(climbs))
    half = jax.random.normal(key, (LOOK_DRAWS // 2, target.dim), starts.dtype)
    noise = jnp.concatenate([half, -half])
    elbo = jax.vmap(lambda z, s: _elbo(target, z, SHARE * s, noise))(climbs.z, scale)
    elbo = jnp.where(party.reached & jnp.isfinite(elbo), elbo, -jnp.inf)
    densities = values.size + LOOK_DRAWS * len(starts)
    return Scouted(starts, values.max(axis=0), climbs.z, scale, elbo, _apart(climbs), party.spent + densities / 3)


def _diagonal(climb: Climb) -> Vector:
    """Of the curvature, as the climb knows it."""
    return jnp.diagonal(climb.curvature) if climb.curvature.ndim else jnp.full_like(climb.z, climb.curvature)


def _apart(climbs: Climb) -> Array:
    """(a - b)^T C (a - b) of all pairs of tops, C the curvature of the one from which it is larger."""

    def from_one(climb: Climb) -> Array:
        x = climbs.z - climb.z
        return jnp.sum(x * (x @ climb.curvature if climb.curvature.ndim else x * climb.curvature), axis=1)

    each = jax.vmap(from_one)(climbs)
    return jnp.maximum(each, each.T)


def _elbo(target: Target, location: Vector, scale: Vector, noise: Draws) -> Scalar:
    """Of N(location, diag(scale^2)) up to a constant, less twice the spread of log p~ over its draws."""
    values: LogWeights = jax.vmap(target.log_density)(location + scale * noise)
    return values.mean() - 2 * values.std() + jnp.log(scale).sum()
