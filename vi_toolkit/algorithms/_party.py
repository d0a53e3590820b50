"""Climbs side by side, until each is at its top."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from vi_toolkit._start import Climb, begin_climb, climb_on
from vi_toolkit._types import Draws, Scalar
from vi_toolkit.algorithms._each import where_each
from vi_toolkit.targets import Target


class Party(NamedTuple):
    """Where climbs stand, or ended."""

    taken: Array  # steps
    climbs: Climb
    active: Array
    reached: Array  # whether each is at its top
    spent: Scalar  # gradients


def climb_together(target: Target, starts: Draws, longest: int, near: float) -> Party:
    """Climbs from every start until a quasi-Newton step promises less than ``near`` nats, at most ``longest`` steps."""

    def goes_on(p: Party) -> Array:
        return (p.taken < longest) & jnp.any(p.active)

    def body(p: Party) -> Party:
        new = jax.vmap(lambda climb: climb_on(target, climb, p.taken))(p.climbs)
        climbs = where_each(p.active, new, p.climbs)
        at_top = p.active & (p.taken > 1) & (jax.vmap(_promise)(climbs) < near)
        active = p.active & ~at_top & ~jnp.isneginf(climbs.value)
        return Party(p.taken + 1, climbs, active, p.reached | at_top, p.spent + p.active.sum())

    no = jnp.zeros(len(starts), bool)
    begun = Party(jnp.asarray(0), jax.vmap(begin_climb)(starts), ~no, no, jnp.zeros((), starts.dtype))
    return jax.lax.while_loop(goes_on, body, begun)


def _promise(climb: Climb) -> Scalar:
    """What a quasi-Newton step would gain if the curvature were right, in nats."""
    step = climb.inverse @ climb.gradient if climb.inverse.ndim else climb.inverse * climb.gradient
    return 0.5 * climb.gradient @ step
