"""A normal with skewness and tails of its own in every coordinate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array

from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params
from vi_toolkit.guides._location_scale import LocationScale
from vi_toolkit.guides._scales import ScaledNormal, check_scale
from vi_toolkit.guides.full_rank_normal import FullRankNormal
from vi_toolkit.guides.guide import Guide, GuideDraws, equally_weighted, normal_noise, rate_in_own_scale
from vi_toolkit.guides.noise import Noise

# The trapezoid rule for E[f(e)], e ~ N(0, 1): for functions without singularities within 1 of the real line its error
# is of the order of exp(-2 pi / step).
_NODES = np.arange(0.0, 14.0, 0.2)
_LOG_WEIGHTS = np.log(np.where(_NODES == 0, 1.0, 2.0) * 0.2) - 0.5 * _NODES**2 - 0.5 * np.log(2 * np.pi)


@dataclass(frozen=True)
class SinhArcsinhNormal(Guide):
    """z = m + L t, t_i = (S(e_i) - S(0)) / S'(0) with S(e) = sinh((arcsinh(e) + epsilon_i) / delta_i), e ~ N(0, I).

    Each t_i has skewness, to the right where epsilon_i > 0, and tails that are heavier than the normal's where
    delta_i < 1, lighter where it is above; epsilon = 0 and delta = 1 is the normal, where a fit begins. S is the
    sinh-arcsinh transformation of Jones and Pewsey; shifted and scaled so that t(0) = 0 and t'(0) = 1, which makes the
    same family with m the point that the middle e = 0 goes to and L the slope there, so that shape and scale hardly
    disturb each other in a fit. With a = arcsinh(e) / delta and b = epsilon / delta it reads

        t = delta (r (e^a - 1) - l (e^-a - 1)),   r = 1 / (1 + e^-2b),   l = 1 / (1 + e^2b),

    which never overflows in b and is inverted in closed form, so that the density is exact:
    log q(z) = sum_i [log N(e_i; 0, 1) - log dt_i/de_i] - log |det L|.

    Parameters are those of the normal, ``skewness`` epsilon (dim,) and ``log_tail_weight`` log delta (dim,).

    Args:
        covariance: the normal whose location m and scale L are taken: ``FullRankNormal()``, ``MeanFieldNormal()``,
            ``BlockNormal(...)`` or ``SparsePrecisionNormal(...)``. With the mean-field normal the coordinates are
            independent; in all others L mixes skewed coordinates.

    Raises:
        TypeError: if ``covariance`` is none of these.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.SinhArcsinhNormal(covariance=vi.MeanFieldNormal())
        SinhArcsinhNormal(covariance=MeanFieldNormal())

    Source: Jones & Pewsey (2009), Sinh-arcsinh distributions, doi:10.1093/biomet/asp053.
    """

    covariance: ScaledNormal = field(default_factory=FullRankNormal)

    def __post_init__(self) -> None:
        check_scale(self.covariance, "SinhArcsinhNormal")

    def check(self, dim: int) -> None:
        """As the normal does."""
        self.covariance.check(dim)

    def learning_rate(self, dim: int) -> float:
        """In units of the present scale."""
        return rate_in_own_scale(dim)

    def init(self, key: Key, start: Start) -> Params:
        """The normal at the start."""
        none = jnp.zeros_like(start.location)
        return {**self.covariance.init(key, start), "skewness": none, "log_tail_weight": none}

    def distribution(self, params: Params) -> dist.Distribution:
        """With event_shape (dim,); mean, variance and covariance_matrix are to rounding where delta > 0.05."""
        return LocationScale(params["location"], self.covariance.factor(params), _standard(params))

    def draw(self, key: Key, params: Params, num_draws: int, noise: Noise | None = None) -> GuideDraws:
        """m + L t(e) with normal noise e, in mirrored pairs unless told otherwise."""
        t = _standard(params).transform(normal_noise(key, num_draws, params["location"], noise))
        return equally_weighted(params["location"] + self.covariance.factor(params).times(t))

    def move(self, params: Params, step: Params) -> Params:
        """Location and scale as the normal has it; skewness and log tail weight by addition."""
        shape = {name: params[name] + step[name] for name in ("skewness", "log_tail_weight")}
        return {**self.covariance.move(params, step), **shape}


class SinhArcsinh(NamedTuple):
    """The distribution of t, by coordinate: epsilon and delta."""

    skewness: Array
    tail_weight: Array

    @property
    def _slant(self) -> Array:
        # b; beyond 20 the lighter side is gone to rounding, and cosh(b) is on the way to overflow
        return jnp.clip(self.skewness / self.tail_weight, -20.0, 20.0)

    def transform(self, e: Array) -> Array:
        """t(e)."""
        a, b = jnp.arcsinh(e) / self.tail_weight, self._slant
        return self.tail_weight * (jax.nn.sigmoid(2 * b) * jnp.expm1(a) - jax.nn.sigmoid(-2 * b) * jnp.expm1(-a))

    def log_prob(self, t: Array) -> Array:
        """By the inverse: (r e^a - l e^-a) / 2 = c with 2 c = t / delta + r - l gives a = arcsinh(2 c cosh b) - b."""
        b = self._slant
        a = jnp.arcsinh((t / self.tail_weight + jnp.tanh(b)) * jnp.cosh(b)) - b
        x = self.tail_weight * a  # arcsinh(e)
        # dt/de = (r e^a + l e^-a) / sqrt(1 + e^2), and sqrt(1 + e^2) = cosh(x)
        log_slope = jnp.logaddexp(jax.nn.log_sigmoid(2 * b) + a, jax.nn.log_sigmoid(-2 * b) - a)
        log_slope -= jnp.logaddexp(x, -x) - jnp.log(2.0)
        return (-0.5 * jnp.sinh(x) ** 2 - 0.5 * jnp.log(2 * jnp.pi) - log_slope).sum(-1)

    def sample(self, key: Key, shape: tuple[int, ...], dtype: Any) -> Array:
        """t of normal noise."""
        return self.transform(jax.random.normal(key, shape, dtype))

    @property
    def mean(self) -> Array:
        """delta tanh(b) (E[cosh a] - 1)."""
        return self.tail_weight * jnp.tanh(self._slant) * (_mean_cosh(1 / self.tail_weight) - 1)

    @property
    def variance(self) -> Array:
        """From t / delta = sinh a + tanh(b) (cosh a - 1)."""
        first, second = _mean_cosh(1 / self.tail_weight), _mean_cosh(2 / self.tail_weight)
        spread = (second - 1) / 2 + jnp.tanh(self._slant) ** 2 * ((second + 1) / 2 - first**2)
        return self.tail_weight**2 * spread

    def entropy(self, dim: int) -> Array:
        """It has no closed form."""
        raise NotImplementedError


def _standard(params: Params) -> SinhArcsinh:
    return SinhArcsinh(params["skewness"], jnp.exp(params["log_tail_weight"]))


def _mean_cosh(q: Array) -> Array:
    """E[cosh(q arcsinh(e))], e ~ N(0, 1), by the trapezoid rule; Jones and Pewsey have it by Bessel functions."""
    exponent = q[..., None] * np.arcsinh(_NODES).astype(q.dtype)
    log_cosh = jnp.logaddexp(exponent, -exponent) - jnp.log(2.0)
    return jnp.exp(log_cosh + _LOG_WEIGHTS.astype(q.dtype)).sum(-1)
