"""A multivariate normal with any covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float

from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params, Vector
from vi_toolkit.guides._factors import Triangular
from vi_toolkit.guides.guide import Guide, GuideDraws, equally_weighted, normal_noise, rate_in_own_scale
from vi_toolkit.guides.noise import Noise


@dataclass(frozen=True)
class FullRankNormal(Guide):
    """q(z) = N(z; m, L L^T): a normal with any mean and covariance.

    Parameters are ``location`` m (dim,), ``log_diagonal`` (dim,), the log of L's diagonal, and ``lower``
    (dim, dim), of which the part below the diagonal is L's.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> params = {"location": jnp.zeros(2), "log_diagonal": jnp.zeros(2), "lower": jnp.zeros((2, 2))}
        >>> vi.FullRankNormal().distribution(params).variance
        Array([1., 1.], dtype=float64)

    Source: Kucukelbir et al. (2017), Automatic differentiation variational inference, arXiv:1603.00788.
    """

    diagonal: ClassVar[bool] = False  # whether the covariance is

    def learning_rate(self, dim: int) -> float:
        """In units of the present scale, smaller in many dimensions so that L T stays near L."""
        return rate_in_own_scale(dim)

    def init(self, key: Key, start: Start) -> Params:
        """Centred at the start, uncorrelated, with its conditional standard deviations."""
        dim = start.location.shape[0]
        lower = jnp.zeros((dim, dim), start.location.dtype)
        return {"location": start.location, "log_diagonal": jnp.log(start.scale), "lower": lower}

    def of_normal(self, location: Vector, factor: Float[Array, "dim dim"]) -> Params:
        """The parameters of N(location, factor factor^T), for a lower triangular factor."""
        return {"location": location, "log_diagonal": jnp.log(jnp.diagonal(factor)), "lower": jnp.tril(factor, -1)}

    def factor(self, params: Params) -> Triangular:
        """L."""
        return Triangular(scale_tril(params))

    def distribution(self, params: Params) -> dist.Distribution:
        """The normal with scale_tril L."""
        return dist.MultivariateNormal(params["location"], scale_tril=scale_tril(params), validate_args=False)

    def draw(self, key: Key, params: Params, num_draws: int, noise: Noise | None = None) -> GuideDraws:
        """m + L e with normal noise e, in mirrored pairs unless told otherwise."""
        e = normal_noise(key, num_draws, params["location"], noise)
        return equally_weighted(params["location"] + (scale_tril(params) @ e[..., None])[..., 0])

    def move(self, params: Params, step: Params) -> Params:
        """m + L u and L T: the step acts on the standard normal that L scales, so units do not matter."""
        return {**params, **move_affine(params, step)}


def scale_tril(params: Params) -> Float[Array, "... dim dim"]:
    """The Cholesky factor L from its logarithmic diagonal and its lower part."""
    return _triangle(params["lower"], jnp.exp(params["log_diagonal"]))


def move_affine(params: Params, step: Params) -> Params:
    """The affine map z = m + L e followed from the inside: e -> u + T e gives m + L u and L T.

    T is lower triangular with diagonal exp(step), so L T has the diagonal exp(log_diagonal + step).
    """
    factor = scale_tril(params)
    moved = factor @ _triangle(step["lower"], jnp.exp(step["log_diagonal"]))
    return {
        "location": params["location"] + (factor @ step["location"][..., None])[..., 0],
        "log_diagonal": params["log_diagonal"] + step["log_diagonal"],
        "lower": jnp.where(np.tri(moved.shape[-1], k=-1, dtype=bool), moved, 0.0),
    }


def _triangle(lower: Float[Array, "... dim dim"], diagonal: Float[Array, "... dim"]) -> Float[Array, "... dim dim"]:
    # NumPy masks: their jax.numpy kin are computed one by one, each a compiled program of its own
    below, on = np.tri(diagonal.shape[-1], k=-1, dtype=bool), np.eye(diagonal.shape[-1], dtype=bool)
    return jnp.where(below, lower, jnp.where(on, diagonal[..., None], 0.0))
