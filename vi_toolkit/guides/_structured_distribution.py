"""A normal distribution made of conditional normals, site by site."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.distributions import constraints

LOG_TWO_PI = math.log(2.0 * math.pi)


class StructuredNormalDistribution(dist.Distribution):
    """The normal distribution of a `StructuredNormal` at given parameters."""

    support = constraints.real_vector
    pytree_data_fields = ("params",)
    pytree_aux_fields = ("guide",)

    def __init__(self, guide: Any, params: Any) -> None:
        self.guide, self.params = guide, params
        super().__init__((), params["location"].shape[-1:], validate_args=False)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws, site by site."""
        noise = dist.Normal(jnp.zeros_like(self.params["location"]), 1.0).sample(key, sample_shape)
        points: Array = self.guide.push(self.params, noise)
        return points

    def log_prob(self, value: Any) -> Array:
        """log q(z): the noise behind z is standard normal, and |det de/dz| = prod_i 1 / s_i."""
        noise = self.guide.pull(self.params, value)
        return -0.5 * jnp.sum(noise**2 + LOG_TWO_PI, -1) - jnp.sum(self.params["log_scale"])

    def entropy(self) -> Array:
        """Of the conditional normals together: the map from the noise is triangular."""
        return jnp.sum(self.params["log_scale"] + 0.5 * (LOG_TWO_PI + 1.0))

    @property
    def mean(self) -> Array:
        """The location."""
        return jnp.asarray(self.params["location"])

    @property
    def variance(self) -> Array:
        """The diagonal of the covariance matrix."""
        return jnp.sum(self._factor() ** 2, axis=0)

    @property
    def covariance_matrix(self) -> Array:
        """The covariances of all coordinates, (dim, dim)."""
        factor = self._factor()
        return factor.T @ factor

    def _factor(self) -> Array:
        """The matrix whose row i is what a unit of noise in coordinate i moves."""
        location = self.params["location"]
        rows: Array = self.guide.push(self.params, jnp.eye(len(location), dtype=location.dtype))
        return rows - location
