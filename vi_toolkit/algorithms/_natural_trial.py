"""One normal after another: where the first is, what the ELBO of each is, and which are kept."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array

from vi_toolkit._types import Draws, LogWeights, Scalar
from vi_toolkit.algorithms._known_points import Normal, Points
from vi_toolkit.algorithms._settle import REACH

ACCURACY = 0.02  # nats that the finite number of points may cost
MEAN_ACCURACY = 0.03  # standard deviations by which it may move a mean
RETREAT = 4  # steps refused in a row, after which the normal that they were compared with is doubted
PATIENCE = 40
DISTANCES = (("length", "length of the next step"), ("accuracy", "left open by the number of points"))


class Trial(NamedTuple):
    """The last normal that was kept, and what was hoped of the next."""

    anchor: Normal
    elbo: Scalar
    error: Scalar  # its standard error
    gain: Scalar  # predicted
    length: Scalar  # D(next || anchor), in nats


class NaturalState(NamedTuple):
    """Where a fit stands between two looks at the target."""

    proposal: Normal  # from which the next batch is drawn
    trial: Trial
    points: Points
    radius: Scalar  # of the trust region, in nats
    refused: Array  # steps in a row
    rested: Array  # steps at which the points agreed on a normal next to the present one
    spent: Scalar  # gradients of the start, to be counted with the first step
    outcome: Array


class Move(NamedTuple):
    """What the points say at an anchor."""

    following: Normal
    length: Scalar  # D(following || anchor), in nats
    gain: Scalar  # of the ELBO, predicted
    rests: Array  # whether the points agree on a normal next to the anchor
    accuracy: Scalar  # nats that the finite number of points may cost
    mean_accuracy: Scalar  # standard deviations by which it may move a mean


def elbo_of_pairs(value: LogWeights, noise: Draws, q: Normal) -> tuple[Scalar, Scalar]:
    """The mean of log p~ - log q over mirrored pairs, with its standard error; -inf where not all are finite."""
    dim, half = noise.shape[1], len(noise) // 2
    each = value + 0.5 * jnp.sum(noise**2, axis=1) + 0.5 * dim * jnp.log(2 * jnp.pi) + q.log_determinant
    pairs = 0.5 * (each[:half] + each[half:])
    finite = jnp.all(jnp.isfinite(each))
    return jnp.where(finite, pairs.mean(), -jnp.inf), jnp.where(finite, pairs.std() / jnp.sqrt(half), 0.0)


def judge(trial: Trial, elbo: Scalar, error: Scalar, radius: Scalar) -> tuple[Array, Scalar]:
    """Whether the new normal is kept, and the radius of the next step.

    What the ELBO gained is held against the prediction, as far as the noise of the two batches lets it be seen.
    """
    gained = elbo - trial.elbo
    noise = 1.5 * jnp.minimum(error, trial.error) + 10 * float(np.finfo(elbo.dtype).eps) * jnp.abs(elbo)
    seen = trial.gain > noise
    kept = jnp.isfinite(elbo) & (gained >= 0.1 * trial.gain - jnp.where(seen, 2.0, 6.0) * noise)
    well, badly = seen & (gained > 0.5 * trial.gain), seen & (gained < 0.25 * trial.gain)
    shorter = jnp.minimum(radius, trial.length)
    longer = jnp.where(~seen & (radius < REACH), jnp.minimum(2 * radius, REACH), radius)
    longer = jnp.where(badly, jnp.maximum(0.5 * shorter, 0.02), longer)
    longer = jnp.where(well, jnp.minimum(jnp.where(gained > 0.8 * trial.gain, 4, 2) * radius, 1e8), longer)
    first = jnp.isneginf(trial.elbo) & jnp.isfinite(elbo)
    return kept, jnp.where(first, radius, jnp.where(kept, longer, jnp.maximum(0.25 * shorter, 0.01)))


def seen_back(anchor: Normal, mean: Array, covariance: Array) -> Normal:
    """N(mean, covariance) in the anchor's coordinates, in those of the target."""
    factor = anchor.factor @ jnp.linalg.cholesky(covariance)
    inverse = solve_triangular(factor, jnp.eye(len(mean), dtype=mean.dtype), lower=True)
    return Normal(anchor.location + anchor.factor @ mean, factor, inverse)


def shrunk(q: Normal) -> Normal:
    return Normal(q.location, 0.5 * q.factor, 2 * q.inverse)


def batch_size(dim: int) -> int:
    """Draws of a normal a step: even, and more than the regression has coefficients for each score."""
    return max(16, 2 * round(1.25 * dim))


def rounding(elbo: Scalar) -> Scalar:
    """What the floats at hand leave open of log densities of that size, in nats."""
    return jnp.abs(elbo) * float(np.finfo(elbo.dtype).eps)


def words(history: dict[str, np.ndarray], which_mean: str) -> list[str]:
    """What the end of a history says against a fit: too few points, or too few digits."""
    if not len(history["elbo"]):
        return []
    said = []
    accuracy, mean, lost = (float(history[name][-1]) for name in ("accuracy", "mean_accuracy", "rounding"))
    if accuracy > 5 * ACCURACY or mean > 5 * MEAN_ACCURACY:
        said.append(
            f"The draws that were kept leave the fit uncertain by {accuracy:.2g} nats, and {which_mean} by {mean:.2g} "
            "standard deviations."
        )
    if lost > ACCURACY:
        said.append(
            f"In {history['elbo'].dtype} the log density is known to {lost:.2g} nats only. Switch on float64: "
            'jax.config.update("jax_enable_x64", True).'
        )
    return said
