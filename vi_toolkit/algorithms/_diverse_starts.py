"""Where each of many runs begins: regions of their own, told apart by where a climb from them ends."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vi_toolkit._start import NUM_STARTS, NUM_STEPS, find_start
from vi_toolkit._types import Draws, Key, LogWeights
from vi_toolkit.algorithms._starting_points import starting_points
from vi_toolkit.targets import Target

LEAST_CLIMBS = 32  # of which the runs take those that end furthest from one another
CLIMBS_PER_RUN = 4
BEGINNING = 0.1  # what a distance between beginnings counts, where the ends are the same


def num_climbs(num_runs: int) -> int:
    """How many climbs are made to choose the regions; none for a single run."""
    return max(LEAST_CLIMBS, CLIMBS_PER_RUN * num_runs) if num_runs > 1 else 0


def search_gradients(num_runs: int) -> float:
    """Log-density gradients that `diverse_candidates` spends, a bare density as a third."""
    return num_climbs(num_runs) * (NUM_STEPS + 1 / 3)


def diverse_candidates(
    key: Key, target: Target, candidates: Draws, num_runs: int, many: bool
) -> Float[Array, "runs starts dim"]:
    """Candidates for each run: for the first those given, for every other those of a region of its own.

    Those given begin with the one from which the highest point was reached.

    The regions are those of the climbs that end furthest from one another, so that each mode that was reached has a run
    before any has two. A run begins half-way between the two ends of its climb: near where it began, the next mode may
    be as near; and in a hierarchy climbs end where the density is high and the mass is small.

    Args:
        key: for the points beyond the candidates.
        target: p.
        candidates: points to begin at.
        num_runs: how many runs.
        many: whether a run spreads over all its candidates, as a mixture does: it is then given points of several
            regions, its own first; else its own point alone.
    """
    if num_runs == 1:
        return candidates[None]
    points = starting_points(key, candidates, num_climbs(num_runs))
    climbs = jax.vmap(lambda z: find_start(target, z[None]))(points)
    values = jax.vmap(target.log_density)(climbs.location)
    values = jnp.where(climbs.finite & ~jnp.isnan(values), values, -jnp.inf)
    spread = _spread(points) + _spread(climbs.location)
    places = jnp.concatenate([climbs.location, BEGINNING * points], axis=1) / jnp.tile(spread, 2)
    first = jnp.argmax(values[: len(candidates)])
    order = apart_first(places, values, first, num_runs + NUM_STARTS)
    taken = jnp.arange(num_runs)[:, None] + (jnp.arange(len(candidates)) if many else jnp.zeros(len(candidates), int))
    return (0.5 * (points + climbs.location))[order[taken]].at[0].set(jnp.roll(candidates, -first, axis=0))


def apart_first(points: Draws, values: LogWeights, first: Array, count: int) -> Array:
    """Indices of points: the first, and then always the one furthest from those taken; none whose value is -inf."""
    usable = jnp.isfinite(values)

    def take(nearest: LogWeights, _: None) -> tuple[LogWeights, Array]:
        chosen = jnp.where(usable.any(), jnp.argmax(jnp.where(usable, nearest, -1.0)), first)
        return jnp.minimum(nearest, jnp.sum((points - points[chosen]) ** 2, axis=1)), chosen

    nearest = jnp.where(jnp.arange(len(points)) == first, jnp.inf, 1e30).astype(points.dtype)
    return jax.lax.scan(take, nearest, None, length=count)[1]


def _spread(points: Draws) -> Array:
    """The typical distance of each coordinate from its median, which a few points far away do not change."""
    typical = jnp.nanmedian(jnp.abs(points - jnp.nanmedian(points, axis=0)), axis=0)
    return jnp.where(typical > 0, typical, 1.0)
