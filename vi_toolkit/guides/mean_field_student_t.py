"""Independent Student-t distributions, each with tails of its own."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array

from vi_toolkit._checks import check_positive
from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params
from vi_toolkit.guides.guide import Guide, GuideDraws, equally_weighted, normal_noise, rate_in_own_scale
from vi_toolkit.guides.mean_field_normal import MeanFieldNormal
from vi_toolkit.guides.noise import Noise
from vi_toolkit.guides.student_t import draw_stretch


@dataclass(frozen=True)
class MeanFieldStudentT(Guide):
    """q(z) = prod_i t_nu_i(z_i; m_i, s_i): a Student-t with independent coordinates.

    Not a case of the multivariate t, whose coordinates share one stretch: here one may have heavy tails and
    another none, and far out on two axes at once the density falls along both. ``StudentT(covariance=
    MeanFieldNormal())`` is the multivariate t with a diagonal scale matrix. Parameters are ``location`` m (dim,),
    ``log_scale`` log s (dim,) and, unless the degrees of freedom are given, ``log_degrees_of_freedom`` (dim,).

    Args:
        degrees_of_freedom: nu for all coordinates, or None to learn one for each (starting from 10).

    Raises:
        TypeError, ValueError: if ``degrees_of_freedom`` is not a number above 0.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.MeanFieldStudentT(degrees_of_freedom=4.0)
        MeanFieldStudentT(degrees_of_freedom=4.0)

    Source: Lange, Little & Taylor (1989), Robust statistical modeling using the t distribution,
    doi:10.1080/01621459.1989.10478852 (the t of one coordinate).
    """

    degrees_of_freedom: float | None = None

    def __post_init__(self) -> None:
        if self.degrees_of_freedom is not None:
            check_positive(self.degrees_of_freedom, "degrees_of_freedom")

    def learning_rate(self, dim: int) -> float:
        """In units of the present scale."""
        return rate_in_own_scale(dim)

    def init(self, key: Key, start: Start) -> Params:
        """Centred at the start, with its conditional standard deviations as scales."""
        params = MeanFieldNormal().init(key, start)
        if self.degrees_of_freedom is None:
            params["log_degrees_of_freedom"] = jnp.full_like(start.location, jnp.log(10.0))
        return params

    def distribution(self, params: Params) -> dist.Distribution:
        """The independent Student-t distributions as one with event_shape (dim,)."""
        nu, scale = self._degrees_of_freedom(params), jnp.exp(params["log_scale"])
        return dist.Independent(dist.StudentT(nu, params["location"], scale, validate_args=False), 1)

    def draw(self, key: Key, params: Params, num_draws: int, noise: Noise | None = None) -> GuideDraws:
        """m_i + s_i e_i sqrt(nu_i / c_i), normal e in mirrored pairs unless told otherwise, and c_i ~ chi^2_nu_i."""
        key_noise, key_spread = jax.random.split(key)
        e = normal_noise(key_noise, num_draws, params["location"], noise)
        stretch = draw_stretch(key_spread, self._degrees_of_freedom(params), num_draws, noise)
        return equally_weighted(params["location"] + jnp.exp(params["log_scale"]) * stretch * e)

    def move(self, params: Params, step: Params) -> Params:
        """Location and scale in the present scale; the log degrees of freedom by addition."""
        moved = {**params, **MeanFieldNormal().move(params, step)}
        if self.degrees_of_freedom is None:
            moved["log_degrees_of_freedom"] = params["log_degrees_of_freedom"] + step["log_degrees_of_freedom"]
        return moved

    def _degrees_of_freedom(self, params: Params) -> Array:
        if self.degrees_of_freedom is None:
            return jnp.exp(params["log_degrees_of_freedom"])
        return jnp.full_like(params["location"], self.degrees_of_freedom)
