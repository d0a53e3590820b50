"""What a source is: weighted draws of the target, made with the help of q, and what it remembers from step to step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from vi_toolkit._types import Density, Draws, Key, LogWeights, Params, Scalar
from vi_toolkit.guides import Guide

Memory = Any  # a pytree of arrays


class WeightedDraws(NamedTuple):
    """Draws of p: an expectation of f over p is sum_i weights_i f(points_i).

    Where the same points, with other weights, are draws of q, these are ``control``: the score of q has mean zero
    under q, so that sum_i control_i score_i may be taken off a gradient.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> points, weights = jnp.array([[0.0], [2.0]]), jnp.array([0.25, 0.75])
        >>> vi.sources.WeightedDraws(points, weights, None, {}).ess.round(4)
        Array(0.8, dtype=float64)
    """

    points: Draws
    weights: LogWeights  # non-negative, summing to one; not their logs
    control: LogWeights | None  # the same for q
    facts: dict[str, Scalar]  # for the history

    @property
    def ess(self) -> Scalar:
        """1 / sum_i w_i^2, the effective number of draws, as a share of all of them."""
        return 1 / (self.weights**2).sum() / len(self.weights)


class PosteriorDraws(ABC):
    """Where forward KL takes its draws of p from.

    Every source is a frozen dataclass of settings, registered as static with JAX. One of your own gives `draw` and
    `gradients_per_step`; `begin` where it carries something from step to step.

    Example:
        >>> from dataclasses import dataclass
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> @jax.tree_util.register_static
        ... @dataclass(frozen=True)
        ... class Exponential(vi.sources.PosteriorDraws):  # draws of p that need no target
        ...     def draw(self, key, memory, params, guide, target, num_draws):
        ...         points = jnp.log(jax.random.exponential(key, (num_draws, 1)))
        ...         weights = jnp.full(num_draws, 1 / num_draws)
        ...         return vi.sources.WeightedDraws(points, weights, None, {"ess": jnp.ones(())}), memory
        ...     def gradients_per_step(self, num_draws):
        ...         return 0.0
        >>> target = vi.from_log_density(lambda z: jnp.sum(z - jnp.exp(z)), dim=1)
        >>> fit = vi.fit(jax.random.key(0), target, vi.gradient(vi.MeanFieldNormal(), vi.ForwardKL(Exponential())))
        >>> abs(fit.posterior.mean[0] + 0.5772) < 0.02  # minus Euler's constant
        Array(True, dtype=bool)
    """

    tracked: ClassVar[tuple[str, ...]] = ("ess",)  # the names of the facts

    def begin(self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> Memory:
        """What is carried from step to step, before the first: a pytree of arrays; nothing by default."""
        return ()

    @abstractmethod
    def draw(
        self, key: Key, memory: Memory, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[WeightedDraws, Memory]:
        """About ``num_draws`` weighted draws of p, and the memory after them. No gradient flows through them."""

    def fresh(self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> WeightedDraws:
        """Draws without a memory: as at the first step of a fit that begins here."""
        key_begin, key_draw = jax.random.split(key)
        memory = self.begin(key_begin, params, guide, target, num_draws)
        return self.draw(key_draw, memory, params, guide, target, num_draws)[0]

    @abstractmethod
    def gradients_per_step(self, num_draws: int) -> float:
        """Log-density gradients spent by `draw`: a gradient at one draw is one, a bare density a third."""

    def gradients_to_begin(self, num_draws: int) -> float:
        """Log-density gradients spent by `begin`."""
        return 0.0

    def collapsed(self, history: dict[str, Any]) -> bool:
        """Whether the last part of a history shows draws that are none of p."""
        return False

    def warnings(self, history: dict[str, Any]) -> list[str]:
        """What the last part of a history says against the draws, in words."""
        return []

    def check(self, guide: Guide, dim: int) -> None:
        """Raises ValueError where this source does not go with the guide or the dimension: here, a discrete one."""
        if not guide.reparameterised:
            raise ValueError(
                f"draws: {type(self).__name__} does not go with {guide}, whose draws are not points of R^dim. "
                "Use vi.sources.WakeSleep(), which weighs draws of the guide itself."
            )


def log_densities(target: Density, points: Draws) -> LogWeights:
    """log p~ at every point; -inf where it is not a number, as far out, where the model may not follow."""
    log_p = jax.vmap(target.log_density)(points)
    return jnp.where(jnp.isnan(log_p), -jnp.inf, log_p)
