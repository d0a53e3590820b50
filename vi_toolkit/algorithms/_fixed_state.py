"""Where a fit with fixed draws stands: what its next step is for, and which draws it looks at."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from vi_toolkit._types import Key, Params, Scalar
from vi_toolkit.algorithms._conjugate_gradients import Solution
from vi_toolkit.algorithms._sampled_elbo import needed_blocks
from vi_toolkit.algorithms.algorithm import Outcome

GROUPS = 8  # of draws, independent of one another, whose gradients give the draw-induced error
LOOK, OPTIMISE, MEASURE = 0, 1, 2  # what a step is for; MEASURE + k looks at the k-th group of draws


class FixedState(NamedTuple):
    """Parameters, the gradient in hand, and what is known of the error."""

    params: Params
    key: Array  # of the draws, as raw data
    blocks: Array  # of draws in use
    bends: Array  # blocks that the Hessian is of
    idle: Array  # steps in a row that hoped for next to nothing and still were not the last
    task: Array
    loss: Scalar
    gradient: Array  # flat, in the guide's own coordinates: of all draws, of a group of them, or zero
    radius: Scalar
    shifts: Array  # (GROUPS, 2 dim): by how much each group of draws would move means and log sds
    spread: Array  # (2 dim,): variances of means and log sds that the solutions have come across
    error: Scalar  # the largest draw-induced error, in posterior standard deviations; infinite until measured
    spent: Scalar
    outcome: Array

    @property
    def draws_key(self) -> Key:
        """The key of the draws."""
        return jax.random.wrap_key_data(jnp.asarray(self.key), impl="threefry2x32")


def first_blocks(params: Params) -> int:
    """The number of blocks to begin with, a power of two."""
    return 1 << (needed_blocks(params) - 1).bit_length()


def draws_to_look_at(state: FixedState) -> tuple[Array, Array]:
    """The first block and the last but one: of one group where it is measured, else all; none after the end."""
    group, size = state.task - MEASURE, state.blocks // GROUPS
    one = (group >= 0) & (group < GROUPS)
    first, last = jnp.where(one, group * size, 0), jnp.where(one, (group + 1) * size, state.blocks)
    return first, jnp.where(state.outcome == Outcome.GOES_ON.value, last, first)


def units(spread: Array, scales: Array) -> Array:
    """What errors are measured in: the sds of the posterior for means, 1 for log sds.

    A guide may be narrower than the posterior: the variance that the solutions came across counts where it is larger.
    """
    sds = jnp.sqrt(jnp.maximum(spread[: len(scales)], scales**2))
    return jnp.concatenate([sds, jnp.ones_like(sds)])


def next_radius(radius: Scalar, found: Solution, ratio: Scalar) -> Scalar:
    """Shorter where the quadratic foretold the gain badly, longer where it did well at the edge."""
    length = jnp.linalg.norm(found.x)
    grown = jnp.where((ratio > 0.75) & ~found.inside, 2 * radius, radius)
    return jnp.where(ratio < 0.25, 0.25 * jnp.minimum(length, radius), grown)
