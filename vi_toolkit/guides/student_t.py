"""A multivariate Student-t, for heavy tails."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array

from vi_toolkit._checks import check_positive
from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params
from vi_toolkit.guides._location_scale import LocationScale, SphericalT
from vi_toolkit.guides._scales import ScaledNormal, check_scale
from vi_toolkit.guides.full_rank_normal import FullRankNormal, scale_tril
from vi_toolkit.guides.guide import Guide, GuideDraws, equally_weighted, normal_noise, rate_in_own_scale
from vi_toolkit.guides.noise import Noise, antithetic


@dataclass(frozen=True)
class StudentT(Guide):
    """q(z) = t_nu(z; m, L L^T): a multivariate Student-t with any location and scale matrix.

    Its tails fall like a power |z|^-(nu + dim), so importance weights against a normal-tailed posterior stay
    bounded. z = m + L e sqrt(nu / c) with e ~ N(0, I) and one c ~ chi^2_nu for all coordinates: even where L is
    diagonal they are uncorrelated, not independent; `MeanFieldStudentT` has independent ones. Parameters are those
    of the normal whose location and scale are taken and, unless the degrees of freedom are given,
    ``log_degrees_of_freedom``.

    Args:
        degrees_of_freedom: nu, or None to learn it (starting from 10).
        covariance: the normal whose location m and scale L are taken: ``FullRankNormal()``, ``MeanFieldNormal()``,
            ``BlockNormal(...)`` or ``SparsePrecisionNormal(...)``.

    Raises:
        TypeError, ValueError: if ``degrees_of_freedom`` is not a number above 0, or ``covariance`` is none of these.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.StudentT(degrees_of_freedom=4.0)
        StudentT(degrees_of_freedom=4.0, covariance=FullRankNormal())

    Source: Lange, Little & Taylor (1989), Robust statistical modeling using the t distribution,
    doi:10.1080/01621459.1989.10478852.
    """

    degrees_of_freedom: float | None = None
    covariance: ScaledNormal = field(default_factory=FullRankNormal)

    def __post_init__(self) -> None:
        if self.degrees_of_freedom is not None:
            check_positive(self.degrees_of_freedom, "degrees_of_freedom")
        check_scale(self.covariance, "StudentT")

    def check(self, dim: int) -> None:
        """As the normal does."""
        self.covariance.check(dim)

    def learning_rate(self, dim: int) -> float:
        """In units of the present scale, smaller in many dimensions so that L T stays near L."""
        return rate_in_own_scale(dim)

    def init(self, key: Key, start: Start) -> Params:
        """Centred at the start, uncorrelated, with its conditional standard deviations as scales."""
        params = self.covariance.init(key, start)
        if self.degrees_of_freedom is None:
            params["log_degrees_of_freedom"] = jnp.log(jnp.asarray(10.0, start.location.dtype))
        return params

    def distribution(self, params: Params) -> dist.Distribution:
        """NumPyro's multivariate Student-t where the scale matrix is full, else one that keeps its structure."""
        nu, location = self._degrees_of_freedom(params), params["location"]
        if isinstance(self.covariance, FullRankNormal):
            return dist.MultivariateStudentT(nu, location, scale_tril(params), validate_args=False)
        return LocationScale(location, self.covariance.factor(params), SphericalT(nu))

    def draw(self, key: Key, params: Params, num_draws: int, noise: Noise | None = None) -> GuideDraws:
        """m + L e sqrt(nu / c) with normal noise e, in mirrored pairs unless told otherwise, and c ~ chi^2_nu."""
        key_noise, key_spread = jax.random.split(key)
        location = params["location"]
        e = normal_noise(key_noise, num_draws, location, noise)
        nu = jnp.broadcast_to(self._degrees_of_freedom(params), location.shape[:-1])
        stretch = draw_stretch(key_spread, nu, num_draws, noise)[..., None]
        return equally_weighted(location + stretch * self.covariance.factor(params).times(e))

    def move(self, params: Params, step: Params) -> Params:
        """Location and scale as the normal has it; the log degrees of freedom by addition."""
        moved = {**params, **self.covariance.move(params, step)}
        if self.degrees_of_freedom is None:
            moved["log_degrees_of_freedom"] = params["log_degrees_of_freedom"] + step["log_degrees_of_freedom"]
        return moved

    def _degrees_of_freedom(self, params: Params) -> Array:
        if self.degrees_of_freedom is None:
            return jnp.exp(params["log_degrees_of_freedom"])
        return jnp.asarray(self.degrees_of_freedom, params["location"].dtype)


def draw_stretch(key: Key, nu: Array, num_draws: int, noise: Noise | None) -> Array:
    """sqrt(nu / c) with c ~ chi^2_nu, (num_draws, ...), shared by mirrored pairs, which are then z and 2 m - z."""
    shared = noise in (None, antithetic)
    chi2 = dist.Chi2(nu).rsample(key, (-(-num_draws // 2) if shared else num_draws,))
    return jnp.sqrt(nu / (jnp.concatenate([chi2, chi2])[:num_draws] if shared else chi2))
