"""Self-normalised importance sampling from q itself: the wake update of reweighted wake-sleep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_static

from vi_toolkit._types import Density, Key, Params
from vi_toolkit.guides import Guide
from vi_toolkit.guides.noise import independent
from vi_toolkit.sources.source import Memory, PosteriorDraws, WeightedDraws, log_densities

TOO_FEW = 2.0  # effective draws, below which one draw decides


@register_static
@dataclass(frozen=True)
class WakeSleep(PosteriorDraws):
    """K independent draws of q, with weights w_i proportional to p~(z_i) / q(z_i).

    The wake update of reweighted wake-sleep moves q by sum_i w_i score_i; here by sum_i (w_i - 1/K) score_i, which has
    the same mean, as the score of q has mean zero, and no noise at q = p. Nothing guards against a q that is narrower
    than p: the weights may have no variance, and then a few draws take all of it. `Importance` guards against that.
    A mode of p where q has nothing is never seen.

    The weights are normalised by their own sum, hence a bias in the gradient of -E_q[(p/q)^2 (s - E_p s)] / K to first
    order, s being minus the score. The fit ends COLLAPSED where the median over the last window of the effective
    number of draws 1 / sum w_i^2 is below 2, and below half of the draws.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum((z - 2.0) ** 2), dim=1)
        >>> method = vi.gradient(vi.FullRankNormal(), vi.ForwardKL(vi.sources.WakeSleep()))
        >>> fit = vi.fit(jax.random.key(0), target, method)
        >>> round(float(fit.posterior.mean[0]), 2), round(float(fit.posterior.variance[0]), 2)
        (2.0, 1.0)

    Source: Bornschein & Bengio (2015), Reweighted wake-sleep, arXiv:1406.2751.
    """

    tracked: ClassVar[tuple[str, ...]] = ("elbo", "ess", "effective_draws")

    def draw(
        self, key: Key, memory: Memory, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[WeightedDraws, Memory]:
        """About ``num_draws`` draws of q; there is no memory."""
        points, shares, _ = guide.draw(key, params, num_draws, independent)
        log_weights = log_densities(target, points) - guide.distribution(params).log_prob(points)
        draws = WeightedDraws(points, jax.nn.softmax(log_weights + jnp.log(shares)), shares, {})
        elbo = jnp.where(shares > 0, shares * log_weights, 0.0).sum()
        facts = {"elbo": elbo, "ess": draws.ess, "effective_draws": draws.ess * len(points)}
        return draws._replace(facts=facts), memory

    def check(self, guide: Guide, dim: int) -> None:
        """Every guide that can be sampled and scored, discrete ones too."""
        return None

    def gradients_per_step(self, num_draws: int) -> float:
        """One bare density, a third, a draw."""
        return num_draws / 3

    def collapsed(self, history: dict[str, Any]) -> bool:
        """Whether fewer than two draws counted, and less than half of all."""
        if not len(history["ess"]):
            return False
        return bool(np.median(history["effective_draws"]) < TOO_FEW and np.median(history["ess"]) < 0.5)

    def warnings(self, history: dict[str, Any]) -> list[str]:
        """Says so where less than a tenth of the draws count."""
        if not len(history["ess"]) or np.median(history["ess"]) >= 0.1:
            return []
        return [
            f"forward KL: of q's draws only {np.median(history['effective_draws']):.2g} counted in effect (median of "
            "the last steps). Use vi.sources.Importance(), whose proposal is wider than q, or raise num_draws."
        ]
