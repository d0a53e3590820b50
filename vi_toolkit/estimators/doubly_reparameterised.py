"""Gradients through the draws alone, for losses of any shape: stick-the-landing made right where it is not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp

from vi_toolkit._types import Density, Key, LogWeights, Params, Scalar
from vi_toolkit.estimators.estimator import (
    Estimate,
    Estimator,
    LogWeightLoss,
    Shape,
    needs_gradients_through_draws,
    path_draws,
)
from vi_toolkit.guides import Guide
from vi_toolkit.guides.noise import Noise


@dataclass(frozen=True)
class DoublyReparameterised(Estimator):
    """The gradient of a loss G(l_1, ..., l_K) of log weights with its score terms sent through the draws as well.

    The full gradient is E sum_k c_k (dl_k/dz_k dz_k - score_k), with c_k = dG/dl_k and score_k the derivative of log q
    in its parameters at z_k. Since E[c_k score_k] = E[d c_k / d l_k  dl_k/dz_k dz_k], the gradient is

        E sum_k (c_k - d c_k / d l_k) dl_k/dz_k dz_k,

    without any score. For the ELBO it is stick-the-landing; for IWAE the coefficients are minus the squares of the
    normalised weights, for Renyi minus alpha w + (1 - alpha) w^2. Unbiased where the draws of a group are independent;
    where the loss is one function of all the draws, antithetic noise leaves a bias of O(1 / num_draws) like that of
    the loss itself. Draws of stratified guides carry gradients by their shares w_k too, (dG / d log w_k - c_k) d log
    w_k; that is exact for sums over draws, so a loss of groups of draws is refused.

    Args:
        noise: where the draws' normal noise comes from; None leaves it to the guide.

    Source: Tucker, Lawson, Gu & Maddison (2019), Doubly reparameterized gradient estimators for Monte Carlo objectives,
    arXiv:1810.04152; Geffner & Domke (2021), On the difficulty of unbiased alpha divergence minimization,
    arXiv:2010.09541.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.IWAE(5).estimator
        DoublyReparameterised(noise=None)
    """

    name: ClassVar[str] = "doubly_reparameterised"
    noise: Noise | None = None

    def refuses(self, shape: Shape, guide: Guide) -> str | None:
        """Losses with kinks, groups of stratified draws, and guides that are costly to score."""
        if not shape.smooth:
            return "it differentiates twice, and the loss has a kink"
        if shape.group is not None and guide.stratified:
            return "it is biased for groups of draws that come by strata"
        if not guide.scores_cheaply:
            return "it asks for log q at a given point, which this guide finds only by a costly inversion"
        return needs_gradients_through_draws(guide)

    def estimate(
        self, of: LogWeightLoss, shape: Shape, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> Estimate:
        """The loss, with the gradient above."""
        drawn = path_draws(guide, key, params, target, num_draws, shape.group, self.noise)
        log_weights, weights, _ = drawn
        log_shares = jnp.log(weights)
        fixed = jax.lax.stop_gradient((log_weights, log_shares))
        through_draws, through_shares = jax.vmap(partial(_coefficients, of))(*fixed)
        surrogate = (through_draws * log_weights + through_shares * log_shares).sum(-1).mean()
        loss = jax.vmap(of)(*fixed).mean() + surrogate - jax.lax.stop_gradient(surrogate)
        return Estimate(loss, *drawn)


def _coefficients(of: LogWeightLoss, log_weights: LogWeights, log_shares: LogWeights) -> tuple[LogWeights, LogWeights]:
    """c - dc/dl, and dG / d log w - c."""
    by_log_weight, by_log_share = jax.grad(of, argnums=(0, 1))(log_weights, log_shares)

    def curvature(unit: LogWeights) -> Scalar:
        return jax.jvp(lambda lw: jax.grad(of)(lw, log_shares), (log_weights,), (unit,))[1] @ unit

    curvatures = jax.vmap(curvature)(jnp.eye(len(log_weights), dtype=log_weights.dtype))
    return by_log_weight - curvatures, by_log_share - by_log_weight


doubly_reparameterised = DoublyReparameterised()
