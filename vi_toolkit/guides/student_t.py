"""A multivariate Student-t, for heavy tails."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpyro.distributions as dist

from vi_toolkit._checks import check_positive
from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params
from vi_toolkit.guides.full_rank_normal import move_affine, scale_tril
from vi_toolkit.guides.guide import Guide, GuideDraws, equally_weighted, mirrored, rate_in_own_scale


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
        if self.degrees_of_freedom is None:
            degrees_of_freedom = jnp.exp(params["log_degrees_of_freedom"])
        else:
            degrees_of_freedom = jnp.asarray(self.degrees_of_freedom, params["location"].dtype)
        return dist.MultivariateStudentT(
            degrees_of_freedom, params["location"], scale_tril(params), validate_args=False
        )

    def draw(self, key: Key, params: Params, num_draws: int) -> GuideDraws:
        """Draws in pairs that mirror each other about the location."""
        return equally_weighted(mirrored(self.distribution(params), params["location"], key, num_draws))

    def move(self, params: Params, step: Params) -> Params:
        """The affine part as for the full-rank normal; the log degrees of freedom by addition."""
        moved = {**params, **move_affine(params, step)}
        if self.degrees_of_freedom is None:
            moved["log_degrees_of_freedom"] = params["log_degrees_of_freedom"] + step["log_degrees_of_freedom"]
        return moved
