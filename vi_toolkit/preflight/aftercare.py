"""What is looked at when a fit has ended: signs that it stands for nothing, which its own course does not show."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np

from vi_toolkit._types import Params
from vi_toolkit.algorithms import Method
from vi_toolkit.preflight._likelihood import unbounded_likelihood
from vi_toolkit.preflight._look import look_at
from vi_toolkit.preflight._rays import improper_rays, improper_words
from vi_toolkit.programs import QUICK_TO_COMPILE
from vi_toolkit.targets import Target

NUM_DRAWS = 128
MOST_LOST = 5.0  # nats by which the ELBO may end below its best


def look_back(target: Target, method: Method, params: Params) -> list[str]:
    """What draws of a fitted guide say against it, in words.

    Whether they lie where the target has no density; whether the likelihood has run away; whether the log density falls
    far out. The last two mean that the posterior is improper, or the likelihood unbounded.
    """
    if target.num_values is not None:
        return []
    draws = np.asarray(_draws_program(method, params), float)
    values = look_at(target, draws).values
    finite = np.isfinite(values) & np.isfinite(draws).all(axis=1)
    if not finite.any():
        return ["No draw of the fit has a finite log density."]
    return [*_lost_draws(draws, finite), *without_a_posterior(target, draws, values)]


def without_a_posterior(target: Target, draws: np.ndarray, values: np.ndarray) -> list[str]:
    """Signs that there is no posterior to approximate: a likelihood that ran away, a density that does not fall.

    ``values`` of the log density at ``draws`` (draws, dim) of q.
    """
    usable = np.isfinite(values) & np.isfinite(draws).all(axis=1)
    if not usable.any():
        return []
    best = draws[int(np.argmax(np.where(usable, values, -np.inf)))]
    return [*unbounded_likelihood(target, best), *improper_words(target, improper_rays(target, draws))]


def below_its_best(history: dict[str, np.ndarray]) -> list[str]:
    """Whether a fit of the ELBO ended far below what it had reached; of other objectives nothing is said."""
    elbo = history.get("elbo", np.zeros(0))
    good = np.isfinite(elbo)
    if good.sum() < 2 or not np.array_equal(elbo[good], -history["loss"][good]):
        return []
    elbo = elbo[good]
    last = elbo[-min(50, max(1, len(elbo) // 4)) :]
    noise = float(np.median(np.abs(np.diff(last)))) if len(last) > 1 else 0.0
    lost = float(elbo.max() - last.max())
    if lost < MOST_LOST + 10 * noise:
        return []
    return [
        f"The fit ended {lost:.3g} nats below the best ELBO of its course (step {int(np.argmax(elbo)) + 1} of "
        f"{len(elbo)}): its steps are too long, or go the wrong way. Lower the learning rate, or leave it to the "
        "default."
    ]


def _lost_draws(draws: np.ndarray, finite: np.ndarray) -> list[str]:
    lost = int((~finite).sum())
    if not lost:
        return []
    return [
        f"{lost} of {len(draws)} draws of the fit lie where the target's log density is -inf or NaN: it reaches over "
        "an edge of the posterior, which it cannot represent. Map the edge away, with a bijection from R^dim."
    ]


@partial(jax.jit, compiler_options=QUICK_TO_COMPILE)
def _draws_program(method: Method, params: Params) -> Any:
    # One key for all fits: what is asked of the draws is whether they are typical, and a fit's words repeat.
    return method.posterior(params).sample(jax.random.key(0), (NUM_DRAWS,))
