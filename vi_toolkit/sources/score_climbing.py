"""Markovian score climbing: chains that are kept from step to step and leave p as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_static
from jaxtyping import Array

from vi_toolkit._checks import check_instance
from vi_toolkit._types import Density, Draws, Key, Params, Scalar
from vi_toolkit.guides import Guide
from vi_toolkit.sources.source import PosteriorDraws, WeightedDraws
from vi_toolkit.sources.transitions import ConditionalImportance, Transition, first_log_step, tuned

STUCK = 0.01  # ess below which chains do not move
DEFAULT = ConditionalImportance(num_proposals=7)
FRESH_MOVES = 20  # from draws of q, where there is no memory


class Chains(NamedTuple):
    """The points where the chains stand, and the step size of their moves."""

    points: Draws
    log_step: Scalar
    steps: Scalar


@register_static
@dataclass(frozen=True)
class ScoreClimbing(PosteriorDraws):
    """Draws of p from Markov chains that go on from step to step, one move each a step.

        z_c <- a draw of K_q(z_c, .),    p K_q = p    for every q

    Whatever q is, the transition K_q leaves p as it is; q only helps it to move. So the gradient -sum_i w_i score_i
    has no bias of self-normalisation, and the fit goes to the exact minimiser once the chains have forgotten where
    they began: at draws of q as it first was. What is biased: the first steps; and with HMC or NUTS, slightly, the
    tuning of the step size by the chains' own acceptance, which fades.

    ``ess`` in the history is (1 - a) / (1 + a), a being the correlation of the chains' points before and after a move,
    in the coordinate, or square of a coordinate, where it is largest: the effective share of the draws by what a move
    keeps of the one before.
    ``accept`` is the mean probability of moving. Chains that hardly move, or that stay each in its mode, have an ess
    near 0: the fit ends COLLAPSED where its median over the last window is below 0.01.

    Args:
        transition: `ConditionalImportance`, `HMC` or `NUTS`. There are as many chains as make num_draws draws.

    Raises:
        TypeError: if ``transition`` is none.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum((z - 2.0) ** 2), dim=1)
        >>> method = vi.gradient(vi.FullRankNormal(), vi.ForwardKL(vi.sources.ScoreClimbing()))
        >>> fit = vi.fit(jax.random.key(0), target, method)
        >>> round(float(fit.posterior.mean[0]), 1), round(float(fit.posterior.variance[0]), 1)
        (2.0, 1.0)

    Source: Naesseth, Lindsten & Blei (2020), Markovian score climbing, arXiv:2003.10374; Kim, Oh, Gardner, Dieng &
    Kim (2022), Markov chain score ascent, arXiv:2206.06295 (parallel chains).
    """

    tracked: ClassVar[tuple[str, ...]] = ("ess", "accept")

    transition: Transition = DEFAULT

    def __post_init__(self) -> None:
        check_instance(self.transition, Transition, "transition", "Use for example vi.sources.HMC().")

    def begin(self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> Chains:
        """Draws of q."""
        points = guide.distribution(params).sample(key, (self.transition.num_chains(num_draws),))
        return Chains(points, first_log_step(points.shape[1], points), jnp.zeros((), points.dtype))

    def draw(
        self, key: Key, memory: Chains, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[WeightedDraws, Chains]:
        """One move of every chain."""
        moved = self.transition.move(key, memory.points, jnp.exp(memory.log_step), params, guide, target)
        best, log_step = self.transition.best_accept, memory.log_step
        if best is not None:
            log_step = tuned(log_step, moved.accept, best, memory.steps)
        facts = {"ess": _independence(memory.points, moved.chains, moved.accept), "accept": moved.accept}
        draws = WeightedDraws(moved.points, moved.weights, None, facts)
        return draws, Chains(moved.chains, log_step, memory.steps + 1)

    def fresh(self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> WeightedDraws:
        """After twenty moves from draws of q: biased towards q."""
        key_begin, key_last, key_moves = jax.random.split(key, 3)

        def move(memory: Chains, key: Key) -> tuple[Chains, None]:
            return self.draw(key, memory, params, guide, target, num_draws)[1], None

        begun = self.begin(key_begin, params, guide, target, num_draws)
        memory, _ = jax.lax.scan(move, begun, jax.random.split(key_moves, FRESH_MOVES - 1))
        return self.draw(key_last, memory, params, guide, target, num_draws)[0]

    def gradients_per_step(self, num_draws: int) -> float:
        """What the transition spends."""
        return self.transition.gradients(num_draws)

    def collapsed(self, history: dict[str, Any]) -> bool:
        """Whether the chains stood still, or each in its mode."""
        return len(history["ess"]) > 0 and float(np.median(history["ess"])) < STUCK

    def warnings(self, history: dict[str, Any]) -> list[str]:
        """Says so when the chains moved slowly."""
        if not len(history["ess"]) or np.median(history["ess"]) >= 5 * STUCK:
            return []
        return [
            f"forward KL: the chains keep where they were: an effective share of {np.median(history['ess']):.2g} a "
            f"move, {100 * np.median(history['accept']):.2g} % accepted (medians of the last steps). They may be stuck "
            "each in a mode, or where q has nothing: use vi.sources.TemperedSMC(), or a richer guide."
        ]


def _independence(before: Draws, after: Draws, accept: Scalar) -> Scalar:
    """(1 - a) / (1 + a) at the largest correlation a; for one chain, whether it moves."""
    if len(before) == 1:
        return accept
    a, b = _features(before), _features(after)
    size = jnp.sqrt((a**2).sum(0) * (b**2).sum(0))
    correlation = jnp.where(size > 0, (a * b).sum(0) / jnp.where(size > 0, size, 1.0), 1.0).max()
    return jnp.clip((1 - correlation) / (1 + jnp.maximum(correlation, 0.0)), 0.0, 1.0)


def _features(points: Draws) -> Array:
    """The coordinates and their squares, all centred."""
    centred = points - points.mean(0)
    squares = centred**2
    return jnp.concatenate([centred, squares - squares.mean(0)], axis=1)
