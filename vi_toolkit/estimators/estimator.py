"""What an estimator returns: log weights whose gradients are right for the objectives that accept it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from vi_toolkit._types import Density, Key, LogWeights, Params, Scalar
from vi_toolkit.guides import Guide


class WeightedLogWeights(NamedTuple):
    """log p~(z_i) - log q(z_i) at draws z_i of q, and how much each draw counts: E_q f = sum_i weights_i f_i.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> float(vi.estimators.WeightedLogWeights(jnp.array([-1.0, -3.0]), jnp.array([0.75, 0.25])).elbo)
        -1.5
    """

    log_weights: LogWeights
    weights: LogWeights  # non-negative, summing to one

    @property
    def elbo(self) -> Scalar:
        """sum_i weights_i log_weights_i, in nats."""
        return (self.weights * self.log_weights).sum()


class Estimator(Protocol):
    """Where draws of q come from and how gradients flow through them.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
        >>> params = {"location": jnp.zeros(1), "log_scale": jnp.zeros(1)}
        >>> key, guide = jax.random.key(0), vi.MeanFieldNormal()
        >>> vi.estimators.reparameterised(key, params, guide, target, 3).log_weights.round(4)  # q = p: all log Z
        Array([0.9189, 0.9189, 0.9189], dtype=float64)
    """

    def __call__(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> WeightedLogWeights: ...
