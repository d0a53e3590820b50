"""Gradients by the score of q, which ask nothing of the draws: for discrete guides, and for any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from vi_toolkit._types import Density, Key, LogWeights, Params, Scalar
from vi_toolkit.estimators.estimator import (
    Estimate,
    Estimator,
    LogWeightLoss,
    Shape,
    draw_groups,
    log_densities,
)
from vi_toolkit.guides import Guide
from vi_toolkit.guides.noise import Noise, independent

LANES = 4  # independent draws that serve each other as baselines, where the draws of a linear loss are not independent


@dataclass(frozen=True)
class ScoreFunction(Estimator):
    """The gradient by the score of q, with the loss of the other draws as the baseline of each.

    For a loss G of K independent draws of q, its derivative c_k in l_k, and the loss G_-k of the other K - 1 draws,

        sum_k (G - G_-k) score_k - sum_k c_k score_k,   score_k = d log q(z_k) / d params,

    is unbiased: G_-k does not depend on z_k, and E[score_k] = 0. The second sum is the loss's own dependence on
    log q; for a mean over draws of h(l) the two are the mean of (h - h') score. In the ELBO it has mean zero, and is
    left out. Asks nothing of log p~ but its value, so that it serves discrete guides, at the cost of more noise.

    Args:
        noise: where the draws' normal noise comes from; None means independent draws of the distribution.

    Source: Williams (1992), Simple statistical gradient-following algorithms, doi:10.1007/BF00992696; Kool, van Hoof &
    Welling (2019), Buy 4 REINFORCE samples, get a baseline for free!, openreview:r1lgTGL5DE.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.ReverseKL(vi.estimators.score_function).estimator
        ScoreFunction(noise=None)
    """

    name: ClassVar[str] = "score_function"
    noise: Noise | None = None

    def refuses(self, shape: Shape, guide: Guide) -> str | None:
        """A single draw, which has no others to compare with, and draws that are not independent."""
        if shape.group == 1:
            return "one draw has no others for a baseline"
        if not guide.scores_cheaply:
            return "it asks for log q at a given point, which this guide finds only by a costly inversion"
        if self.noise is None:
            return None
        if guide.stratified or not guide.reparameterised:
            return f"the guide's draws are not made of one lot of normal noise, which {_name(self.noise)} asks for"
        if self.noise is not independent and shape.group is None and not shape.linear:
            return f"the loss is one function of all the draws, which {_name(self.noise)} noise makes dependent"
        return None

    def estimate(
        self, of: LogWeightLoss, shape: Shape, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> Estimate:
        """The loss, with the gradient above."""
        return _by_score(_without, self.noise, of, shape, key, params, guide, target, num_draws)

    def gradients(self, num_draws: int) -> float:
        """Bare densities only."""
        return num_draws / 3


@dataclass(frozen=True)
class Vimco(Estimator):
    """As `ScoreFunction`, with draw k's log weight replaced by the mean of the others in its baseline.

    For the bounds of K draws, whose loss with K - 1 draws is another bound: G_-k then has the same size as G, and the
    noise of what is left is smaller.

    Source: Mnih & Rezende (2016), Variational inference for Monte Carlo objectives, arXiv:1602.06725.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.IWAE(5, vi.estimators.vimco).estimator
        Vimco(noise=None)
    """

    name: ClassVar[str] = "vimco"
    noise: Noise | None = None

    def refuses(self, shape: Shape, guide: Guide) -> str | None:
        """Losses that are not of groups of draws, and what `ScoreFunction` refuses."""
        if shape.group is None:
            return "it is made for losses of groups of draws, such as IWAE; use score_function"
        return ScoreFunction(self.noise).refuses(shape, guide)

    def estimate(
        self, of: LogWeightLoss, shape: Shape, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> Estimate:
        """The loss, with the gradient above."""
        return _by_score(_replaced, self.noise, of, shape, key, params, guide, target, num_draws)

    def gradients(self, num_draws: int) -> float:
        """Bare densities only."""
        return num_draws / 3


def _by_score(
    baseline: Callable[[LogWeightLoss, LogWeights, LogWeights, Any], Scalar],
    noise: Noise | None,
    of: LogWeightLoss,
    shape: Shape,
    key: Key,
    params: Params,
    guide: Guide,
    target: Density,
    num_draws: int,
) -> Estimate:
    points = jax.lax.stop_gradient(_draw(noise, shape, key, params, guide, num_draws))
    log_q = guide.distribution(params).log_prob(points)
    log_p = log_densities(target, points)
    weights = jnp.full_like(log_p, 1.0 / log_p.shape[1])
    log_weights, log_shares = log_p - jax.lax.stop_gradient(log_q), jnp.log(weights)

    def advantage(log_weights: LogWeights, log_shares: LogWeights) -> LogWeights:
        others = ~np.eye(len(log_weights), dtype=bool)
        return of(log_weights, log_shares) - jax.vmap(partial(baseline, of, log_weights, log_shares))(others)

    gained = jax.vmap(advantage)(log_weights, log_shares)
    own = 0.0 if shape.linear else jax.vmap(jax.grad(of))(log_weights, log_shares)
    surrogate = ((gained - own) * log_q).sum(-1).mean()
    loss = jax.vmap(of)(log_weights, log_shares).mean() + surrogate - jax.lax.stop_gradient(surrogate)
    return Estimate(loss, log_weights, weights, log_p)


def _draw(noise: Noise | None, shape: Shape, key: Key, params: Params, guide: Guide, num_draws: int) -> Array:
    """Points (groups, draws, dim), independent within each group."""
    if noise is None:
        group = num_draws if shape.group is None else shape.group
        return guide.distribution(params).sample(key, (max(1, num_draws // group), group))
    group = (LANES if shape.linear else num_draws) if shape.group is None else shape.group
    return draw_groups(guide, key, params, num_draws, group, noise).points


def _without(of: LogWeightLoss, log_weights: LogWeights, log_shares: LogWeights, others: Bool[Array, draws]) -> Scalar:
    """The loss of the other draws."""
    kept = jnp.where(others, log_shares, -jnp.inf)
    return of(_with_mean(log_weights, others), kept - jax.nn.logsumexp(kept))


def _replaced(of: LogWeightLoss, log_weights: LogWeights, log_shares: LogWeights, others: Bool[Array, draws]) -> Scalar:
    """The loss with one log weight replaced by the mean of the others."""
    return of(_with_mean(log_weights, others), log_shares)


def _with_mean(log_weights: LogWeights, others: Bool[Array, draws]) -> LogWeights:
    return jnp.where(others, log_weights, jnp.mean(log_weights, where=others))


def _name(noise: Noise) -> str:
    return getattr(noise, "__name__", repr(noise))


score_function, vimco = ScoreFunction(), Vimco()
