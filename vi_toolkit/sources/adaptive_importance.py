"""Adaptive multiple importance sampling: the draws of the last few proposals, weighted as one mixture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import register_static
from jaxtyping import Array

from vi_toolkit._checks import check_positive_int
from vi_toolkit._types import Density, Draws, Key, Params, Vector
from vi_toolkit.guides import Guide
from vi_toolkit.sources._temper import is_hopeless, keep_enough, words_about
from vi_toolkit.sources.source import PosteriorDraws, WeightedDraws, log_densities

STRETCH = 4.0  # half of a proposal is q with its scale times 1 + STRETCH / sqrt(dim)


class Pool(NamedTuple):
    """The draws of the last M proposals, n of each, and all that their weights need."""

    points: Array  # (M, n, dim)
    log_p: Array  # (M, n): the target, evaluated once a draw
    log_r: Array  # (M, M, n): [s, t, i] is the density of proposal s at draw i of proposal t
    params: Params  # of the proposals: leaves (M, ...)
    centres: Array  # (M, dim): about which they are stretched
    oldest: Array  # which one is replaced next


@register_static
@dataclass(frozen=True)
class AdaptiveImportance(PosteriorDraws):
    """The draws of the last M proposals r_1 ... r_M, each weighted against the mixture of all of them.

        w_i proportional to p~(z_i) / [(1/M) sum_s r_s(z_i)]

    Proposal r_s is q as it stood at step s: half of it as it is, half stretched about its mean by 1 + 4 / sqrt(dim).
    The mixture in the denominator (the balance heuristic, or deterministic-mixture weights) takes the draws as one
    sample: a draw that was unlikely under its own proposal gets no large weight where another proposal covers it. All
    weights are computed again at every step; log p~ is evaluated once a draw and kept.

    A step makes num_draws / M new draws and uses num_draws: M times fewer densities for draws that are shared by M
    steps. Where the weights keep fewer than 32 effective draws they are tempered, as in `Importance`. Biased by
    O(1 / num_draws), as the weights are normalised by their own sum, and slightly more since each proposal depends
    on the draws before it. The fit ends COLLAPSED where beta (``temper``) was below 1/2 in half of the last steps.

    Args:
        num_proposals: M.

    Raises:
        TypeError, ValueError: if ``num_proposals`` is not a whole number of at least 1.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum((z - 2.0) ** 2), dim=1)
        >>> method = vi.gradient(vi.FullRankNormal(), vi.ForwardKL(vi.sources.AdaptiveImportance()))
        >>> fit = vi.fit(jax.random.key(0), target, method)
        >>> round(float(fit.posterior.mean[0]), 2), round(float(fit.posterior.variance[0]), 2)
        (2.0, 1.0)

    Source: Cornuet, Marin, Mira & Robert (2012), Adaptive multiple importance sampling,
    doi:10.1111/j.1467-9469.2011.00756.x; Owen & Zhou (2000), doi:10.1080/01621459.2000.10473909.
    """

    tracked: ClassVar[tuple[str, ...]] = ("elbo", "ess", "temper")

    num_proposals: int = 4

    def __post_init__(self) -> None:
        check_positive_int(self.num_proposals, "num_proposals")

    def begin(self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> Pool:
        """M proposals that are all q as it stands."""
        size, count = self.num_proposals, self._new(num_draws)
        stacked = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (size, *leaf.shape)), params)
        points, centres = jax.vmap(lambda key: _propose(key, guide, params, count))(jax.random.split(key, size))
        log_p = log_densities(target, points.reshape(size * count, -1)).reshape(size, count)
        log_r = jax.vmap(lambda s, centre: log_proposal(guide, s, centre, points))(stacked, centres)
        return Pool(points, log_p, log_r, stacked, centres, jnp.zeros((), int))

    def draw(
        self, key: Key, memory: Pool, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[WeightedDraws, Pool]:
        """All draws of the pool, of which the oldest num_draws / M are drawn afresh."""
        new, centre = _propose(key, guide, params, self._new(num_draws))
        at = memory.oldest
        points, centres = memory.points.at[at].set(new), memory.centres.at[at].set(centre)
        stacked = jax.tree.map(lambda leaves, leaf: leaves.at[at].set(leaf), memory.params, params)
        by_all = jax.vmap(lambda s, centre: log_proposal(guide, s, centre, new))(stacked, centres)
        log_r = memory.log_r.at[:, at].set(by_all).at[at].set(log_proposal(guide, params, centre, points))
        pool = Pool(
            points, memory.log_p.at[at].set(log_densities(target, new)), log_r, stacked, centres,
            (at + 1) % self.num_proposals,
        )  # fmt: skip
        return _weighted(pool, guide.distribution(params)), pool

    def fresh(self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> WeightedDraws:
        """The pool of M proposals that are all q as it stands."""
        return _weighted(self.begin(key, params, guide, target, num_draws), guide.distribution(params))

    def _new(self, num_draws: int) -> int:
        return 2 * max(1, num_draws // (2 * self.num_proposals))  # one half of each part of a proposal

    def gradients_per_step(self, num_draws: int) -> float:
        """One bare density, a third, a new draw."""
        return self._new(num_draws) / 3

    def gradients_to_begin(self, num_draws: int) -> float:
        """One bare density, a third, a draw of the pool."""
        return self.num_proposals * self._new(num_draws) / 3

    def collapsed(self, history: dict[str, Any]) -> bool:
        """Whether the target was flattened to a power below 1/2 in half of the steps or more."""
        return is_hopeless(history)

    def warnings(self, history: dict[str, Any]) -> list[str]:
        """Says so when the weights had collapsed, so that a flattened target was fitted."""
        return words_about(history)


def log_proposal(guide: Guide, params: Params, centre: Vector, points: Array) -> Array:
    """log r at points (..., dim): half q, half q stretched about the centre."""
    q, dim = guide.distribution(params), points.shape[-1]
    scale = 1 + STRETCH / dim**0.5
    flat = points.reshape(-1, dim)
    stretched = q.log_prob(centre + (flat - centre) / scale) - dim * jnp.log(scale)
    return (jnp.logaddexp(q.log_prob(flat), stretched) - jnp.log(2.0)).reshape(points.shape[:-1])


def _propose(key: Key, guide: Guide, params: Params, count: int) -> tuple[Draws, Vector]:
    """Draws of r, one half of each part, and the centre: a mean of other draws, so that r is what it says."""
    key_draw, key_centre = jax.random.split(key)
    points = guide.distribution(params).sample(key_draw, (count,))
    others = guide.draw(key_centre, params, max(count, 64))
    centre = others.weights @ others.points
    scale = jnp.where(jnp.arange(count) % 2 == 0, 1.0, 1 + STRETCH / points.shape[-1] ** 0.5)
    return centre + scale[:, None].astype(points.dtype) * (points - centre), centre


def _weighted(pool: Pool, q: Any) -> WeightedDraws:
    points = pool.points.reshape(-1, pool.points.shape[-1])
    log_mixture = jax.nn.logsumexp(pool.log_r, axis=0).reshape(-1) - jnp.log(len(pool.log_r))
    log_p, log_q = pool.log_p.reshape(-1), q.log_prob(points)
    log_weights, v = log_p - log_mixture, jax.nn.softmax(log_q - log_mixture)
    raw = WeightedDraws(points, jax.nn.softmax(log_weights), v, {})
    beta = keep_enough(log_weights)
    elbo = jnp.where(v > 0, v * (log_p - log_q), 0.0).sum()
    facts = {"elbo": elbo, "ess": raw.ess, "temper": beta}
    return raw._replace(weights=jax.nn.softmax(beta * log_weights), facts=facts)
