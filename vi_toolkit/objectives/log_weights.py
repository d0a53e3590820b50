"""Objectives that are a function of the log weights log p~ - log q alone."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import check_instance
from vi_toolkit._types import Density, Key, LogWeights, Params, Scalar
from vi_toolkit.estimators import Estimate, Estimator, Shape
from vi_toolkit.estimators.valid import check_pair
from vi_toolkit.guides import Guide
from vi_toolkit.objectives.objective import Objective

FEW, TOO_FEW = (
    0.03,
    0.005,
)  # shares of the draws, by the weights: below the first a fit is biased, below the second none


class LogWeightObjective(Objective):
    """A small pure function of log weights, joined to an estimator of its gradient.

    One of your own gives `of` and `shape`:

    Example:
        >>> from dataclasses import dataclass
        >>> from functools import partial
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> @partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=["estimator"])
        ... @dataclass(frozen=True)
        ... class Square(vi.LogWeightObjective):  # E_q of the squared log weight
        ...     estimator: vi.estimators.Estimator = vi.estimators.doubly_reparameterised
        ...     @property
        ...     def shape(self):
        ...         return vi.estimators.Shape(linear=False, smooth=True, group=None)
        ...     def of(self, log_weights, log_shares):
        ...         return jnp.sum(jnp.exp(log_shares) * log_weights**2)
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum((z - 1.0) ** 2) - 0.9189385, dim=1)
        >>> fit = vi.fit(jax.random.key(0), target, vi.gradient(vi.MeanFieldNormal(), Square()))
        >>> round(float(fit.posterior.mean[0]), 2)
        1.0
    """

    estimator: Estimator

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """What an estimator has to know of `of`."""

    @abstractmethod
    def of(self, log_weights: LogWeights, log_shares: LogWeights) -> Scalar:
        """The loss of one group of draws, in nats: see `vi.estimators.LogWeightLoss`."""

    @property
    def tracked(self) -> tuple[str, ...]:
        """The ELBO, and the effective share of the draws by the weights that the loss rests on, (p~/q)^power."""
        return ("elbo", "ess")

    @property
    def power(self) -> float:
        """The power of the weights p~/q that the loss is a mean of."""
        return 1.0

    def loss(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """The loss from ``num_draws`` draws in all, with the estimator's gradient."""
        estimate = self.estimator.estimate(self.of, self.shape, key, params, guide, target, num_draws)
        return estimate.loss, facts(estimate, self.power)

    def gradients_per_step(self, num_draws: int) -> float:
        """What the estimator spends."""
        return self.estimator.gradients(self._in_groups(num_draws))

    def gradients_over(self, guide: Guide, num_draws: int) -> float:
        """What the estimator spends over this guide."""
        return self.estimator.gradients_over(guide, self._in_groups(num_draws))

    def _in_groups(self, num_draws: int) -> int:
        """The draws that are taken: whole groups, one at least."""
        group = self.shape.group
        return num_draws if group is None else max(1, num_draws // group) * group

    def collapsed(self, history: dict[str, Any]) -> bool:
        """Whether half of the last steps rested on less than 1 / 200 of the draws."""
        return self._share(history) < TOO_FEW

    def warnings(self, history: dict[str, Any]) -> list[str]:
        """Says so when the loss rested on a few draws."""
        share = self._share(history)
        if share >= FEW:
            return []
        return [
            f"{type(self).__name__}: the importance weights had an effective size of {100 * share:.2g} % of the draws "
            "(median): the gradient followed a few of them and is biased. Raise num_draws, take a richer guide, or "
            "begin at a wider q with vi.gradient(..., start=...)."
        ]

    def _share(self, history: dict[str, Any]) -> float:
        """The effective share of the draws, where the estimator rests on weights."""
        counts = self.estimator.rests_on_weights and len(history["ess"]) > 0
        return float(np.median(history["ess"])) if counts else 1.0

    def check(self, guide: Guide, dim: Any) -> None:
        """The estimator must be valid for this loss over the guide."""
        check_pair(self.estimator, self.shape, guide, type(self).__name__)


def facts(estimate: Estimate, power: float = 1.0) -> dict[str, Scalar]:
    """What every objective of log weights tells the history."""
    return {"elbo": estimate.elbo, "ess": estimate.ess(power)}


def mean(values: LogWeights, log_shares: LogWeights) -> Scalar:
    """sum_i exp(log_shares_i) values_i; what does not count may be infinite."""
    counts = log_shares > -jnp.inf
    return jnp.sum(jnp.where(counts, jnp.exp(log_shares) * jnp.where(counts, values, 0.0), 0.0))


def check_estimator(estimator: Any) -> None:
    """Raises TypeError unless it is an estimator."""
    check_instance(estimator, Estimator, "estimator", "Use one of vi.estimators, such as reparameterised.")
