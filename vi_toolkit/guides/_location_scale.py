"""The distribution of z = m + L t, for standard distributions of t and factors L that NumPyro has no name for."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import gammaln
from jaxtyping import Array
from numpyro.distributions import constraints

from vi_toolkit._types import Key
from vi_toolkit.guides._factors import Factor


class Standard(Protocol):
    """A distribution of t on R^dim about zero, with uncorrelated coordinates; vectors lie on the last axis."""

    def log_prob(self, t: Array) -> Array:
        """The log density of t, (...), in nats."""
        ...

    def sample(self, key: Key, shape: tuple[int, ...], dtype: Any) -> Array:
        """Draws of t, the last axis of the shape being that of the vectors."""
        ...

    @property
    def mean(self) -> Array:
        """E[t_i], with the shape of the parameters."""
        ...

    @property
    def variance(self) -> Array:
        """Var[t_i], with the shape of the parameters."""
        ...

    def entropy(self, dim: int) -> Array:
        """In nats; NotImplementedError where it has no closed form."""
        ...


class StandardNormal(NamedTuple):
    """t ~ N(0, I)."""

    def log_prob(self, t: Array) -> Array:
        return -0.5 * (t**2).sum(-1) - 0.5 * t.shape[-1] * jnp.log(2 * jnp.pi)

    def sample(self, key: Key, shape: tuple[int, ...], dtype: Any) -> Array:
        return jax.random.normal(key, shape, dtype)

    @property
    def mean(self) -> Array:
        return jnp.zeros(())

    @property
    def variance(self) -> Array:
        return jnp.ones(())

    def entropy(self, dim: int) -> Array:
        return 0.5 * dim * (1 + jnp.log(2 * jnp.pi))


class SphericalT(NamedTuple):
    """t = e sqrt(nu / c) with e ~ N(0, I) and one c ~ chi^2_nu: uncorrelated, and not independent.

    log p(t) = log G((nu + d) / 2) - log G(nu / 2) - (d/2) log(nu pi) - ((nu + d) / 2) log(1 + |t|^2 / nu)
    """

    degrees_of_freedom: Array

    def log_prob(self, t: Array) -> Array:
        nu, dim = self.degrees_of_freedom, t.shape[-1]
        constant = gammaln((nu + dim) / 2) - gammaln(nu / 2) - 0.5 * dim * jnp.log(nu * jnp.pi)
        return constant - 0.5 * (nu + dim) * jnp.log1p((t**2).sum(-1) / nu)

    def sample(self, key: Key, shape: tuple[int, ...], dtype: Any) -> Array:
        key_normal, key_spread = jax.random.split(key)
        nu = jnp.broadcast_to(self.degrees_of_freedom, shape[:-1])
        return jax.random.normal(key_normal, shape, dtype) * jnp.sqrt(nu / dist.Chi2(nu).sample(key_spread))[..., None]

    @property
    def mean(self) -> Array:
        return jnp.where(self.degrees_of_freedom > 1, 0.0, jnp.inf)[..., None]  # inf where there is none, as in SciPy

    @property
    def variance(self) -> Array:
        nu = self.degrees_of_freedom
        return jnp.where(nu > 2, nu / (nu - 2), jnp.where(nu > 1, jnp.inf, jnp.nan))[..., None]

    def entropy(self, dim: int) -> Array:
        raise NotImplementedError


class LocationScale(dist.Distribution):
    """z = m + L t with t of a standard distribution: log q(z) = log p(L^-1 (z - m)) - log |det L|."""

    arg_constraints: ClassVar[dict[str, Any]] = {"location": constraints.real_vector}
    support = constraints.real_vector
    reparametrized_params: ClassVar[list[str]] = ["location"]
    pytree_data_fields = ("location", "factor", "standard")

    def __init__(self, location: Array, factor: Factor, standard: Standard) -> None:
        self.location, self.factor, self.standard = location, factor, standard
        super().__init__(location.shape[:-1], location.shape[-1:], validate_args=False)

    def log_prob(self, value: Any) -> Array:
        return self.standard.log_prob(self.factor.solve(value - self.location)) - self.factor.log_determinant

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        t = self.standard.sample(key, self.shape(sample_shape), self.location.dtype)
        return self.location + self.factor.times(t)

    @property
    def mean(self) -> Array:
        return self.location + self.factor.times(jnp.broadcast_to(self.standard.mean, self.shape()))

    @property
    def variance(self) -> Array:
        return self.factor.variances(jnp.broadcast_to(self.standard.variance, self.shape()))

    @property
    def covariance_matrix(self) -> Array:
        """L diag(Var[t]) L^T."""
        L, variance = self.factor.matrix(), jnp.broadcast_to(self.standard.variance, self.shape())
        return L * variance[..., None, :] @ jnp.swapaxes(L, -1, -2)

    def entropy(self) -> Array:
        return self.standard.entropy(self.event_shape[0]) + self.factor.log_determinant
