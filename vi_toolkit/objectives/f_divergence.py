"""f-divergences: any of them from one convex function of the density ratio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass
from jaxtyping import Array

from vi_toolkit._types import Density, Key, LogWeights, Params, Scalar
from vi_toolkit.estimators import Estimate, Estimator, Shape, defensive
from vi_toolkit.guides import Guide
from vi_toolkit.objectives.generators import Generator, as_generator, jensen_shannon
from vi_toolkit.objectives.log_weights import LogWeightObjective, check_estimator, facts, mean

NEWEST = 0.02  # least weight of the newest estimate of the evidence in the running one


@partial(register_dataclass, data_fields=[], meta_fields=["generator", "estimator"])
@dataclass(frozen=True)
class FDivergence(LogWeightObjective):
    """The f-divergence of p and q for a convex function f with f(1) = 0.

        loss = D_f = E_q[f(u)],    u = p(z) / q(z) = p~(z) / (Z q(z))        (nats where f is)

    f = -log u is reverse KL, u log u forward KL; `vi.generators` has these and others, and builds duals and symmetric
    forms. The minimiser depends on the evidence Z, except for the KLs and the power divergences (Pearson,
    Amari): with Z left out, Jensen-Shannon, Jeffreys, Hellinger and total variation have another, wrong minimiser.
    So log Z is estimated and removed: by the mean weight of every step's draws, averaged over steps (the newest
    counts for 2 % at least), with no gradient through it. `loss` by itself, outside a fit, knows its own draws only.
    The estimate of Z leaves a bias of O(1 / num_draws), smaller by the averaging.

    Where the divergence is above 1 its gradient is divided by it, as if its logarithm were minimised: far from p those
    of Pearson's and Neyman's are larger by orders than near it, and an optimiser would never forget the first steps.

    Args:
        generator: f as a function of log u: one of `vi.generators`, or any JAX function, elementwise.
        estimator: how the gradient is estimated; by default `vi.estimators.defensive`, which holds up where q starts
            too narrow. `doubly_reparameterised` suits those that seek a mode.

    Raises:
        TypeError: if ``generator`` is not callable or ``estimator`` not one of `vi.estimators`.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: 7.0 - 0.5 * jnp.sum((z - 2.0) ** 2), dim=1)
        >>> method = vi.gradient(vi.FullRankNormal(), vi.FDivergence(vi.generators.hellinger))
        >>> fit = vi.fit(jax.random.key(0), target, method)
        >>> round(float(fit.posterior.mean[0]), 2), round(float(fit.posterior.variance[0]), 2)
        (2.0, 1.0)

    Source: Ali & Silvey (1966), A general class of coefficients of divergence of one distribution from another,
    doi:10.1111/j.2517-6161.1966.tb00626.x; Wan, Li & Hovakimyan (2020), f-divergence variational inference,
    arXiv:2009.13093.
    """

    generator: Generator | Callable[[Array], Array]
    estimator: Estimator = defensive

    num_draws: ClassVar[int] = 512

    def __post_init__(self) -> None:
        as_generator(self.generator)
        check_estimator(self.estimator)

    @property
    def shape(self) -> Shape:
        """A function of all the draws, which share the estimate of the evidence."""
        return Shape(linear=False, smooth=as_generator(self.generator).smooth, group=None)

    def of(self, log_weights: LogWeights, log_shares: LogWeights) -> Scalar:
        """The mean of f(u), with the evidence by these draws alone."""
        return self.of_normalised(_log_evidence(log_weights, log_shares), log_weights, log_shares)

    def of_normalised(self, log_evidence: Scalar, log_weights: LogWeights, log_shares: LogWeights) -> Scalar:
        """The mean of f(u), where log Z is known."""
        # u itself is needed here; where its cube overflows it no longer counts how large it is
        most = float(np.log(np.finfo(log_weights.dtype).max)) / 3
        return mean(self.generator(jnp.clip(log_weights - log_evidence, -most, most)), log_shares)

    @property
    def tracked(self) -> tuple[str, ...]:
        """The ELBO, the effective share of the draws, and the running estimate of the log evidence."""
        return ("elbo", "ess", "log_evidence")

    def loss(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """The divergence, with the evidence by these draws alone."""
        estimate = self.estimator.estimate(self.of, self.shape, key, params, guide, target, num_draws)
        return _tamed(estimate.loss), facts(estimate) | {"log_evidence": _by_all(estimate)}

    def begin(self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> tuple[Scalar, Scalar]:
        """The running estimate of log Z, and the number of steps in it: nothing yet."""
        zero = jnp.zeros((), jnp.result_type(float))
        return zero, zero

    def loss_with_memory(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int, memory: tuple[Scalar, Scalar]
    ) -> tuple[Scalar, dict[str, Scalar], tuple[Scalar, Scalar]]:
        """The divergence, with the evidence by this step's draws and those before."""
        before, steps = memory

        def running(newest: Scalar) -> Scalar:
            share = jnp.maximum(1.0 / (steps + 1.0), NEWEST)
            old = jnp.where(steps > 0, before + jnp.log1p(-jnp.minimum(share, 0.5)), -jnp.inf)
            return jnp.logaddexp(old, newest + jnp.where(steps > 0, jnp.log(jnp.minimum(share, 0.5)), 0.0))

        def of(log_weights: LogWeights, log_shares: LogWeights) -> Scalar:
            return self.of_normalised(running(_log_evidence(log_weights, log_shares)), log_weights, log_shares)

        estimate = self.estimator.estimate(of, self.shape, key, params, guide, target, num_draws)
        now = running(_by_all(estimate))
        return _tamed(estimate.loss), facts(estimate) | {"log_evidence": now}, (now, steps + 1)


def JensenShannon(skew: float | int = 0.5, estimator: Estimator = defensive) -> FDivergence:
    """The Jensen-Shannon divergence s D(p‖m) + (1 - s) D(q‖m), m = s p + (1 - s) q: an `FDivergence`.

    Bounded by log 2 at s = 1/2; between forward KL (s near 0) and reverse KL (s near 1). Its minimiser depends on the
    evidence, which is estimated and removed.

    Args:
        skew: s, between 0 and 1.
        estimator: how the gradient is estimated.

    Raises:
        TypeError, ValueError: if ``skew`` is not a number between 0 and 1.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.JensenShannon() == vi.FDivergence(vi.generators.jensen_shannon(0.5))
        True

    Source: Lin (1991), Divergence measures based on the Shannon entropy, doi:10.1109/18.61115.
    """
    return FDivergence(jensen_shannon(skew), estimator)


def _tamed(loss: Scalar) -> Scalar:
    """The loss, its gradient divided by it where it is above 1."""
    value = jax.lax.stop_gradient(loss)
    return value + (loss - value) / jnp.maximum(value, 1.0)


def _log_evidence(log_weights: LogWeights, log_shares: LogWeights) -> Scalar:
    return jax.lax.stop_gradient(jax.nn.logsumexp(log_weights + log_shares))


def _by_all(estimate: Estimate) -> Any:
    log_shares = jnp.log(estimate.weights / len(estimate.weights))
    return _log_evidence(estimate.log_weights.reshape(-1), log_shares.reshape(-1))
