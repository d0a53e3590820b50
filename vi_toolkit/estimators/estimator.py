"""What an estimator returns: log weights whose gradients are right for the objectives that accept it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from vi_toolkit._types import Density, Key, LogWeights, Params, Scalar
from vi_toolkit.guides import Guide


class WeightedLogWeights(NamedTuple):
    """log p~(z_i) - log q(z_i) at draws z_i of q, and how much each draw counts: E_q f = sum_i weights_i f_i."""

    log_weights: LogWeights
    weights: LogWeights  # non-negative, summing to one

    @property
    def elbo(self) -> Scalar:
        """sum_i weights_i log_weights_i, in nats."""
        return (self.weights * self.log_weights).sum()


class Estimator(Protocol):
    """Where draws of q come from and how gradients flow through them."""

    def __call__(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> WeightedLogWeights: ...
