"""Reverse KL: minus the ELBO."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.tree_util import register_dataclass

from vi_toolkit._checks import check_positive, check_positive_int
from vi_toolkit._types import Density, Key, LogWeights, Params, Scalar, Vector
from vi_toolkit.estimators import Estimator, Shape, stick_the_landing
from vi_toolkit.guides import Guide
from vi_toolkit.objectives.log_weights import LogWeightObjective, check_estimator, mean


@partial(register_dataclass, data_fields=[], meta_fields=["estimator", "beta", "anneal_steps"])
@dataclass(frozen=True)
class ReverseKL(LogWeightObjective):
    """D_KL(q || p) = log Z - ELBO(q), minimised by its part that depends on q.

        loss = -ELBO(q) = -E_q[log p~(z) - log q(z)]        (nats)

    It is mode-seeking: where p is small, q must be small. Its minimiser does not depend on the evidence Z.

    With ``beta`` below 1 the target is flattened, p~^beta: loss = -E_q[beta log p~ - log q]. With ``anneal_steps`` beta
    rises in a straight line to 1 over that many steps, so that q sees all modes before it has to choose.

    Args:
        estimator: how the gradient is estimated: `vi.estimators.stick_the_landing` (the default, whose noise
            vanishes at q = p), or another that `vi.estimators.valid` names.
        beta: the power of the target to begin with.
        anneal_steps: steps until beta is 1; 0 keeps beta as it is.

    Raises:
        TypeError: if ``estimator`` is not one of `vi.estimators`.
        ValueError: if ``beta`` is not above 0 or ``anneal_steps`` is negative; when a fit begins, if the estimator is
            not valid for the guide.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
        >>> guide, params = vi.MeanFieldNormal(), {"location": jnp.zeros(1), "log_scale": jnp.zeros(1)}
        >>> loss, _ = vi.ReverseKL().loss(jax.random.key(0), params, guide, target, 4)
        >>> round(float(loss), 4)  # log Z = log(2 pi) / 2, and q = p: no noise at all
        -0.9189

    Source: Jordan et al. (1999), An introduction to variational methods for graphical models,
    doi:10.1023/A:1007665907178; Mandt, McInerney, Abrol, Ranganath & Blei (2016), Variational tempering,
    arXiv:1411.1810 (beta).
    """

    estimator: Estimator = stick_the_landing
    beta: float | int = 1.0
    anneal_steps: int = 0

    def __post_init__(self) -> None:
        check_estimator(self.estimator)
        check_positive(self.beta, "beta")
        if self.anneal_steps:
            check_positive_int(self.anneal_steps, "anneal_steps")

    @property
    def shape(self) -> Shape:
        """Linear in the log weights."""
        return Shape(linear=True, smooth=True, group=None)

    @property
    def tracked(self) -> tuple[str, ...]:
        """The ELBO of the target as it is."""
        return ("elbo",)

    def _share(self, history: dict[str, Any]) -> float:
        """All draws count in the ELBO."""
        return 1.0

    def of(self, log_weights: LogWeights, log_shares: LogWeights) -> Scalar:
        """Minus the mean log weight."""
        return -mean(log_weights, log_shares)

    def begin(self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> Scalar:
        """The count of steps."""
        return jnp.zeros((), jnp.result_type(float))

    def loss(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """Minus the ELBO, the target taken to the power beta."""
        return self._loss(key, params, guide, target, num_draws, self.beta)

    def loss_with_memory(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int, memory: Scalar
    ) -> tuple[Scalar, dict[str, Scalar], Scalar]:
        """The same, with beta on its way to 1."""
        done = jnp.minimum(memory / self.anneal_steps, 1.0) if self.anneal_steps else 0.0
        beta = self.beta + (1.0 - self.beta) * done
        return *self._loss(key, params, guide, target, num_draws, beta), memory + 1

    def _loss(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int, beta: Any
    ) -> tuple[Scalar, dict[str, Scalar]]:
        flattened = target if self.beta == 1 else _Flattened(target, beta)
        estimate = self.estimator.estimate(self.of, self.shape, key, params, guide, flattened, num_draws)
        log_p = estimate.log_density / beta
        return estimate.loss, {"elbo": estimate._replace(log_weights=estimate.log_weights + (1.0 - beta) * log_p).elbo}


class _Flattened(NamedTuple):
    """p~^beta."""

    target: Density
    beta: Any

    @property
    def dim(self) -> int:
        return self.target.dim

    def log_density(self, z: Vector) -> Scalar:
        return self.beta * self.target.log_density(z)
