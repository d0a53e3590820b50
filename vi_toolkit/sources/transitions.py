"""Markov transitions that leave p as it is: conditional importance sampling, HMC and NUTS, with the help of q."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from vi_toolkit._checks import check_positive_int
from vi_toolkit._types import Density, Draws, Key, LogWeights, Params, Scalar, Vector
from vi_toolkit.guides import Guide
from vi_toolkit.sources._whitening import Root, root_of, stretch
from vi_toolkit.sources.source import log_densities


class Moved(NamedTuple):
    """Chains after a transition, and the weighted draws of p that it made on the way.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> chains = jnp.zeros((2, 1))
        >>> vi.sources.Moved(chains, chains, jnp.full(2, 0.5), jnp.array(0.0)).accept
        Array(0., dtype=float64, ...)
    """

    chains: Draws  # one point each
    points: Draws
    weights: LogWeights  # summing to one
    accept: Scalar  # the mean probability of going somewhere else


class Transition(ABC):
    """How chains move. Every transition is a frozen dataclass of settings.

    Example:
        >>> import vi_toolkit as vi
        >>> [transition.num_chains(512) for transition in (vi.sources.ConditionalImportance(7), vi.sources.HMC())]
        [64, 512]
    """

    best_accept: ClassVar[float | None] = None  # to which the step size is tuned, where there is one

    @abstractmethod
    def num_chains(self, num_draws: int) -> int:
        """How many chains make about ``num_draws`` draws a step."""

    @abstractmethod
    def move(self, key: Key, chains: Draws, step_size: Scalar, params: Params, guide: Guide, target: Density) -> Moved:
        """All chains, each a step on. The key is independent of the chains."""

    @abstractmethod
    def gradients(self, num_draws: int) -> float:
        """Log-density gradients spent by a move."""


@dataclass(frozen=True)
class ConditionalImportance(Transition):
    """The next point of a chain is picked among S draws of q and where it stands, by their weights p~/q.

    All S + 1 points count in the expectation over p, by these weights: the mean over what might have been picked.
    It jumps between modes wherever q has both. Where q is narrower than p, chains stay for long at points where p/q is
    large.

    Args:
        num_proposals: S.

    Raises:
        TypeError, ValueError: if ``num_proposals`` is not a whole number of at least 1.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.sources.ScoreClimbing(vi.sources.ConditionalImportance(15)).gradients_per_step(512)  # 32 chains
        170.66...

    Source: Naesseth, Lindsten & Blei (2020), Markovian score climbing, arXiv:2003.10374.
    """

    num_proposals: int = 7

    def __post_init__(self) -> None:
        check_positive_int(self.num_proposals, "num_proposals")

    def num_chains(self, num_draws: int) -> int:
        """num_draws / (S + 1)."""
        return max(1, num_draws // (self.num_proposals + 1))

    def move(self, key: Key, chains: Draws, step_size: Scalar, params: Params, guide: Guide, target: Density) -> Moved:
        """Picks by the weights among S new draws and the old point."""
        count, dim = chains.shape
        key_draw, key_pick = jax.random.split(key)
        q = guide.distribution(params)
        proposed = q.sample(key_draw, (count * self.num_proposals,)).reshape(count, -1, dim)
        points = jnp.concatenate([chains[:, None], proposed], axis=1)
        flat = points.reshape(-1, dim)
        log_weights = (log_densities(target, flat) - q.log_prob(flat)).reshape(count, -1)
        weights = jax.nn.softmax(log_weights, axis=1)
        picked = jax.random.categorical(key_pick, log_weights, axis=1)
        chosen = jnp.take_along_axis(points, picked[:, None, None], axis=1)[:, 0]
        return Moved(chosen, flat, weights.reshape(-1) / count, 1 - weights[:, 0].mean())

    def gradients(self, num_draws: int) -> float:
        """A bare density, a third, for each of S + 1 points a chain."""
        return self.num_chains(num_draws) * (self.num_proposals + 1) / 3


class GradientTransition(Transition):
    """Hamiltonian moves in the coordinates e of z = m + R e, with R R^T the covariance of q.

    Example:
        >>> import vi_toolkit as vi
        >>> isinstance(vi.sources.HMC(), vi.sources.GradientTransition)
        True
    """

    best_accept: ClassVar[float | None] = 0.8

    @abstractmethod
    def one(
        self, key: Key, log_density: Callable[[Vector], Scalar], e: Vector, step_size: Scalar
    ) -> tuple[Vector, Scalar]:
        """One point moved, and the probability of acceptance."""

    def num_chains(self, num_draws: int) -> int:
        """A chain a draw."""
        return num_draws

    def move(self, key: Key, chains: Draws, step_size: Scalar, params: Params, guide: Guide, target: Density) -> Moved:
        """Every chain moved in q's coordinates."""
        key_root, key_move = jax.random.split(key)
        root = root_of(guide.distribution(params), key_root)
        moved, accept = self.move_in(key_move, target.log_density, chains, root, step_size)
        return Moved(moved, moved, jnp.full(len(moved), 1 / len(moved), moved.dtype), accept)

    def move_in(
        self, key: Key, log_density: Callable[[Vector], Any], points: Draws, root: Root, step_size: Scalar
    ) -> tuple[Draws, Scalar]:
        """Every point moved in coordinates scaled by a root, with a step size of its own about ``step_size``."""

        def one(key: Key, z: Vector) -> tuple[Vector, Scalar]:
            key_size, key_move = jax.random.split(key)
            # a fixed length of path may come round to where it began
            size = step_size * jax.random.uniform(key_size, (), z.dtype, 0.7, 1.3)
            e, accept = self.one(key_move, lambda e: log_density(z + stretch(root, e)), jnp.zeros_like(z), size)
            return z + stretch(root, e), accept

        moved, accept = jax.vmap(one)(jax.random.split(key, len(points)), points)
        return moved, accept.mean()


@dataclass(frozen=True)
class HMC(GradientTransition):
    """Hamiltonian Monte Carlo with a few leapfrog steps, in q's coordinates.

    Local: it does not jump between modes.

    Args:
        num_steps: leapfrog steps a move.

    Raises:
        TypeError, ValueError: if ``num_steps`` is not a whole number of at least 1.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.sources.HMC(3).gradients(100)  # one where it begins, and one a leapfrog step
        400.0

    Source: Neal (2011), MCMC using Hamiltonian dynamics, arXiv:1206.1901.
    """

    num_steps: int = 3

    def __post_init__(self) -> None:
        check_positive_int(self.num_steps, "num_steps")

    def one(
        self, key: Key, log_density: Callable[[Vector], Scalar], e: Vector, step_size: Scalar
    ) -> tuple[Vector, Scalar]:
        """blackjax's HMC with an identity metric."""
        from blackjax.mcmc import hmc  # it takes a while to import

        state = hmc.init(e, log_density)
        moved, info = hmc.build_kernel()(key, state, log_density, step_size, jnp.ones_like(e), self.num_steps)
        return moved.position, jnp.asarray(info.acceptance_rate, e.dtype)

    def gradients(self, num_draws: int) -> float:
        """One where a chain stands, and one a leapfrog step."""
        return float(num_draws * (self.num_steps + 1))


@dataclass(frozen=True)
class NUTS(GradientTransition):
    """The no-U-turn sampler in q's coordinates, with trajectories of less than 2^max_doublings leapfrog steps.

    All chains of a step wait for the longest trajectory, and it compiles slowly: `HMC` is the choice unless p is far
    from normal.

    Args:
        max_doublings: of the trajectory.

    Raises:
        TypeError, ValueError: if ``max_doublings`` is not a whole number of at least 1.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.sources.NUTS(3).gradients(100)  # at most
        800.0

    Source: Hoffman & Gelman (2014), The No-U-Turn sampler, arXiv:1111.4246.
    """

    max_doublings: int = 3

    def __post_init__(self) -> None:
        check_positive_int(self.max_doublings, "max_doublings")

    def one(
        self, key: Key, log_density: Callable[[Vector], Scalar], e: Vector, step_size: Scalar
    ) -> tuple[Vector, Scalar]:
        """blackjax's NUTS with an identity metric."""
        from blackjax.mcmc import hmc, nuts

        state = hmc.init(e, log_density)
        moved, info = nuts.build_kernel()(key, state, log_density, step_size, jnp.ones_like(e), self.max_doublings)
        return moved.position, jnp.asarray(info.acceptance_rate, e.dtype)

    def gradients(self, num_draws: int) -> float:
        """The most it can be: one where a chain stands, and one a leapfrog step of the longest trajectory."""
        return float(num_draws * 2**self.max_doublings)


def tuned(log_step: Scalar, accept: Scalar, best: float, steps: Scalar) -> Scalar:
    """The log step size after a move: up where more was accepted than is best, ever more gently."""
    gain = jnp.maximum((1 + steps) ** -0.6, 0.01)
    accept = jnp.where(jnp.isfinite(accept), accept, 0.0)
    return jnp.clip(log_step + gain * (accept - best), -15.0, 3.0)


def first_log_step(dim: int, like: Any) -> Scalar:
    """Where the tuning begins: of order dim^(-1/4), the rate at which HMC keeps its acceptance."""
    return jnp.asarray(-0.25, like.dtype) * jnp.log(jnp.asarray(dim, like.dtype))
