"""Tempered particles from a wider q to p: p~^beta r^(1 - beta), with beta from 0 to 1 as the particles allow."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array

from vi_toolkit._types import Draws, Key, Scalar, Vector
from vi_toolkit.algorithms import Method
from vi_toolkit.sources._temper import temper
from vi_toolkit.sources._whitening import root_of_points
from vi_toolkit.sources.transitions import HMC, first_log_step, tuned
from vi_toolkit.targets import Target

KEPT = 0.8  # share of the particles that a stage keeps in effect
HALVINGS = 45
MOST_STAGES = 200
MOVES = 5  # a stage
LAST_MOVES = 20  # more of them at beta = 1
TRANSITION = HMC(num_steps=5)
LOOKED_AT = 2000  # draws of q, by which its centre and covariance are known
STRETCH, FREEDOM = (
    3.0,
    4.0,
)  # of r, a Student-t about q: particles that began at q itself would not reach where q is not


class Walk(NamedTuple):
    """Particles on their way."""

    points: Draws
    lineages: Array  # (particles,): the particle of the beginning that each comes from
    beta: Scalar
    log_evidence: Scalar  # of the tempered density, log Z where beta = 1
    stages: Array
    log_step: Scalar


def num_gradients(num_particles: int, stages: int) -> float:
    """Log-density gradients spent: the moves, and a bare density, a third, at each particle of a stage."""
    moves = MOVES * stages + LAST_MOVES
    return moves * TRANSITION.gradients(num_particles) + num_particles * (stages + 1) / 3


@partial(jax.jit, static_argnames="num_particles")
def run_particles(key: Key, method: Method, target: Target, params: Any, num_particles: int) -> Walk:
    """The whole way, in stages: as far as half of the particles stay in effect, resampled, and moved by HMC."""
    key_draw, key_begin, key_stages, key_last = jax.random.split(key, 4)
    drawn = method.posterior(params).sample(key_draw, (LOOKED_AT,))
    root = STRETCH * jnp.atleast_2d(root_of_points(drawn))
    r = dist.MultivariateStudentT(FREEDOM, drawn.mean(0), root, validate_args=False)
    points = r.sample(key_begin, (num_particles,))
    zero = jnp.zeros((), points.dtype)
    lineages, none = jnp.arange(num_particles), jnp.asarray(0)
    walk = Walk(points, lineages, zero, zero, none, first_log_step(points.shape[1], points))

    def logs(points: Draws) -> tuple[Array, Array]:
        log_p = jax.vmap(target.log_density)(points)
        return jnp.where(jnp.isnan(log_p), -jnp.inf, log_p), r.log_prob(points)

    def at(beta: Scalar, z: Vector) -> Scalar:
        log_p, log_r = (part[0] for part in logs(z[None]))
        return jnp.where(beta < 1, (1 - beta) * log_r + beta * log_p, log_p)

    def stage(walk: Walk) -> Walk:
        key_pick, key_move = jax.random.split(jax.random.fold_in(key_stages, walk.stages))
        return _moved(key_move, _raised(key_pick, walk, *logs(walk.points)), at, MOVES)

    walk = jax.lax.while_loop(lambda walk: (walk.beta < 1) & (walk.stages < MOST_STAGES), stage, walk)
    return _moved(key_last, walk, at, LAST_MOVES)


def _raised(key: Key, walk: Walk, log_p: Array, log_r: Array) -> Walk:
    """beta as far on as KEPT of the particles stay in effect, and the particles resampled for it."""
    from blackjax.smc.resampling import systematic  # it takes a while to import

    log_ratio = log_p - log_r
    usable = (log_ratio > -jnp.inf).sum()
    change = jnp.minimum(temper(log_ratio, KEPT * usable, HALVINGS), 1 - walk.beta)
    log_weights = change * log_ratio
    kept = systematic(key, jax.nn.softmax(log_weights), len(log_weights))
    gained = jax.nn.logsumexp(log_weights) - jnp.log(len(log_weights))
    beta = jnp.where(change >= 1 - walk.beta, 1.0, walk.beta + change)  # no rounding may keep it from the end
    return walk._replace(
        points=walk.points[kept], lineages=walk.lineages[kept], beta=beta, log_evidence=walk.log_evidence + gained,
        stages=walk.stages + 1,
    )  # fmt: skip


def _moved(key: Key, walk: Walk, at: Any, moves: int) -> Walk:
    """Every particle moved a few times, in coordinates of the particles' own covariance."""
    root = root_of_points(walk.points)

    def move(number: Array, carry: tuple[Draws, Scalar]) -> tuple[Draws, Scalar]:
        points, log_step = carry
        points, accept = TRANSITION.move_in(
            jax.random.fold_in(key, number), partial(at, walk.beta), points, root, jnp.exp(log_step)
        )
        return points, tuned(log_step, accept, 0.8, (number + moves * walk.stages).astype(points.dtype))

    points, log_step = jax.lax.fori_loop(0, moves, move, (walk.points, walk.log_step))
    return walk._replace(points=points, log_step=log_step)
