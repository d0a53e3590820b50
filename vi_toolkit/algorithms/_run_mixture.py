"""A weighted mixture of the approximations that one method gives for several parameters."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array

from vi_toolkit._types import Params
from vi_toolkit.algorithms._stacking import RunValues
from vi_toolkit.guides.mixture import COMPONENTS


class Approximates(Protocol):
    """What is asked of a method: the distribution that its parameters stand for."""

    def posterior(self, params: Params) -> dist.Distribution: ...


class RunMixture(dist.Distribution):
    """q(z) = sum_k w_k q_k(z), q_k being the method's approximation at the k-th parameters."""

    arg_constraints: ClassVar[dict[str, Any]] = {}
    reparametrized_params: ClassVar[list[str]] = []
    pytree_data_fields = ("method", "components", "log_weights")

    def __init__(self, method: Approximates, components: Params, log_weights: RunValues) -> None:
        self.method, self.components, self.log_weights = method, components, log_weights
        shape = jax.eval_shape(method.posterior, _one(components, 0)).event_shape
        dist.Distribution.__init__(self, (), shape, validate_args=False)

    @property
    def support(self) -> Any:
        """That of the runs."""
        return self.method.posterior(_one(self.components, 0)).support

    def log_prob(self, value: Any) -> Array:
        logs = jax.vmap(lambda params: self.method.posterior(params).log_prob(value))(self.components)
        weights = jax.nn.log_softmax(self.log_weights).reshape(-1, *(1,) * (logs.ndim - 1))
        return jax.nn.logsumexp(weights + logs, axis=0)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        key_which, key_draw = jax.random.split(key)
        which = jax.random.categorical(key_which, self.log_weights, shape=sample_shape)
        keys = jax.random.split(key_draw, len(self.log_weights))
        draws = jax.vmap(lambda params, key: self.method.posterior(params).sample(key, sample_shape))(
            self.components, keys
        )
        return jnp.take_along_axis(draws, which[None, ..., None], axis=0)[0]

    @property
    def mean(self) -> Array:
        return jax.nn.softmax(self.log_weights) @ self._means()

    @property
    def variance(self) -> Array:
        weights = jax.nn.softmax(self.log_weights)
        within = jax.vmap(lambda params: self.method.posterior(params).variance)(self.components)
        return weights @ (within + (self._means() - self.mean) ** 2)

    def _means(self) -> Array:
        return jax.vmap(lambda params: self.method.posterior(params).mean)(self.components)


def run_mixture(method: Approximates, components: Params, log_weights: RunValues) -> dist.Distribution:
    """The mixture as NumPyro's own where the runs are normals, or of a family whose parameters may have an axis."""
    weights = dist.Categorical(logits=log_weights, validate_args=False)
    one = jax.eval_shape(method.posterior, _one(components, 0))
    if type(one) is dist.MultivariateNormal:

        def normal(params: Params) -> tuple[Array, Array]:
            q: Any = method.posterior(params)
            return q.loc, q.scale_tril

        location, scale_tril = jax.vmap(normal)(components)
        family = dist.MultivariateNormal(location, scale_tril=scale_tril, validate_args=False)
        return dist.MixtureSameFamily(weights, family, validate_args=False)
    if isinstance(getattr(method, "guide", None), COMPONENTS):
        together = method.posterior(components)
        if together.batch_shape == log_weights.shape and together.event_shape == one.event_shape:
            return dist.MixtureSameFamily(weights, together, validate_args=False)
    return RunMixture(method, components, log_weights)


def leading(params: Params) -> Params:
    """The parameters of the run with the largest weight."""
    return _one(params["runs"], jnp.argmax(jnp.asarray(params["log_weights"])))


def _one(components: Params, index: Any) -> Params:
    return jax.tree.map(lambda leaf: leaf[index], components)
