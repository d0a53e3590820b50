"""Reverse KL: minus the ELBO."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from jax.tree_util import register_dataclass

from vi_toolkit._types import Density, Key, Params, Scalar
from vi_toolkit.estimators import Estimator, stick_the_landing
from vi_toolkit.guides import Guide
from vi_toolkit.objectives.objective import Objective


@partial(register_dataclass, data_fields=[], meta_fields=["estimator"])
@dataclass(frozen=True)
class ReverseKL(Objective):
    """D_KL(q || p) = log Z - ELBO(q), minimised by its part that depends on q.

        loss = -ELBO(q) = -E_q[log p~(z) - log q(z)]        (nats)

    It is mode-seeking: where p is small, q must be small. Its minimiser does not depend on the evidence Z.

    Args:
        estimator: how the gradient is estimated: `vi.estimators.stick_the_landing` (the default, whose noise
            vanishes at q = p), `reparameterised`, or `closed_form_entropy`.

    Raises:
        TypeError: if ``estimator`` is not callable.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
        >>> guide, params = vi.MeanFieldNormal(), {"location": jnp.zeros(1), "log_scale": jnp.zeros(1)}
        >>> loss, _ = vi.ReverseKL().loss(jax.random.key(0), params, guide, target, 4)
        >>> round(float(loss), 4)  # log Z = log(2 pi) / 2, and q = p: no noise at all
        -0.9189

    Source: Jordan et al. (1999), An introduction to variational methods for graphical models,
    doi:10.1023/A:1007665907178.
    """

    estimator: Estimator = stick_the_landing

    def __post_init__(self) -> None:
        if not callable(self.estimator):
            raise TypeError(
                f"estimator: expected a function such as vi.estimators.reparameterised, got {self.estimator!r}."
            )

    @property
    def tracked(self) -> tuple[str, ...]:
        """The ELBO."""
        return ("elbo",)

    def loss(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """Minus the ELBO estimated with ``num_draws`` draws of q."""
        elbo = self.estimator(key, params, guide, target, num_draws).elbo
        return -elbo, {"elbo": elbo}

    def gradients_per_step(self, num_draws: int) -> float:
        """One gradient a draw."""
        return float(num_draws)
