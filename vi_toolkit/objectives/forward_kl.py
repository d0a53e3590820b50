"""Forward KL: cross-entropy from p to q, with draws of p that are given, weighted, or carried along."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from vi_toolkit._checks import check_finite, describe
from vi_toolkit._types import Density, Key, Params, Scalar
from vi_toolkit.guides import Guide
from vi_toolkit.objectives.objective import Memory, Objective
from vi_toolkit.sources import Importance, PosteriorDraws, WeightedDraws

DEFAULT = Importance(smooth=False)


@partial(register_dataclass, data_fields=["draws"], meta_fields=[])
@dataclass(frozen=True)
class ForwardKL(Objective):
    """D_KL(p || q) = H(p, q) - H(p), minimised by its part that depends on q, the cross-entropy.

        loss = H(p, q) = -E_p[log q(z)]        (nats)

    It is mass-covering: where p is large, q must be large. Its minimiser does not depend on the evidence Z. E_p is

    - the mean over ``draws`` of p, a random part of them at a time, where these are given: then this *is* maximum
      likelihood for q;
    - the sum over weighted draws z_i of a source, one of `vi.sources`: the loss is -sum_i w_i log q(z_i). Where the
      source knows weights v_i for which the same points are draws of q, the gradient used is
      -sum_i (w_i - v_i) grad log q(z_i): the subtracted term has mean zero, and at q = p the noise vanishes.

    By default the source is ``vi.sources.Importance(smooth=False)``: self-normalised importance sampling from a
    proposal that is wider than q, whose weights are tempered where fewer than 32 draws would count. ``ess`` (a share,
    before tempering) and ``temper`` (the power) are in the history.

    ========================  =================================================================  ==================
    source                    where draws of p come from                                         biased
    ========================  =================================================================  ==================
    Importance()              a proposal wider than q, smoothed weights                          O(1 / num_draws)
    AdaptiveImportance()      the last proposals, weighted as one mixture                        O(1 / num_draws)
    WakeSleep()               q itself                                                           O(1 / num_draws)
    TemperedSMC()             particles led to p from a wide start; for several modes            until they are at p
    ScoreClimbing()           Markov chains that q helps to move                                 until they forget
    ========================  =================================================================  ==================

    Where a source was of no use in the last window the fit ends COLLAPSED: each says when.

    Args:
        draws: draws of p on the unconstrained space, of shape (draws, dim); or a source; or None.

    Raises:
        TypeError: if ``draws`` is the class of a source, not its instance.
        ValueError: if ``draws`` is not a finite matrix with at least two rows.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> vi.ForwardKL(draws=jax.random.normal(jax.random.key(0), (1000, 2))).draws.shape
        (1000, 2)
        >>> vi.ForwardKL(vi.sources.Importance()).tracked
        ('cross_entropy', 'elbo', 'ess', 'temper', 'khat')

    Source: Owen & Zhou (2000), Safe and effective importance sampling, doi:10.1080/01621459.2000.10473909 (defensive
    proposals); Bornschein & Bengio (2015), Reweighted wake-sleep, arXiv:1406.2751.
    """

    draws: Any = None

    num_draws: ClassVar[int] = 512

    def __post_init__(self) -> None:
        if isinstance(self.draws, (np.ndarray, list, tuple)) or hasattr(self.draws, "to_numpy"):
            # JAX rebuilds this record around tracers and placeholders, which `check` looks at when a fit begins
            object.__setattr__(self, "draws", jnp.asarray(_checked(self.draws), jnp.result_type(float)))
        if isinstance(self.draws, type) and issubclass(self.draws, PosteriorDraws):
            raise TypeError(f"draws: expected a source, got the class {self.draws.__name__} itself. Call it.")

    @property
    def source(self) -> PosteriorDraws | None:
        """Where the draws of p come from; None where they are given."""
        if self.draws is None:
            return DEFAULT
        return self.draws if isinstance(self.draws, PosteriorDraws) else None

    def check(self, guide: Guide, dim: int) -> None:
        """The draws must be finite and of the target's dimension; a source has its own conditions."""
        if self.source is not None:
            self.source.check(guide, dim)
        elif _checked(self.draws).shape[1:] != (dim,):
            raise ValueError(
                f"draws: expected shape (draws, {dim}) for this target, got {self.draws.shape}. "
                "They live on the unconstrained space of the target, in the order of target.sites."
            )

    @property
    def tracked(self) -> tuple[str, ...]:
        """The cross-entropy, and what the source says of its draws."""
        return ("cross_entropy",) + (self.source.tracked if self.source is not None else ())

    def begin(self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> Memory:
        """What the source carries from step to step."""
        return () if self.source is None else self.source.begin(key, params, guide, target, num_draws)

    def loss(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """The cross-entropy from p to q, by draws that owe nothing to an earlier step."""
        if self.source is None:
            return _cross_entropy(_some_of(key, self.draws, num_draws), params, guide)
        fixed = jax.lax.stop_gradient(params)
        return _cross_entropy(self.source.fresh(key, fixed, guide, target, num_draws), params, guide)

    def loss_with_memory(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int, memory: Memory
    ) -> tuple[Scalar, dict[str, Scalar], Memory]:
        """The cross-entropy from p to q, by the source's draws at this step."""
        if self.source is None:
            return *self.loss(key, params, guide, target, num_draws), memory
        fixed = jax.lax.stop_gradient(params)
        draws, memory = self.source.draw(key, memory, fixed, guide, target, num_draws)
        return *_cross_entropy(draws, params, guide), memory

    def gradients_per_step(self, num_draws: int) -> float:
        """None with draws of p; else what the source spends."""
        return 0.0 if self.source is None else self.source.gradients_per_step(num_draws)

    def gradients_to_begin(self, num_draws: int) -> float:
        """What the source spends before the first step."""
        return 0.0 if self.source is None else self.source.gradients_to_begin(num_draws)

    def collapsed(self, history: dict[str, Any]) -> bool:
        """Whether the source's draws were none of p."""
        return self.source is not None and self.source.collapsed(history)

    def warnings(self, history: dict[str, Any]) -> list[str]:
        """What the source says against its draws."""
        return [] if self.source is None else self.source.warnings(history)


def _cross_entropy(draws: WeightedDraws, params: Params, guide: Guide) -> tuple[Scalar, dict[str, Scalar]]:
    points, w, v, facts = draws
    log_q = guide.distribution(params).log_prob(points)
    cross_entropy = -jnp.where(w > 0, w * log_q, 0.0).sum()  # what does not count may be out of q's reach
    loss = cross_entropy
    if v is not None:
        surrogate = -((w - v) * log_q).sum()
        loss = jax.lax.stop_gradient(cross_entropy - surrogate) + surrogate
    return loss, {"cross_entropy": cross_entropy} | facts


def _some_of(key: Key, draws: Any, num_draws: int) -> WeightedDraws:
    points = draws[jax.random.randint(key, (num_draws,), 0, len(draws))]
    return WeightedDraws(points, jnp.full(num_draws, 1 / num_draws, points.dtype), None, {})


def _checked(draws: Any) -> np.ndarray:
    array = np.asarray(draws)
    if array.dtype.kind not in "fiu" or array.ndim != 2 or len(array) < 2:
        raise ValueError(
            f"draws: expected draws of p of shape (draws, dim), at least two, got {describe(draws)}. "
            "They live on the unconstrained space of the target. What makes draws of p is in vi.sources."
        )
    check_finite(array, "draws")
    return array
