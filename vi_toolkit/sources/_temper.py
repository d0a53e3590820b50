"""How far log weights are flattened so that enough draws count."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._types import LogWeights, Scalar

MIN_ESS = 32.0  # effective number of draws under which the weights are tempered
HOPELESS = 0.5  # a target flattened to less than this power is another target


def temper(log_weights: LogWeights, wanted: Scalar | float, halvings: int = 20) -> Scalar:
    """The largest beta in (0, 1] at which the weights w^beta keep ``wanted`` effective draws, by bisection."""

    def ess(beta: Scalar) -> Scalar:
        return 1 / (jax.nn.softmax(beta * log_weights) ** 2).sum()

    def halve(_: Any, bounds: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = bounds
        middle = (low + high) / 2
        enough = ess(middle) >= wanted
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    one = jnp.ones((), log_weights.dtype)
    low, _ = jax.lax.fori_loop(0, halvings, halve, (0 * one, one))
    return jnp.where(ess(one) >= wanted, one, low)


def keep_enough(log_weights: LogWeights) -> Scalar:
    """The beta that keeps MIN_ESS effective draws, or half of them where there are few."""
    return temper(log_weights, min(MIN_ESS, 0.5 * len(log_weights)))


def is_hopeless(history: dict[str, Any]) -> bool:
    """Whether half of the steps or more fitted a target flattened to a power below HOPELESS."""
    return len(history["temper"]) > 0 and float(np.median(history["temper"])) < HOPELESS


def words_about(history: dict[str, Any]) -> list[str]:
    """Says so when the weights had collapsed, so that a flattened target was fitted."""
    share = float(np.mean(history["temper"] < 1)) if len(history["temper"]) else 0.0
    if share < 0.05:
        return []
    return [
        f"forward KL: the importance weights had an effective size of {100 * float(np.median(history['ess'])):.2g} % "
        f"of the draws (median), and in {100 * share:.0f} % of the last steps the target was flattened to keep "
        f"{MIN_ESS:.0f} effective draws: the fit is too wide or off. Raise num_draws, take a richer guide, or pass "
        "draws of p by ForwardKL(draws)."
    ]
