"""One annealed run from a guide towards p^2 / q: what it gives, what it teaches the next, and what it tells."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._types import Density, Key, LogWeights, Params, Scalar, Vector
from vi_toolkit.guides import Guide
from vi_toolkit.guides.guide import GuideDraws
from vi_toolkit.objectives._ais import Annealed, Temperatures, anneal, look

FIRST_STEP = 0.5  # of the leapfrogs, in standard deviations of q, times dim^(-1/4)
GAIN = 0.7  # how far the log step size follows the acceptance from run to run
FACTS = ("loss", "elbo", "ess", "ess_annealed", "acceptance")


class Sampler(NamedTuple):
    """What the runs before have taught."""

    log_steps: Temperatures
    scale: Vector  # standard deviations of the draws of q in the run before


def first_sampler(drawn: GuideDraws, num_temperatures: int) -> Sampler:
    """What is known before the first run, from draws that are not those of the run."""
    scale = _scale(drawn)
    step = FIRST_STEP * len(scale) ** -0.25
    return Sampler(jnp.full(num_temperatures, np.log(step), scale.dtype), scale)


def run(
    key: Key,
    params: Params,
    guide: Guide,
    target: Density,
    num_draws: int,
    sampler: Sampler,
    num_leapfrogs: int,
    acceptance: float,
) -> tuple[Annealed, Sampler, dict[str, Scalar]]:
    """Draws of q annealed towards p^2 / q, with the sampler for the next run and the `FACTS`.

    Steps and scale are those of the runs before, so that the transitions do not depend on the draws that they move.
    """
    key_draw, key_anneal = jax.random.split(key)
    drawn = guide.draw(key_draw, params, num_draws)
    log_q, log_p = guide.distribution(params).log_prob, jax.vmap(target.log_density)
    start = look(log_q, log_p, drawn.points)
    annealed = anneal(key_anneal, log_q, log_p, start, jnp.exp(sampler.log_steps), sampler.scale, num_leapfrogs)
    log_shares = jnp.log(drawn.weights)
    # draws that come by strata count more or less than others
    log_weights = annealed.log_weights + log_shares + np.log(len(drawn.weights))
    ratio = start.log_p - start.log_q
    facts = {
        "loss": 0.5 * (jax.nn.logsumexp(log_weights) - np.log(len(drawn.weights))),
        "elbo": drawn.weights @ ratio,
        "ess": _share(ratio + log_shares),
        "ess_annealed": _share(log_weights),
        "acceptance": annealed.acceptance.mean(),
    }
    followed = sampler.log_steps + GAIN * (annealed.acceptance - acceptance)
    return annealed._replace(log_weights=log_weights), Sampler(followed, _scale(drawn)), facts


def _share(log_weights: LogWeights) -> Scalar:
    """The effective number of draws, as a share of all."""
    return 1 / jnp.sum(jax.nn.softmax(log_weights) ** 2) / len(log_weights)


def _scale(drawn: GuideDraws) -> Vector:
    """Standard deviations of draws, above zero."""
    centred = drawn.points - drawn.weights @ drawn.points
    return jnp.sqrt(drawn.weights @ centred**2) + np.finfo(drawn.points.dtype).tiny
