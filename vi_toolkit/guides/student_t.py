"""A multivariate Student-t, for heavy tails."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array

from vi_toolkit._checks import check_positive
from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params
from vi_toolkit.guides.full_rank_normal import move_affine, scale_tril
from vi_toolkit.guides.guide import Guide, GuideDraws, equally_weighted, normal_noise, rate_in_own_scale
from vi_toolkit.guides.noise import Noise, antithetic


@dataclass(frozen=True)
class StudentT(Guide):
    """q(z) = t_nu(z; m, L L^T): a multivariate Student-t with any location and scale matrix.

    Its tails fall like a power |z|^-(nu + dim), so importance weights against a normal-tailed posterior stay
    bounded. Parameters are those of `FullRankNormal` and, unless the degrees of freedom are given,
    ``log_degrees_of_freedom``.

    Args:
        degrees_of_freedom: nu, or None to learn it (starting from 10).

    Raises:
        TypeError, ValueError: if ``degrees_of_freedom`` is not a number above 0.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.StudentT(degrees_of_freedom=4.0)
        StudentT(degrees_of_freedom=4.0)

    Source: Lange, Little & Taylor (1989), Robust statistical modeling using the t distribution,
    doi:10.1080/01621459.1989.10478852.
    """

    degrees_of_freedom: float | None = None

    def __post_init__(self) -> None:
        if self.degrees_of_freedom is not None:
            check_positive(self.degrees_of_freedom, "degrees_of_freedom")

    def learning_rate(self, dim: int) -> float:
        """In units of the present scale, smaller in many dimensions so that L T stays near L."""
        return rate_in_own_scale(dim)

    def init(self, key: Key, start: Start) -> Params:
        """Centred at the start, uncorrelated, with its conditional standard deviations as scales."""
        dim = start.location.shape[0]
        params = {
            "location": start.location,
            "log_diagonal": jnp.log(start.scale),
            "lower": jnp.zeros((dim, dim), start.location.dtype),
        }
        if self.degrees_of_freedom is None:
            params["log_degrees_of_freedom"] = jnp.log(jnp.asarray(10.0, start.location.dtype))
        return params

    def distribution(self, params: Params) -> dist.Distribution:
        """NumPyro's multivariate Student-t."""
        return dist.MultivariateStudentT(
            self._degrees_of_freedom(params), params["location"], scale_tril(params), validate_args=False
        )

    def draw(self, key: Key, params: Params, num_draws: int, noise: Noise | None = None) -> GuideDraws:
        """m + L e sqrt(nu / c) with normal noise e, in mirrored pairs unless told otherwise, and c ~ chi^2_nu."""
        key_noise, key_spread = jax.random.split(key)
        location = params["location"]
        e = normal_noise(key_noise, num_draws, location, noise)
        shares_spread = noise in (None, antithetic)  # mirrored pairs are z and 2 m - z
        count = -(-num_draws // 2) if shares_spread else num_draws
        nu = self._degrees_of_freedom(params)
        chi2 = dist.Chi2(jnp.broadcast_to(nu, location.shape[:-1])).rsample(key_spread, (count,))
        if shares_spread:
            chi2 = jnp.concatenate([chi2, chi2])[:num_draws]
        stretch = jnp.sqrt(nu / chi2)[..., None]
        return equally_weighted(location + stretch * (scale_tril(params) @ e[..., None])[..., 0])

    def move(self, params: Params, step: Params) -> Params:
        """The affine part as for the full-rank normal; the log degrees of freedom by addition."""
        moved = {**params, **move_affine(params, step)}
        if self.degrees_of_freedom is None:
            moved["log_degrees_of_freedom"] = params["log_degrees_of_freedom"] + step["log_degrees_of_freedom"]
        return moved

    def _degrees_of_freedom(self, params: Params) -> Array:
        if self.degrees_of_freedom is None:
            return jnp.exp(params["log_degrees_of_freedom"])
        return jnp.asarray(self.degrees_of_freedom, params["location"].dtype)
