"""The chi divergences, through upper bounds on the log evidence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from jax.tree_util import register_dataclass

from vi_toolkit._types import LogWeights, Scalar
from vi_toolkit.estimators import Estimator, Shape, defensive
from vi_toolkit.objectives.log_weights import LogWeightObjective, check_estimator
from vi_toolkit.objectives.renyi import check_order, log_power_mean


@partial(register_dataclass, data_fields=[], meta_fields=["order", "estimator"])
@dataclass(frozen=True)
class Chi(LogWeightObjective):
    """The chi divergence of p from q of order n, through CUBO_n, an upper bound on log Z.

        loss = CUBO_n(q) = 1 / n log E_q[(p~(z) / q(z))^n] >= log Z        (nats)

    For n = 2 it is log Z + log(1 + chi^2(p || q)) / 2. It is mass-covering, more so the larger n, and infinite where
    the tails of q are lighter than p's by too much. Its minimiser does not depend on Z. It is Renyi's divergence of
    order 1 - n.

    The logarithm of a mean is biased downwards by O(1 / num_draws), and so is its gradient; everything is computed in
    logs, so that no weight overflows.

    Args:
        order: n > 1.
        estimator: by default `vi.estimators.defensive`: draws of q itself hardly ever meet the weights that count
            while q is too narrow.

    Raises:
        TypeError: if ``order`` is not a number or ``estimator`` not one of `vi.estimators`.
        ValueError: if ``order`` is not above 1.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
        >>> guide, params = vi.MeanFieldNormal(), {"location": jnp.zeros(1), "log_scale": jnp.zeros(1)}
        >>> loss, _ = vi.Chi(2).loss(jax.random.key(0), params, guide, target, 64)
        >>> round(float(loss), 4)  # q = p: log Z
        0.9189

    Source: Dieng, Tran, Ranganath, Paisley & Blei (2017), Variational inference via chi upper bound minimization,
    arXiv:1611.00328.
    """

    order: float | int = 2.0
    estimator: Estimator = defensive

    num_draws: ClassVar[int] = 1024

    def __post_init__(self) -> None:
        if not check_order(self.order, "order") > 1:
            raise ValueError(
                f"order: expected a number above 1, got {self.order}. Orders below are vi.Renyi(1 - order)."
            )
        check_estimator(self.estimator)

    @property
    def shape(self) -> Shape:
        """A function of all the draws."""
        return Shape(linear=False, smooth=True, group=None)

    @property
    def power(self) -> float:
        """The order n."""
        return float(self.order)

    def of(self, log_weights: LogWeights, log_shares: LogWeights) -> Scalar:
        """1 / n log of the mean of w^n."""
        return log_power_mean(log_weights, log_shares, self.power)
