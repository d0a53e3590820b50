"""Independent normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float

from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params, Vector
from vi_toolkit.guides._factors import Diagonal
from vi_toolkit.guides.guide import Guide, GuideDraws, equally_weighted, normal_noise, rate_in_own_scale
from vi_toolkit.guides.noise import Noise


@dataclass(frozen=True)
class MeanFieldNormal(Guide):
    """q(z) = prod_i N(z_i; m_i, s_i^2): a normal with independent coordinates.

    Parameters are ``location`` m (dim,) and ``log_scale`` log s (dim,). It cannot represent correlation: on a
    normal posterior with precision matrix P its reverse-KL optimum has s_i^2 = 1 / P_ii, never more than the
    marginal variance, and its forward-KL optimum has the marginal variances.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> params = {"location": jnp.zeros(2), "log_scale": jnp.zeros(2)}
        >>> vi.MeanFieldNormal().distribution(params).event_shape
        (2,)

    Source: Bishop (2006), Pattern Recognition and Machine Learning, section 10.1.2.
    """

    diagonal: ClassVar[bool] = True  # whether the covariance is

    def learning_rate(self, dim: int) -> float:
        """In units of the present scale."""
        return rate_in_own_scale(dim)

    def init(self, key: Key, start: Start) -> Params:
        """Centred at the start, with its conditional standard deviations."""
        return {"location": start.location, "log_scale": jnp.log(start.scale)}

    def of_normal(self, location: Vector, factor: Float[Array, "dim dim"]) -> Params:
        """The parameters of N(location, factor factor^T) with its correlations left out."""
        return {"location": location, "log_scale": jnp.log(jnp.linalg.norm(factor, axis=-1))}

    def factor(self, params: Params) -> Diagonal:
        """diag(s)."""
        return Diagonal(jnp.exp(params["log_scale"]))

    def distribution(self, params: Params) -> dist.Distribution:
        """The independent normals as one distribution with event_shape (dim,)."""
        normals = dist.Normal(params["location"], jnp.exp(params["log_scale"]), validate_args=False)
        return dist.Independent(normals, 1, validate_args=False)

    def draw(self, key: Key, params: Params, num_draws: int, noise: Noise | None = None) -> GuideDraws:
        """m + s e with normal noise e, in mirrored pairs unless told otherwise."""
        e = normal_noise(key, num_draws, params["location"], noise)
        return equally_weighted(params["location"] + jnp.exp(params["log_scale"]) * e)

    def move(self, params: Params, step: Params) -> Params:
        """m + s * step and s * exp(step): the step is counted in present standard deviations."""
        return {
            **params,
            "location": params["location"] + jnp.exp(params["log_scale"]) * step["location"],
            "log_scale": params["log_scale"] + step["log_scale"],
        }
