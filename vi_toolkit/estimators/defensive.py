"""Gradients by importance sampling from a proposal that is wider than q, so that no weight can grow without bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from vi_toolkit._types import Density, Draws, Key, LogWeights, Params
from vi_toolkit.estimators.estimator import Estimate, Estimator, LogWeightLoss, Shape
from vi_toolkit.guides import Guide
from vi_toolkit.guides.noise import Noise

_SHARES = (0.5, 0.25, 0.25)  # of the proposal: q itself, q stretched a little, q stretched a lot
NUM_CENTRE = 64  # draws by which the centre is found
_STRETCHES = (0.0, 2.0, 6.0)  # the scale is 1 + stretch / sqrt(dim)


@dataclass(frozen=True)
class Defensive(Estimator):
    """The gradient by the score of q at draws of a wider proposal r, weighted by v_i proportional to q(z_i) / r(z_i).

    The proposal is half q itself and half q stretched about its centre, so that p / r stays bounded where q is too
    narrow; the draws carry no gradients. For a loss G of log weights l_i and shares v_i,

        sum_i (t_i - v_i sum_j t_j) score_i,    t_i = dG / d log v_i - dG / d l_i:

    t_i / v_i is h - h' for the mean of h(l). What is subtracted has mean zero, and at q = p no noise is left. The
    shares are normalised by their own sum, hence a bias of O(1 / num_draws) away from q = p. The choice for losses
    that weigh the draws where p is much larger than q: chi-square, alpha < 0, forward KL.

    Args:
        noise: where the normal noise of the proposal's draws comes from; None leaves it to the guide.

    Source: Owen & Zhou (2000), Safe and effective importance sampling, doi:10.1080/01621459.2000.10473909.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.Chi(2).estimator
        Defensive(noise=None)
    """

    name: ClassVar[str] = "defensive"
    rests_on_weights: ClassVar[bool] = True
    noise: Noise | None = None

    def refuses(self, shape: Shape, guide: Guide) -> str | None:
        """Losses of groups of draws, discrete guides, and guides that are costly to score."""
        if shape.group is not None:
            return "the loss is of groups of independent draws of q, and the proposal is wider"
        if not guide.scores_cheaply:
            return "it asks for log q at a given point, which this guide finds only by a costly inversion"
        if guide.stratified and self.noise is not None:
            return "its draws are taken one by one from the whole of q, not from one lot of normal noise"
        return None if guide.reparameterised else "a discrete guide cannot be stretched about its mean"

    def estimate(
        self, of: LogWeightLoss, shape: Shape, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> Estimate:
        """The loss, with the gradient above."""
        points, log_r = defensive_draws(key, guide, jax.lax.stop_gradient(params), num_draws, self.noise)
        log_q = guide.distribution(params).log_prob(points)
        log_p = jax.vmap(target.log_density)(points)
        log_p = jnp.where(jnp.isnan(log_p), -jnp.inf, log_p)  # far out, where the model may not follow
        fixed = jax.lax.stop_gradient(log_q)
        log_weights, log_shares = log_p - fixed, jax.nn.log_softmax(fixed - log_r)
        value, (by_log_weight, by_log_share) = jax.value_and_grad(of, argnums=(0, 1))(log_weights, log_shares)
        t = by_log_share - by_log_weight
        surrogate = ((t - jnp.exp(log_shares) * t.sum()) * log_q).sum()
        loss = value + surrogate - jax.lax.stop_gradient(surrogate)
        return Estimate(loss, log_weights[None], jnp.exp(log_shares)[None], log_p[None])

    def gradients(self, num_draws: int) -> float:
        """Bare densities only."""
        return num_draws / 3


def defensive_draws(
    key: Key, guide: Guide, params: Params, num_draws: int, noise: Noise | None = None
) -> tuple[Draws, LogWeights]:
    """Draws of r = sum_s share_s q_s, q_s being q stretched about its centre, in fixed proportions; and log r."""
    distribution = guide.distribution(params)
    key_draw, key_centre = jax.random.split(key)
    # draws by strata come with unequal weights, which plain ones do not
    drawn = (
        distribution.sample(key_draw, (num_draws,))
        if guide.stratified
        else guide.draw(key_draw, params, num_draws, noise).points
    )
    around = guide.draw(key_centre, params, NUM_CENTRE)
    centre = around.weights @ around.points  # about the mean, and independent of the draws
    dim = centre.shape[0]
    scales = 1.0 + jnp.asarray(_STRETCHES, centre.dtype) / jnp.sqrt(dim)
    shares = jnp.asarray(_SHARES, centre.dtype)
    which = jnp.searchsorted(jnp.cumsum(shares)[:-1], (jnp.arange(num_draws) + 0.5) / num_draws)
    points = centre + scales[which][:, None] * (drawn - centre)
    unstretched = centre + (points - centre) / scales[:, None, None]
    log_q = distribution.log_prob(unstretched) - dim * jnp.log(scales)[:, None]
    return points, jax.nn.logsumexp(log_q + jnp.log(shares)[:, None], axis=0)


defensive = Defensive()
