"""A flow's bijection as a NumPyro transform, and the distribution it makes of normal noise."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.distributions import constraints
from numpyro.distributions.transforms import Transform


class FlowTransform(Transform):
    """e -> f(e): a pytree whose leaves are the flow's arrays, so that it can cross jit and be pickled."""

    domain = constraints.real_vector
    codomain = constraints.real_vector

    def __init__(self, flow: Any, arrays: Any) -> None:
        self.flow = flow
        self.arrays = arrays

    def __call__(self, x: Array) -> Array:
        return self.call_with_intermediates(x)[0]

    def _inverse(self, y: Array) -> Array:
        return self.inverse_and_log_det(y)[0]

    def call_with_intermediates(self, x: Array) -> tuple[Array, Array]:
        """f(e) and log |det f'(e)|, from one pass."""
        return through(self.flow, self.arrays, x, self.flow.samples_cheaply)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """The noise of a point, and log |det| of the inverse, from one pass."""
        return through(self.flow, self.arrays, y, not self.flow.samples_cheaply)

    def log_abs_det_jacobian(self, x: Array, y: Array, intermediates: Array | None = None) -> Array:
        if intermediates is not None:
            return intermediates
        return self.call_with_intermediates(x)[1] if self.flow.samples_cheaply else -self.inverse_and_log_det(y)[1]

    def tree_flatten(self) -> Any:
        return (self.arrays,), (("arrays",), {"flow": self.flow})

    def eq(self, other: object, static: bool = False) -> Any:
        if not isinstance(other, FlowTransform) or self.flow != other.flow:
            return False
        return all(a is b for a, b in zip(self.arrays, other.arrays, strict=True))


class FlowDistribution(dist.TransformedDistribution):
    """Normal noise under a flow and an affine map; a point is scored by one pass through the layers."""

    def log_prob(self, value: Array, intermediates: Any = None) -> Array:
        """log N(e; 0, I) + log |det de/dz| at the noise e of the point z."""
        if intermediates is not None:
            return dist.TransformedDistribution.log_prob(self, value, intermediates)
        flow, placed = self.transforms
        bent = placed.inv(value)
        noise, log_det = flow.inverse_and_log_det(bent)
        return self.base_dist.log_prob(noise) + log_det - placed.log_abs_det_jacobian(bent, value)


@partial(jax.jit, static_argnums=(0, 3))
def through(flow: Any, arrays: Any, points: Array, cheaply: bool) -> tuple[Array, Array]:
    """Points (..., dim) through the flow's bijection in its cheap direction or the other, and log |det|.

    Compiled, since a bijection run piece by piece from a notebook costs seconds.
    """
    bijection = flow.bijection(arrays, points.shape[-1])
    one = bijection.transform_and_log_det if cheaply else bijection.inverse_and_log_det
    return jnp.vectorize(lambda point: one(point), signature="(d)->(d),()")(points)
