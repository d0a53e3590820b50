"""The prior of a linear Gaussian chain of states, as a NumPyro distribution."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.transforms import RecursiveLinearTransform


class LinearGaussianPath(dist.Distribution):
    """x_1 ~ N(m, P P'), x_t | x_(t-1) ~ N(F x_(t-1), Q Q'): an array of shape (num_steps, d).

    NumPyro's GaussianStateSpace has no distribution of its own for x_1, and its density goes through the steps in turn.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "transition": constraints.real_matrix,
        "transition_root": constraints.lower_cholesky,
        "initial_mean": constraints.real_vector,
        "initial_root": constraints.lower_cholesky,
    }
    support = constraints.real_matrix
    pytree_data_fields = ("transition", "transition_root", "initial_mean", "initial_root")
    pytree_aux_fields = ("num_steps",)

    def __init__(
        self, num_steps: int, transition: Any, transition_root: Any, initial_mean: Any, initial_root: Any
    ) -> None:
        self.num_steps = num_steps
        self.transition, self.transition_root = transition, transition_root  # F, Q
        self.initial_mean, self.initial_root = initial_mean, initial_root  # m, P
        super().__init__(event_shape=(num_steps, jnp.shape(initial_mean)[-1]))

    def log_prob(self, value: Any) -> Any:
        first = dist.MultivariateNormal(self.initial_mean, scale_tril=self.initial_root).log_prob(value[..., 0, :])
        if self.num_steps == 1:
            return first
        later = dist.MultivariateNormal(value[..., :-1, :] @ self.transition.T, scale_tril=self.transition_root)
        return first + later.log_prob(value[..., 1:, :]).sum(-1)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> Any:
        noise = jax.random.normal(key, (*sample_shape, *self.event_shape))
        first = self.initial_mean + noise[..., :1, :] @ self.initial_root.T
        steps = jnp.concatenate([first, noise[..., 1:, :] @ self.transition_root.T], axis=-2)
        return RecursiveLinearTransform(self.transition)(steps)
