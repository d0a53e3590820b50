"""Self-normalised importance sampling from a defensive proposal that follows q, with smoothed weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_static

from vi_toolkit._types import Density, Key, LogWeights, Params, Scalar
from vi_toolkit.estimators.defensive import defensive_draws
from vi_toolkit.guides import Guide
from vi_toolkit.sources._temper import is_hopeless, keep_enough, words_about
from vi_toolkit.sources.source import Memory, PosteriorDraws, WeightedDraws, log_densities

GOOD_KHAT = 0.7  # above it, even smoothed weights are of little use


@register_static
@dataclass(frozen=True)
class Importance(PosteriorDraws):
    """Draws of a proposal r that follows q, with weights w_i proportional to p~(z_i) / r(z_i).

    r is half q itself and half q stretched about its mean, so that p / r stays bounded where q is too narrow. The
    control v_i is proportional to q(z_i) / r(z_i): at q = p the gradient has no noise. Two things are done to the
    weights before they are normalised:

    - ``smooth``: the largest are replaced by the expected order statistics of a generalised Pareto distribution that
      is fitted to them (PSIS), where its tail index k-hat is at least 1/3; less noise, for a bias that vanishes as
      draws grow. k-hat is ``khat`` in the history: above 0.7 the weights are of little use.
    - where the effective number of draws 1 / sum w_i^2 would fall under 32, they are tempered, w_i^beta, until it
      does not, so that q approaches p by steps instead of collapsing onto one draw. ``temper`` is beta.

    The weights are normalised by their own sum: a bias of O(1 / num_draws) in the loss and its gradient, away from
    q = p. ``ess`` in the history is the effective number as a share of all, by the weights as they came. The fit ends
    COLLAPSED where beta was below 1/2 in half of the last window's steps or more: what was fitted then is p^beta; and
    where the median of k-hat was above 1, so that the weights have no mean.

    Args:
        smooth: whether the weights are smoothed; at least 25 draws are needed for that, with fewer they stay.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum((z - 2.0) ** 2), dim=1)
        >>> method = vi.gradient(vi.FullRankNormal(), vi.ForwardKL(vi.sources.Importance()))
        >>> fit = vi.fit(jax.random.key(0), target, method)
        >>> round(float(fit.posterior.mean[0]), 2), bool(fit.history["khat"][-1] < 0.5)
        (2.0, True)

    Source: Owen & Zhou (2000), Safe and effective importance sampling, doi:10.1080/01621459.2000.10473909; Vehtari,
    Simpson, Gelman, Yao & Gabry (2024), Pareto smoothed importance sampling, arXiv:1507.02646.
    """

    smooth: bool = True

    @property
    def tracked(self) -> tuple[str, ...]:  # type: ignore[override]
        """The ELBO, the effective share of the draws, the tempering, and k-hat where weights are smoothed."""
        return ("elbo", "ess", "temper") + ("khat",) * self.smooth

    def draw(
        self, key: Key, memory: Memory, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[WeightedDraws, Memory]:
        """``num_draws`` draws of r; there is no memory."""
        points, log_r = defensive_draws(key, guide, params, num_draws)
        log_p = log_densities(target, points)
        log_q = guide.distribution(params).log_prob(points)
        log_weights, log_control = log_p - log_r, log_q - log_r
        v = jax.nn.softmax(log_control)
        raw = WeightedDraws(points, jax.nn.softmax(log_weights), v, {})
        facts = {"elbo": jnp.where(v > 0, v * (log_p - log_q), 0.0).sum(), "ess": raw.ess}
        if self.smooth:
            log_weights, facts["khat"] = smoothed(log_weights)
        facts["temper"] = keep_enough(log_weights)
        # p^beta r^(1-beta) is the tempered target
        w = jax.nn.softmax(facts["temper"] * log_weights)
        return raw._replace(weights=w, facts=facts), memory

    def fresh(self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> WeightedDraws:
        """The same, from the key itself."""
        return self.draw(key, (), params, guide, target, num_draws)[0]

    def gradients_per_step(self, num_draws: int) -> float:
        """One bare density, a third, a draw."""
        return num_draws / 3

    def collapsed(self, history: dict[str, Any]) -> bool:
        """Whether the target was flattened to a power below 1/2 in half of the steps or more, or k-hat was above 1."""
        return is_hopeless(history) or _median_khat(history) > 1.0

    def warnings(self, history: dict[str, Any]) -> list[str]:
        """Says so when the weights had collapsed, or their tail is too long."""
        khat = _median_khat(history)
        if khat <= GOOD_KHAT:
            return words_about(history)
        return [
            *words_about(history),
            f"forward KL: the importance weights have a tail of k-hat {khat:.2g} (median of the last steps; above "
            f"{GOOD_KHAT} they are of little use): q misses a part of p. Take a richer guide, or another source.",
        ]


def _median_khat(history: dict[str, Any]) -> float:
    values = history.get("khat", ())
    return float(np.median(values)) if len(values) else -np.inf


def smoothed(log_weights: LogWeights) -> tuple[LogWeights, Scalar]:
    """Pareto-smoothed, normalised log weights, and k-hat: inf, and the weights as they are, where no tail is found."""
    from blackjax.diagnostics import psis_weights  # it takes a while to import

    # It takes log p - log r, where psislw of ArviZ takes minus that.
    log_smooth, khat = psis_weights(log_weights)
    usable = jnp.all(jnp.isfinite(log_smooth) | (log_weights == -jnp.inf)) & jnp.isfinite(khat)
    # where all of the tail is one value there is nothing to fit, and where all weights are alike nothing to smooth
    return jnp.where(usable, log_smooth, log_weights), jnp.where(usable, khat, jnp.inf).astype(log_weights.dtype)
