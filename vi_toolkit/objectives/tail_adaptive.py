"""An f-divergence whose weights follow the ranks of the density ratios, so that heavy tails do no harm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.tree_util import register_dataclass

from vi_toolkit._checks import check_positive
from vi_toolkit._types import Density, Key, Params, Scalar
from vi_toolkit.estimators import Estimate, Shape, doubly_reparameterised
from vi_toolkit.estimators.estimator import path_draws
from vi_toolkit.estimators.valid import check_pair
from vi_toolkit.guides import Guide
from vi_toolkit.guides.noise import independent
from vi_toolkit.objectives.log_weights import facts
from vi_toolkit.objectives.objective import Objective


@partial(register_dataclass, data_fields=[], meta_fields=["power"])
@dataclass(frozen=True)
class TailAdaptive(Objective):
    """The f-divergence whose f''(u) u^2 is the rank of u among its draws, to a power: it adapts to the tail of p / q.

    A gradient through the draws of any f-divergence is -E_q[f''(u) u^2 d log u]. Here the coefficient of draw i is

        g_i proportional to (share of draws with a ratio of at least u_i)^-power,    sum_i g_i = 1:

    the largest ratio counts most, as in a mass-covering divergence, but never more than its rank allows, so the
    coefficient has a finite mean and variance whatever the tail of u. ``power`` = 0 is reverse KL; 1 is the published
    choice. Ranks do not depend on the evidence, so neither does the fixed point. With ``power`` = 1 and above the
    largest ratio keeps a share of the whole that falls slowly or not at all with the number of draws, and the fixed
    point depends on that number: more draws reach further into the tail. Draws are independent, so that none share a
    rank.

    There is no loss that it descends for certain: the f changes with q. The loss that is reported is minus the ELBO.

    Args:
        power: above 0.

    Raises:
        TypeError, ValueError: if ``power`` is not a number above 0; when a fit begins, if the guide's draws carry no
            gradients or log q is costly.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum((z - 1.0) ** 2), dim=1)
        >>> fit = vi.fit(jax.random.key(0), target, vi.gradient(vi.MeanFieldNormal(), vi.TailAdaptive()))
        >>> round(float(fit.posterior.mean[0]), 2)
        1.0

    Source: Wang, Liu & Liu (2018), Variational inference with tail-adaptive f-divergence, arXiv:1810.11943.
    """

    power: float | int = 1.0

    num_draws: ClassVar[int] = 128

    def __post_init__(self) -> None:
        check_positive(self.power, "power")

    @property
    def tracked(self) -> tuple[str, ...]:
        """The ELBO, and the effective share of the draws by their weights p~/q."""
        return ("elbo", "ess")

    def loss(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """Minus the ELBO, with the gradient above."""
        drawn = path_draws(guide, key, params, target, num_draws, None, independent)
        log_weights, shares = drawn.log_weights[0], drawn.weights[0]
        fixed, counts = jax.lax.stop_gradient((log_weights, shares))
        at_least = jnp.where(fixed[None] >= fixed[:, None], counts[None], 0.0).sum(1)
        coefficients = at_least**-self.power
        coefficients /= (counts * coefficients).sum()
        # by strata, the shares carry gradients too: of h - h', whose derivative in the log weight is the coefficient
        surrogate = -(counts * coefficients * log_weights).sum() - (shares * _height(fixed, counts, coefficients)).sum()
        elbo = (counts * fixed).sum()
        loss = -elbo + surrogate - jax.lax.stop_gradient(surrogate)
        return loss, facts(Estimate(loss, *drawn))

    def gradients_per_step(self, num_draws: int) -> float:
        """One gradient a draw."""
        return float(num_draws)

    def check(self, guide: Guide, dim: Any) -> None:
        """As for `vi.estimators.doubly_reparameterised`."""
        check_pair(doubly_reparameterised, Shape(False, True, None), guide, "TailAdaptive")


def _height(log_weights: Any, shares: Any, coefficients: Any) -> Any:
    """The integral of the coefficient over the log weight, by the trapezoidal rule through the draws."""
    order = jnp.argsort(log_weights)
    steps = jnp.diff(log_weights[order]) * (coefficients[order][1:] + coefficients[order][:-1]) / 2
    heights = jnp.concatenate([jnp.zeros_like(steps[:1]), jnp.cumsum(steps)])
    return jnp.zeros_like(log_weights).at[order].set(heights)
