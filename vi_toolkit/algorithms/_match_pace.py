"""How much a batch counts against those before it, and how far q still is from where the batches want it."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vi_toolkit._types import Draws, Scalar, Vector

MEMORY = 3.0  # weights 3 / (3 + t): past batches count as t^2, so that the way to the fixed point is forgotten
CLEAR = 4.0  # a drift is no noise where it is that many times what the noise alone would make it
ALL = 1e6  # odds at which a batch counts as all there is
BACK, ON = 8.0, 4.0  # the odds are divided after a match that was refused, and multiplied after one that was taken


class Batch(NamedTuple):
    """Draws z = m + A x of one q, and what is known there."""

    whitened: Draws  # x, standard normal
    scores: Draws  # h = A' grad log p~(z): the target's in the coordinates x; -x where q is the target
    elbo: Scalar  # nats
    error: Scalar  # its standard error


class Pace(NamedTuple):
    """The weight of the next match, and the averages that it comes from."""

    weight: Scalar  # of a batch, in (0, 1]: 1 where it counts as all there is
    age: Scalar  # t in the weight 3 / (3 + t)
    odds: Scalar  # an upper bound on weight / (1 - weight): low after refusals
    path: Vector  # the average drift of the batches, with the weights that they have in q
    noise: Scalar  # nats: the average noise of one batch's drift
    share: Scalar  # of that noise in the average drift
    fresh: Array  # whether the averages begin anew with the next batch
    excess: Scalar  # nats: the noise that is left in the averages, or the drift where it is more
    refused: Scalar  # matches refused in a row


def first_pace(dim: int, most: float, like: Scalar) -> Pace:
    """Before the first batch: it counts as all there is, unless its draws are too few for that."""
    one, zero = jnp.ones_like(like), jnp.zeros_like(like)
    path = jnp.zeros(2 * dim, like.dtype)
    return Pace(one * most, -one, one * jnp.inf, path, zero, one, jnp.asarray(True), one * jnp.inf, zero)


def keep_pace(pace: Pace, looked: Batch, taken: Array, most: float) -> Pace:
    """The pace after a look at the proposed q.

    A batch's drift d says, to first order, where q should go. Averaged over batches with the weights w that they have
    in q it is D = (1 - w) D + w d, of noise s n: n is one batch's, and s = (1 - w)^2 s + w^2. While |D|^2 / 2 > 4 s n,
    q is on its way, the batches count more and the averages begin anew; else each counts less than the one before.
    """
    drift, noise = drift_of(looked)
    new = jnp.where(pace.fresh, 1.0, pace.weight)
    path = (1 - new) * pace.path + new * drift
    noise = (1 - new) * pace.noise + new * noise
    share = (1 - new) ** 2 * pace.share + new**2
    way, left = 0.5 * jnp.sum(path**2), share * noise
    far = way > CLEAR * left
    # The first batch has no match behind it that it could speak for or against.
    age = jnp.where(pace.age < 0, 0.0, jnp.where(far, 0.5 * pace.age, pace.age + 1))
    went_on = Pace(pace.weight, age, ON * pace.odds, path, noise, share, far, jnp.maximum(way, left), 0 * noise)
    # The first refusal says that p is no Gaussian as seen from here: even odds, since from all on the way is long.
    back = pace.weight / jnp.maximum(1 - pace.weight, 1 / ALL) / BACK
    odds = jnp.where(jnp.isinf(pace.odds), jnp.minimum(back, 1.0), back)
    held = pace._replace(odds=odds, excess=jnp.full_like(odds, jnp.inf), refused=pace.refused + 1)
    pace = Pace(*(jnp.where(taken, a, b) for a, b in zip(went_on, held, strict=True)))
    trusted = jnp.where(pace.odds >= ALL, 1.0, pace.odds / (1 + jnp.minimum(pace.odds, ALL)))
    by_age = MEMORY / (MEMORY + jnp.maximum(pace.age, 0.0))
    return pace._replace(weight=jnp.minimum(jnp.minimum(by_age, trusted), most))


def drift_of(batch: Batch) -> tuple[Vector, Scalar]:
    """Where a batch says that q should go, to first order, and the nats that its noise alone moves q.

    In the coordinates x the mean goes by the mean of x + h, and the variances by that of x^2 - h^2: at the fixed point
    E h = 0 and E h h' = I. A move by (dm, dv) is |dm|^2 / 2 + |dv|^2 / 4 nats.
    """
    x, h = batch.whitened, batch.scores
    drifts = jnp.concatenate([x + h, (x**2 - h**2) / np.sqrt(2)], axis=-1)
    return drifts.mean(0), 0.5 * jnp.sum(drifts.var(0)) / len(x)


def mismatch(batch: Batch) -> Scalar:
    """E_q |A' (grad log q - grad log p)|^2 / dim = E |x + h|^2 / dim: 0 where q is the target, 1 where p is flat."""
    return jnp.mean((batch.whitened + batch.scores) ** 2)
