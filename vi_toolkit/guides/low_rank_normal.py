"""A multivariate normal whose covariance is a diagonal plus a matrix of low rank."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from vi_toolkit._checks import check_positive_int
from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params
from vi_toolkit.guides.guide import Guide, GuideDraws, equally_weighted, normal_noise, rate_in_own_scale
from vi_toolkit.guides.noise import Noise


@dataclass(frozen=True)
class LowRankNormal(Guide):
    """q(z) = N(z; m, S (I + W W^T) S), with S = diag(s) and W of shape (dim, rank).

    For posteriors of many dimensions whose correlations follow few directions: (2 + rank) dim parameters where
    the full-rank normal has dim (dim + 3) / 2. Parameters are ``location`` m, ``log_scale`` log s and ``factor`` W.

    Args:
        rank: the number of columns of W.

    Raises:
        TypeError, ValueError: if ``rank`` is not a whole number of at least 1.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.LowRankNormal(rank=2)
        LowRankNormal(rank=2)

    Source: Ong, Nott & Smith (2018), Gaussian variational approximation with a factor covariance structure,
    arXiv:1701.03208.
    """

    rank: int

    def __post_init__(self) -> None:
        check_positive_int(self.rank, "rank")

    def learning_rate(self, dim: int) -> float:
        """In units of the present scale."""
        return rate_in_own_scale(dim)

    def init(self, key: Key, start: Start) -> Params:
        """Centred at the start; the factor is random and small, since zero is a saddle point."""
        dim = start.location.shape[0]
        factor = 0.1 / jnp.sqrt(self.rank) * jax.random.normal(key, (dim, self.rank), start.location.dtype)
        return {"location": start.location, "log_scale": jnp.log(start.scale), "factor": factor}

    def distribution(self, params: Params) -> dist.Distribution:
        """NumPyro's low-rank normal with cov_factor S W and cov_diag s^2."""
        scale = jnp.exp(params["log_scale"])
        return dist.LowRankMultivariateNormal(
            params["location"],
            cov_factor=scale[..., None] * params["factor"],
            cov_diag=scale**2,
            validate_args=False,
        )

    def draw(self, key: Key, params: Params, num_draws: int, noise: Noise | None = None) -> GuideDraws:
        """m + s (e + W f) with normal noise (e, f), in mirrored pairs unless told otherwise."""
        location, factor = params["location"], params["factor"]
        both = normal_noise(key, num_draws, jnp.concatenate([location, factor[..., 0, :]], -1), noise)
        e, f = both[..., : location.shape[-1]], both[..., location.shape[-1] :]
        return equally_weighted(location + jnp.exp(params["log_scale"]) * (e + (factor @ f[..., None])[..., 0]))

    def move(self, params: Params, step: Params) -> Params:
        """m + s * step, s * exp(step), W + step: the step is counted in the present s."""
        return {
            "location": params["location"] + jnp.exp(params["log_scale"]) * step["location"],
            "log_scale": params["log_scale"] + step["log_scale"],
            "factor": params["factor"] + step["factor"],
        }
