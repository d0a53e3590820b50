"""Forward KL: cross-entropy from p to q, with draws of p or with importance weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from vi_toolkit._checks import check_finite, describe
from vi_toolkit._types import Density, Draws, Key, LogWeights, Params, Scalar
from vi_toolkit.guides import Guide
from vi_toolkit.guides.guide import GuideDraws
from vi_toolkit.objectives.objective import Objective

MIN_ESS = 32.0  # effective number of draws under which the weights are tempered
_SHARES = (0.5, 0.25, 0.25)  # of the proposal: q itself, q stretched a little, q stretched a lot
_STRETCHES = (0.0, 2.0, 6.0)  # the scale is 1 + stretch / sqrt(dim)


@partial(register_dataclass, data_fields=["draws"], meta_fields=[])
@dataclass(frozen=True)
class ForwardKL(Objective):
    """D_KL(p || q) = H(p, q) - H(p), minimised by its part that depends on q, the cross-entropy.

        loss = H(p, q) = -E_p[log q(z)]        (nats)

    It is mass-covering: where p is large, q must be large. Two honest forms:

    - with ``draws`` of p: then this *is* maximum likelihood for q, with the mean over a random part of the draws;
    - without: E_p is estimated by self-normalised importance sampling, -sum_i w_i log q(z_i) with
      w_i proportional to p~(z_i) / r(z_i). The proposal r is defensive and follows q: half q itself, half q
      stretched about its mean, so that p / r stays bounded where q is too narrow. With v_i proportional to
      q(z_i) / r(z_i), the gradient used is -sum_i (w_i - v_i) grad log q(z_i): the subtracted term has mean zero,
      and at q = p the noise vanishes. When the effective sample size 1 / sum w_i^2 falls under 32 draws
      the weights are tempered, w_i^beta, until it does not, so that q approaches p by steps instead of
      collapsing onto one draw. ``ess`` (a fraction, before tempering) and ``temper`` (beta) are in the history.

    The self-normalised estimate is biased by O(1 / num_draws), away from q = p. Its minimiser does not depend on Z.

    Args:
        draws: draws of p on the unconstrained space, of shape (draws, dim), or None.

    Raises:
        ValueError: if ``draws`` is not a finite matrix with at least two rows.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> vi.ForwardKL(draws=jax.random.normal(jax.random.key(0), (1000, 2))).draws.shape
        (1000, 2)

    Source: Owen & Zhou (2000), Safe and effective importance sampling, doi:10.1080/01621459.2000.10473909 (defensive
    proposals); Bornschein & Bengio (2015), Reweighted wake-sleep, arXiv:1406.2751.
    """

    draws: Any = None

    num_draws: ClassVar[int] = 512

    def __post_init__(self) -> None:
        if isinstance(self.draws, (np.ndarray, list, tuple)) or hasattr(self.draws, "to_numpy"):
            # JAX rebuilds this record around tracers and placeholders, which `check` looks at when a fit begins
            object.__setattr__(self, "draws", jnp.asarray(_checked(self.draws), jnp.result_type(float)))

    def warnings(self, history: dict[str, Any]) -> list[str]:
        """Says so when the weights had collapsed, so that a flattened target was fitted."""
        if "temper" not in history:
            return []
        share, ess = float(np.mean(history["temper"] < 1)), float(np.median(history["ess"]))
        if share < 0.05:
            return []
        return [
            f"forward KL: the importance weights had an effective size of {100 * ess:.2g} % of the draws (median), and "
            f"in {100 * share:.0f} % of the last steps the target was flattened to keep {MIN_ESS:.0f} effective draws: "
            "the fit is too wide or off. Raise num_draws, take a richer guide, or pass draws of p by ForwardKL(draws)."
        ]

    def check(self, guide: Guide, dim: int) -> None:
        """The draws must be finite and of the target's dimension."""
        if self.draws is not None and _checked(self.draws).shape[1:] != (dim,):
            raise ValueError(
                f"draws: expected shape (draws, {dim}) for this target, got {self.draws.shape}. "
                "They live on the unconstrained space of the target, in the order of target.sites."
            )

    @property
    def tracked(self) -> tuple[str, ...]:
        """The cross-entropy; by importance weights also the ELBO, their effective fraction and their tempering."""
        return ("cross_entropy",) if self.draws is not None else ("cross_entropy", "elbo", "ess", "temper")

    def loss(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """The cross-entropy from p to q, by draws of p where there are some."""
        if self.draws is not None:
            points = self.draws[jax.random.randint(key, (num_draws,), 0, len(self.draws))]
            cross_entropy = -guide.distribution(params).log_prob(points).mean()
            return cross_entropy, {"cross_entropy": cross_entropy}
        return _importance_loss(key, params, guide, target, num_draws)

    def gradients_per_step(self, num_draws: int) -> float:
        """None with draws of p; else one bare density, a third, a draw."""
        return 0.0 if self.draws is not None else num_draws / 3


def _checked(draws: Any) -> np.ndarray:
    array = np.asarray(draws)
    if array.dtype.kind not in "fiu" or array.ndim != 2 or len(array) < 2:
        raise ValueError(
            f"draws: expected draws of p of shape (draws, dim), at least two, got {describe(draws)}. "
            "They live on the unconstrained space of the target."
        )
    check_finite(array, "draws")
    return array


def _importance_loss(
    key: Key, params: Params, guide: Guide, target: Density, num_draws: int
) -> tuple[Scalar, dict[str, Scalar]]:
    fixed = jax.lax.stop_gradient(params)
    points, log_r = _defensive_draws(key, guide, fixed, num_draws)
    log_p = jax.vmap(target.log_density)(points)
    log_p = jnp.where(jnp.isnan(log_p), -jnp.inf, log_p)
    log_q = guide.distribution(params).log_prob(points)
    log_ratio_p, log_ratio_q = log_p - log_r, jax.lax.stop_gradient(log_q) - log_r
    temper = _temper(log_ratio_p)
    # p^beta r^(1-beta) is the tempered target
    w, v = jax.nn.softmax(temper * log_ratio_p), jax.nn.softmax(log_ratio_q)
    cross_entropy = -(jnp.where(w > 0, w * log_q, 0.0)).sum()
    surrogate = -((w - v) * log_q).sum()
    loss = jax.lax.stop_gradient(cross_entropy - surrogate) + surrogate
    weights = jax.nn.softmax(log_ratio_p)
    elbo = jnp.where(v > 0, v * (log_p - log_q), 0.0).sum()
    return loss, {
        "elbo": elbo,
        "cross_entropy": cross_entropy,
        "ess": 1 / (weights**2).sum() / len(w),
        "temper": temper,
    }


def _defensive_draws(key: Key, guide: Guide, params: Params, num_draws: int) -> tuple[Draws, LogWeights]:
    """Draws of r = sum_s share_s q_s, q_s being q stretched about its mean, in fixed proportions; and log r."""
    distribution = guide.distribution(params)
    key_draw, key_pick = jax.random.split(key)
    drawn: GuideDraws = guide.draw(key_draw, params, num_draws)
    dim = drawn.points.shape[-1]
    centre = drawn.weights @ drawn.points
    pick = jax.random.choice(key_pick, len(drawn.weights), (num_draws,), p=drawn.weights)
    scales = 1.0 + jnp.asarray(_STRETCHES, centre.dtype) / jnp.sqrt(dim)
    shares = jnp.asarray(_SHARES, centre.dtype)
    which = jnp.searchsorted(jnp.cumsum(shares)[:-1], (jnp.arange(num_draws) + 0.5) / num_draws)
    points = centre + scales[which][:, None] * (drawn.points[pick] - centre)
    unstretched = centre + (points - centre) / scales[:, None, None]
    log_q = distribution.log_prob(unstretched) - dim * jnp.log(scales)[:, None]
    return points, jax.nn.logsumexp(log_q + jnp.log(shares)[:, None], axis=0)


def _temper(log_weights: LogWeights) -> Scalar:
    """The largest beta in (0, 1] at which the weights w^beta keep MIN_ESS effective draws, by bisection."""
    wanted = min(MIN_ESS, 0.5 * len(log_weights))

    def ess(beta: Scalar) -> Scalar:
        return 1 / (jax.nn.softmax(beta * log_weights) ** 2).sum()

    def halve(_: Any, bounds: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = bounds
        middle = (low + high) / 2
        enough = ess(middle) >= wanted
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    one = jnp.ones((), log_weights.dtype)
    low, _ = jax.lax.fori_loop(0, 20, halve, (0 * one, one))
    return jnp.where(ess(one) >= wanted, one, low)
