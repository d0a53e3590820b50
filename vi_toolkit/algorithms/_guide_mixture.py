"""An equally weighted mixture of any guide's distributions, in coordinates placed by a centre and a scale."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.distributions import constraints

from vi_toolkit._types import Params, Vector
from vi_toolkit.guides import Guide


class GuideMixture(dist.Distribution):
    """z = centre + scale * x with x of q(x) = (1/m) sum_k q_k(x), q_k being the guide at the k-th parameters."""

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector
    reparametrized_params: ClassVar[list[str]] = []
    pytree_data_fields = ("components", "centre", "scale")
    pytree_aux_fields = ("guide",)

    def __init__(self, guide: Guide, components: Params, centre: Vector, scale: Vector) -> None:
        self.guide, self.components, self.centre, self.scale = guide, components, centre, scale
        dist.Distribution.__init__(self, (), centre.shape, validate_args=False)

    @property
    def num_components(self) -> int:
        return len(jax.tree.leaves(self.components)[0])

    def log_prob(self, value: Any) -> Array:
        x = (value - self.centre) / self.scale
        logs = jax.vmap(lambda params: self.guide.distribution(params).log_prob(x))(self.components)
        return jax.nn.logsumexp(logs, axis=0) - jnp.log(self.num_components) - jnp.sum(jnp.log(self.scale))

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        key_which, key_draw = jax.random.split(key)
        which = jax.random.randint(key_which, sample_shape, 0, self.num_components)
        keys = jax.random.split(key_draw, self.num_components)
        draws = jax.vmap(lambda params, key: self.guide.distribution(params).sample(key, sample_shape))(
            self.components, keys
        )
        return self.centre + self.scale * jnp.take_along_axis(draws, which[None, ..., None], axis=0)[0]

    @property
    def mean(self) -> Array:
        return self.centre + self.scale * self._means().mean(axis=0)

    @property
    def variance(self) -> Array:
        within = jax.vmap(lambda params: self.guide.distribution(params).variance)(self.components)
        return self.scale**2 * (within.mean(axis=0) + jnp.var(self._means(), axis=0))

    def _means(self) -> Array:
        return jax.vmap(lambda params: self.guide.distribution(params).mean)(self.components)
