"""Renyi's divergences of every order, and bounds from several draws."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import numpy as np
from jax.tree_util import register_dataclass

from vi_toolkit._checks import check_positive_int, describe
from vi_toolkit._types import LogWeights, Scalar
from vi_toolkit.estimators import Estimator, Shape, defensive, doubly_reparameterised
from vi_toolkit.objectives.log_weights import LogWeightObjective, check_estimator


def log_power_mean(log_weights: LogWeights, log_shares: LogWeights, power: float) -> Scalar:
    """(1 / power) log of the mean of w^power, in logs throughout."""
    return jax.nn.logsumexp(power * log_weights + log_shares) / power


@partial(register_dataclass, data_fields=[], meta_fields=["alpha", "num_importance", "estimator"])
@dataclass(frozen=True)
class Renyi(LogWeightObjective):
    """Renyi's divergence of order alpha, through the variational Renyi bound L_alpha.

        L_alpha(q) = 1 / (1 - alpha) log E_q[w^(1 - alpha)],    w = p~(z) / q(z)        (nats)

    L_alpha is log Z - D_alpha(q || p): for alpha > 0 a lower bound on log Z, tighter the smaller alpha, and loss is
    -L_alpha. For alpha < 0 it is an upper bound, and loss = L_alpha. alpha -> 1 is the ELBO, 0 < alpha < 1 bridges
    from covering mass (near 0) to seeking a mode (alpha > 1 more than reverse KL), alpha = -1 is chi-square.
    Minimisers do not depend on Z.

    By default the expectation is taken over all the draws of a step. The logarithm of a mean is then biased by
    O(1 / num_draws), as is its gradient. With ``num_importance`` = K the loss is the expected bound of K draws,
    -E[1 / (1 - alpha) log (1/K) sum_k w_k^(1 - alpha)], whose gradient is unbiased, and whose minimiser is another one.

    Args:
        alpha: any order but 1. 0 needs ``num_importance``: it is `IWAE` then.
        num_importance: draws of one bound; None takes all the draws of a step.
        estimator: how the gradient is estimated; by default `vi.estimators.doubly_reparameterised` for alpha between 0
            and 1 and for groups of draws, and `vi.estimators.defensive` elsewhere, where a few draws in the tails of p
            or of q count most.

    Raises:
        TypeError: if ``alpha`` is not a number or ``estimator`` not one of `vi.estimators`.
        ValueError: if ``alpha`` is 1 or not finite, or 0 without ``num_importance``.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
        >>> guide, params = vi.MeanFieldNormal(), {"location": jnp.zeros(1), "log_scale": jnp.zeros(1)}
        >>> loss, _ = vi.Renyi(0.5).loss(jax.random.key(0), params, guide, target, 4)
        >>> round(float(loss), 4)  # q = p: minus log Z
        -0.9189

    Source: Li & Turner (2016), Renyi divergence variational inference, arXiv:1602.02311.
    """

    alpha: float | int
    num_importance: int | None = None
    estimator: Estimator | None = None  # type: ignore[assignment]

    num_draws: ClassVar[int] = 256

    def __post_init__(self) -> None:
        check_order(self.alpha, "alpha")
        if self.alpha == 1:
            raise ValueError("alpha: the divergence of order 1 is reverse KL. Use vi.ReverseKL().")
        if self.num_importance is not None:
            check_positive_int(self.num_importance, "num_importance")
        elif self.alpha == 0:
            raise ValueError(
                "alpha: at order 0 the bound of all draws is log Z whatever q is. Use vi.IWAE(num_importance)."
            )
        if self.estimator is None:
            steep = not 0 < self.alpha < 1 and self.num_importance is None
            object.__setattr__(self, "estimator", defensive if steep else doubly_reparameterised)
        check_estimator(self.estimator)

    @property
    def shape(self) -> Shape:
        """A function of all the draws, or of ``num_importance`` of them."""
        return Shape(linear=False, smooth=True, group=self.num_importance)

    @property
    def power(self) -> float:
        """1 - alpha."""
        return 1.0 - self.alpha

    def of(self, log_weights: LogWeights, log_shares: LogWeights) -> Scalar:
        """Minus the bound from below, or the bound from above."""
        bound = log_power_mean(log_weights, log_shares, self.power)
        return bound if self.alpha < 0 else -bound


@partial(register_dataclass, data_fields=[], meta_fields=["num_importance", "estimator"])
@dataclass(frozen=True)
class IWAE(LogWeightObjective):
    """The importance-weighted bound from K draws, a lower bound on log Z that grows with K.

        loss = -E_{z_1..z_K ~ q} log (1/K) sum_k p~(z_k) / q(z_k)        (nats)

    One draw is the ELBO. With many, q becomes a good proposal for importance sampling rather than a good
    approximation: its minimiser is wider than that of reverse KL, and tends to that of the chi-square divergence
    D_chi2(p || q). The minimiser does not depend on Z. Unbiased in value and gradient.

    Args:
        num_importance: K, the draws of one bound. A step takes ``num_draws`` draws in all, so num_draws // K bounds.
        estimator: by default `vi.estimators.doubly_reparameterised`, whose signal does not vanish as K grows.

    Raises:
        TypeError, ValueError: if ``num_importance`` is not a whole number of at least 1, or ``estimator`` is not one.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -jnp.sum(jnp.abs(z)), dim=1)  # log Z = log 2
        >>> guide, params = vi.MeanFieldNormal(), {"location": jnp.zeros(1), "log_scale": jnp.zeros(1)}
        >>> loss = lambda k: float(vi.IWAE(k).loss(jax.random.key(0), params, guide, target, 8192)[0])
        >>> bool(-loss(1) < -loss(64) < 0.6931)
        True

    Source: Burda, Grosse & Salakhutdinov (2016), Importance weighted autoencoders, arXiv:1509.00519; Rainforth et al.
    (2018), Tighter variational bounds are not necessarily better, arXiv:1802.04537.
    """

    num_importance: int
    estimator: Estimator = doubly_reparameterised

    num_draws: ClassVar[int] = 256

    def __post_init__(self) -> None:
        check_positive_int(self.num_importance, "num_importance")
        check_estimator(self.estimator)

    @property
    def shape(self) -> Shape:
        """A function of ``num_importance`` draws."""
        return Shape(linear=False, smooth=True, group=self.num_importance)

    def of(self, log_weights: LogWeights, log_shares: LogWeights) -> Scalar:
        """Minus the logarithm of the mean weight."""
        return -log_power_mean(log_weights, log_shares, 1.0)


def check_order(value: object, name: str) -> float:
    """Raises unless it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: expected a number, got {describe(value)}.")
    if not np.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {value}.")
    return float(value)
