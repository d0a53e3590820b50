"""One quasi-Newton climb, which keeps the best normal on its way."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vi_toolkit._types import Draws, Scalar, Vector
from vi_toolkit.algorithms._path_normal import (
    PathNormal,
    elbo,
    next_diagonal,
    path_normal,
)
from vi_toolkit.targets import Target

PATIENCE = 30  # steps without a higher ELBO, after which a path ends
LEAST_GAIN = 1e-10  # nats: far below what matters, since a diagonal that is too small promises too little
SHORTEST = 1e-6  # share of a quasi-Newton step


class Path(NamedTuple):
    """A climb, and the best normal on it; a leading axis for several."""

    z: Vector
    value: Scalar  # log p~(z)
    gradient: Vector
    direction: Vector  # the quasi-Newton step from z
    length: Scalar  # of the step to be tried, as a share of it
    diagonal: Vector  # of the inverse curvature
    moves: Draws  # (memory, dim)
    turns: Draws  # (memory, dim)
    best: PathNormal
    elbo: Scalar  # of the best
    surely: Scalar  # the same less its standard error, by which normals are compared: a high one may be noise
    since: Scalar  # steps since the best was found
    goes_on: Array


def advance(target: Target, path: Path, noise: Draws) -> Path:
    """One trial step; a path that has ended stays as it is."""
    new = path.z + path.length * path.direction
    value, gradient = jax.value_and_grad(target.log_density)(new)
    rises = (value > path.value) & jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient))
    move, turn = new - path.z, path.gradient - gradient
    product = move @ turn
    bent = rises & (product > 1e-6 * jnp.linalg.norm(move) * jnp.linalg.norm(turn))
    size = jnp.sqrt(jnp.where(bent, product, 1.0))
    move, turn = move / size, turn / size  # a pair says the same at any length; this one makes move . turn = 1
    moves, turns, diagonal = jax.tree.map(
        partial(jnp.where, bent),
        (_push(path.moves, move), _push(path.turns, turn), next_diagonal(path.diagonal, move, turn)),
        (path.moves, path.turns, path.diagonal),
    )
    here = path_normal(new, gradient, diagonal, moves, turns)
    points = here.location + here.factor.times(noise)
    bound, error = elbo(here, jax.vmap(target.log_density)(points), noise)
    better = rises & (bound - error > path.surely)
    direction = here.location - new
    usable = jnp.all(jnp.isfinite(direction)) & (direction @ gradient > 0)
    taken = Path(
        z=new,
        value=value,
        gradient=gradient,
        direction=jnp.where(usable, direction, diagonal * gradient),
        length=jnp.ones_like(path.length),
        diagonal=diagonal,
        moves=moves,
        turns=turns,
        best=jax.tree.map(partial(jnp.where, better), here, path.best),
        elbo=jnp.where(better, bound, path.elbo),
        surely=jnp.where(better, bound - error, path.surely),
        since=jnp.where(better, 0, path.since + 1),
        goes_on=path.goes_on,
    )
    refused = path._replace(length=0.2 * path.length, since=path.since + 1)
    tried = jax.tree.map(partial(jnp.where, rises), taken, refused)
    hoped = 0.5 * jnp.abs(tried.direction @ tried.gradient)
    rounding = 10 * np.finfo(value.dtype).eps * jnp.abs(tried.value)
    ended = (tried.since >= PATIENCE) | (tried.length < SHORTEST) | (rises & (hoped < LEAST_GAIN + rounding))
    tried = tried._replace(goes_on=tried.goes_on & ~ended)
    return jax.tree.map(partial(jnp.where, path.goes_on), tried, path)


def _push(rows: Draws, row: Vector) -> Draws:
    """The rows without the first, and a new one at the end."""
    return jnp.concatenate([rows[1:], row[None]])
