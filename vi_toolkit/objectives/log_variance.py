"""The variance of the log weights, which is zero only where q is p."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.tree_util import register_dataclass

from vi_toolkit._types import Density, Key, Params, Scalar
from vi_toolkit.estimators import Estimate
from vi_toolkit.guides import Guide
from vi_toolkit.objectives.log_weights import facts
from vi_toolkit.objectives.objective import Objective


@partial(register_dataclass, data_fields=[], meta_fields=[])
@dataclass(frozen=True)
class LogVariance(Objective):
    """Half the variance of the log weights over draws of q that are held fixed (VarGrad).

        loss = Var_r[log p~(z) - log q(z)] / 2,    r = q without gradients        (nats squared)

    Its gradient at r = q is that of reverse KL, estimated by the score of q with the mean of the other draws as the
    baseline of each: so its minimiser over any family is that of reverse KL, and does not depend on the evidence Z,
    which drops out of a variance. It asks for values of log p~ only and for no gradients through draws: it fits
    discrete guides too. Unbiased in value and gradient; at q = p there is no noise.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum((z / 2.0) ** 2), dim=1)
        >>> guide, params = vi.MeanFieldNormal(), {"location": jnp.zeros(1), "log_scale": jnp.log(2.0)[None]}
        >>> loss, _ = vi.LogVariance().loss(jax.random.key(0), params, guide, target, 8)
        >>> bool(loss < 1e-12)  # q = p
        True

    Source: Richter, Boustati, Nüsken, Ruiz & Akyildiz (2020), VarGrad: a low-variance gradient estimator for
    variational inference, arXiv:2010.10436.
    """

    num_draws: ClassVar[int] = 128

    @property
    def tracked(self) -> tuple[str, ...]:
        """The ELBO, and the effective share of the draws by their weights p~/q."""
        return ("elbo", "ess")

    def loss(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """Half the unbiased sample variance of the log weights, of two draws at least."""
        num_draws = max(num_draws, 2)
        q = guide.distribution(params)
        points = jax.lax.stop_gradient(q.sample(key, (num_draws,)))
        log_p = jax.vmap(target.log_density)(points)
        log_weights = log_p - q.log_prob(points)
        loss = 0.5 * jnp.var(log_weights, ddof=1)
        shares = jnp.full_like(log_p, 1.0 / num_draws)
        return loss, facts(Estimate(loss, log_weights[None], shares[None], log_p[None]))

    def gradients_per_step(self, num_draws: int) -> float:
        """Bare densities only."""
        return max(num_draws, 2) / 3

    def check(self, guide: Guide, dim: Any) -> None:
        """The guide must be able to score a given point."""
        if not guide.scores_cheaply:
            raise ValueError(
                f"guide: LogVariance does not go with {guide}, which finds log q at a given point only by a costly "
                "inversion. Use vi.ReverseKL(), which has the same minimiser."
            )
