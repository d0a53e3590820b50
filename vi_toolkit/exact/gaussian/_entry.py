"""From a Gaussian in NumPy to an entry of the gallery, and to NumPyro's distributions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions.transforms import ReshapeTransform

from vi_toolkit.exact.gaussian._algebra import Gaussian, lower_root
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import from_numpyro


class ArrayNormal(dist.TransformedDistribution):
    """A multivariate normal over the entries of an array, row after row."""

    def __init__(self, normal: dist.MultivariateNormal, shape: tuple[int, ...]) -> None:
        super().__init__(normal, ReshapeTransform(shape, normal.event_shape))

    @property
    def mean(self) -> Any:
        return jnp.reshape(self.base_dist.mean, self.event_shape)

    @property
    def variance(self) -> Any:
        return jnp.reshape(self.base_dist.variance, self.event_shape)


def as_distribution(gaussian: Gaussian, shape: tuple[int, ...]) -> dist.Distribution:
    """The Gaussian as a NumPyro distribution of event shape ``shape``, in JAX's precision."""
    if shape == ():
        return dist.Normal(jnp.asarray(gaussian.mean[0]), jnp.asarray(gaussian.sd[0]))
    normal = dist.MultivariateNormal(jnp.asarray(gaussian.mean), scale_tril=jnp.asarray(lower_root(gaussian.root)))
    return normal if len(shape) == 1 else ArrayNormal(normal, shape)


def gaussian_entry(
    name: str,
    posterior: Gaussian,
    log_evidence: float,
    *,
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    predictive: Callable[..., dist.Distribution],
    how: str = "closed form",
    deterministic: Mapping[str, Gaussian] | None = None,
) -> ExactPosterior:
    """The record of a posterior whose unknowns are real and jointly Gaussian, in the order of the model's sites.

    ``deterministic`` are sites that follow from the unknowns, all of them vectors.
    """
    target = from_numpyro(model, *args, **kwargs)
    shapes = {site.name: site.shape for site in target.sites}
    parts = {site.name: posterior.part(site.start, site.stop) for site in target.sites}
    for site, part in (deterministic or {}).items():
        parts[site], shapes[site] = part, part.mean.shape
    return ExactPosterior(
        name=name,
        target=replace(target, log_evidence=log_evidence),
        how=how,
        sampler=posterior.draw,
        log_evidence=log_evidence,
        mean=posterior.mean,
        covariance=posterior.covariance,
        modes=posterior.mean[None],
        mode_weights=np.ones(1),
        constrained_moments={
            site: (part.mean.reshape(shapes[site])[()], part.sd.reshape(shapes[site])[()])
            for site, part in parts.items()
        },
        marginals={site: as_distribution(part, shapes[site]) for site, part in parts.items()},
        predictive=predictive,
        model=model,
        args=args,
        kwargs=kwargs,
    )
