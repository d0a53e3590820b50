"""Ways to spoil a fit by a known amount."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import Distribution

import vi_toolkit as vi
from vi_toolkit.exact.posterior import ExactPosterior


def stretched(fit: vi.Fit, factor: float) -> vi.Fit:
    """A full-rank normal with all standard deviations multiplied."""
    params: Any = fit.params
    params = {**params, "log_diagonal": params["log_diagonal"] + jnp.log(factor), "lower": params["lower"] * factor}
    return replace(fit, params=params)


def moved(fit: vi.Fit, shift: float) -> vi.Fit:
    """A normal with its first mean moved by so many standard deviations, along the others as the covariance goes."""
    params: Any = fit.params
    covariance = fit.posterior.covariance_matrix
    step = shift * covariance[0] / jnp.sqrt(covariance[0, 0])
    return replace(fit, params={**params, "location": params["location"] + step})


def in_single_precision(key: Any, posterior: ExactPosterior, step: float) -> vi.Fit:
    """A fit to the same density, computed from where single precision has steps of so many standard deviations."""
    offset = 2.0**23 * step * float(posterior.sd[0])  # type: ignore[index]
    return vi.fit(key, vi.from_log_density(Offset(posterior.target, offset), dim=posterior.dim))


@dataclass(frozen=True, eq=False)
class Offset:
    target: vi.Target
    offset: float

    def __call__(self, z: Any) -> Any:
        far = (z.astype(jnp.float32) + jnp.float32(self.offset)).astype(z.dtype) - self.offset
        return self.target.log_density(far)


@dataclass(frozen=True)
class HalfNormalGuide(vi.Guide):
    """Normal but for the first coordinate, which ends at its mean."""

    def init(self, key: Any, start: Any) -> Any:
        return {"location": start.location, "log_scale": jnp.log(start.scale)}

    def distribution(self, params: Any) -> Distribution:
        return HalfNormal(params["location"], jnp.exp(params["log_scale"]))

    @classmethod
    def fit(cls, key: Any, posterior: ExactPosterior) -> vi.Fit:
        """With the location and scale of a full fit, and half of the support."""
        whole = vi.fit(key, posterior.target)
        some = vi.fit(key, posterior.target, vi.gradient(cls(), vi.ReverseKL()), max_steps=1)
        params = {"location": whole.posterior.mean, "log_scale": 0.5 * jnp.log(whole.posterior.variance)}
        return replace(some, params=params, status=vi.Status.CONVERGED, warnings=())


class HalfNormal(dist.Distribution):
    """Independent normals, the first cut at its mean."""

    support = dist.constraints.real_vector

    def __init__(self, location: Any, scale: Any) -> None:
        self.location, self.scale = location, scale
        super().__init__((), location.shape, validate_args=False)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        noise = jax.random.normal(key, (*sample_shape, *self.event_shape))
        return self.location + self.scale * noise.at[..., 0].set(jnp.abs(noise[..., 0]))

    def log_prob(self, value: Any) -> Any:
        x = (value - self.location) / self.scale
        inside = jnp.where(x[..., 0] >= 0, jnp.log(2.0), -jnp.inf)
        return inside - 0.5 * (x**2).sum(-1) - jnp.log(self.scale).sum() - 0.5 * x.shape[-1] * jnp.log(2 * jnp.pi)
