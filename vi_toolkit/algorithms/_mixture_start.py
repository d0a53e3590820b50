"""Where the components of a mixture begin: about the ends of climbs, as far from one another as these are."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vi_toolkit import _start
from vi_toolkit._start import Start
from vi_toolkit._types import Draws, Key, Scalar
from vi_toolkit.algorithms._known_points import Normal
from vi_toolkit.algorithms._mixture_state import Mixture, divergence
from vi_toolkit.algorithms._starting_points import SCALE_DRAWS, SCALES, first_scale, starting_points
from vi_toolkit.targets import Target

CLIMBS = 8  # at least, and four for each component
SAME = 1e-3  # nats


def found(key: Key, target: Target, candidates: Draws, components: int) -> tuple[Mixture, Start, Scalar]:
    """Round normals of equal weight where the climbs ended, and the gradients spent.

    Where fewer places are found than there are components, several begin about one place, a standard deviation apart.
    """
    key_points, key_scale, key_apart = jax.random.split(key, 3)
    climbs = max(CLIMBS, 4 * components)
    start = _start.find_start(target, starting_points(key_points, candidates, climbs))
    places = start.others[:components]
    keys = jax.random.split(key_scale, components)
    scales = jax.vmap(partial(first_scale, scales=SCALES, num_draws=SCALE_DRAWS), in_axes=(0, None, 0))(
        keys, target, places
    )
    spent = climbs * _start.NUM_STEPS + components * SCALE_DRAWS * len(SCALES) / 3
    identity, size = jnp.eye(target.dim, dtype=places.dtype), scales[:, None, None]
    equal = jnp.full(components, -np.log(components), places.dtype)
    mixture = Mixture(equal, Normal(places, size * identity, identity / size))
    return apart(key_apart, mixture, 0.5), start, jnp.asarray(spent, places.dtype)


def of_params(key: Key, log_weights: Array, location: Draws, factor: Array) -> Mixture:
    """The mixture that parameters stand for, with components that are the same moved apart; factors are triangular."""
    normals = Normal(location, factor, jnp.linalg.inv(factor))
    return apart(key, Mixture(jax.nn.log_softmax(log_weights), normals), SAME)


def apart(key: Key, mixture: Mixture, bound: float) -> Mixture:
    """Each component that lies within a bound of an earlier one, in nats, moved by a standard normal step of its own.

    Components that are the same get the same steps for ever: a saddle of the ELBO.
    """
    q = mixture.normals
    each = jax.vmap(jax.vmap(divergence, in_axes=(None, 0)), in_axes=(0, None))(q, q)
    double = jnp.any((each < bound) & np.tri(len(each), k=-1, dtype=bool), axis=1)
    steps = q.factor @ jax.random.normal(key, q.location.shape, q.location.dtype)[:, :, None]
    moved = jnp.where(double[:, None], q.location + steps[:, :, 0], q.location)
    return mixture._replace(normals=q._replace(location=moved))
