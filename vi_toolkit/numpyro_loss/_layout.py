"""Where the sample sites of a NumPyro guide lie in a flat vector, one vector for each cell of the shared plates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.distributions.transforms import Transform, biject_to
from numpyro.distributions.util import sum_rightmost

Sites = dict[str, Any]  # a trace: what NumPyro keeps of each site


@dataclass(frozen=True)
class SampledSite:
    """One site that the guide draws: its unconstrained shape, and the entries that it takes in the vector of a cell."""

    name: str
    shape: tuple[int, ...]  # batch dimensions first
    batch_ndim: int
    dtype: Any
    start: int
    stop: int


@dataclass(frozen=True)
class Layout:
    """The sampled sites of a guide, and the plates that all sites of guide and model share.

    The rows of these plates are independent in q and in p. Each combination of rows is a cell, which has a vector of
    its own: all together are an array (cells, dim). Without such plates there is one cell.
    """

    sites: tuple[SampledSite, ...]
    plates: tuple[Any, ...]  # frames of NumPyro, the outermost dimension first
    scale: float  # how many rows one row of the plates stands for, where they are subsampled

    @property
    def dim(self) -> int:
        """The number of coordinates of one cell."""
        return self.sites[-1].stop if self.sites else 0

    @property
    def num_cells(self) -> int:
        """The number of combinations of rows of the shared plates."""
        return int(np.prod([frame.size for frame in self.plates], dtype=int))

    def by_cell(self, array: Array, batch_ndim: int) -> Array:
        """An array that begins with batch dimensions, as (cells, entries)."""
        axes = [batch_ndim + frame.dim for frame in self.plates]
        return jnp.moveaxis(array, axes, range(len(axes))).reshape(self.num_cells, -1)

    def sum_by_cell(self, terms: Array) -> Array:
        """Terms of a log density of batch shape, as sums (cells,)."""
        return self.by_cell(terms, jnp.ndim(terms)).sum(-1)

    def unconstrained(self, site: SampledSite, points: Array) -> Array:
        """What an array (cells, dim) holds for a site."""
        axes = [site.batch_ndim + frame.dim for frame in self.plates]
        rest = [size for axis, size in enumerate(site.shape) if axis not in axes]
        part = points[:, site.start : site.stop].reshape(*(frame.size for frame in self.plates), *rest)
        return jnp.moveaxis(part, range(len(axes)), axes)

    def points(self, sites: Sites) -> Array:
        """The values of a trace as an array (cells, dim) on the unconstrained space."""
        dtype = jnp.result_type(float)
        parts = [jnp.zeros((self.num_cells, 0), dtype)]
        for site in self.sites:
            values = bijection(sites[site.name]).inv(sites[site.name]["value"])
            parts.append(self.by_cell(values, site.batch_ndim).astype(dtype))
        return jnp.concatenate(parts, axis=-1)

    def value(self, message: Sites, points: Array) -> Array | None:
        """What a site of a run has at an array (cells, dim), by its name; None where the guide does not draw it."""
        for site in self.sites:
            if message["type"] == "sample" and message["name"] == site.name:
                return bijection(message)(self.unconstrained(site, points).astype(site.dtype))
        return None


def bijection(site: Sites) -> Transform:
    """From R^n to the support of a site; whole numbers stay as they are."""
    support = site["fn"].support
    if support.is_discrete:
        return dist.transforms.IdentityTransform()
    try:
        return biject_to(support)
    except NotImplementedError:
        raise ValueError(
            f"guide: site {site['name']!r} has the support {support}, to which NumPyro knows no bijection from R^n. "
            "Draw it by a transform of a site on R^n."
        ) from None


def log_jacobian(site: Sites, z: Array) -> Array:
    """log |det dx/dz| of a site's value x at the unconstrained z, of batch shape."""
    x = site["value"]
    terms = bijection(site).log_abs_det_jacobian(z, x)
    return sum_rightmost(terms, jnp.ndim(terms) - jnp.ndim(x) + len(site["fn"].event_shape))


def log_density(site: Sites) -> Array:
    """log q_k of a site's value, of batch shape; masks and scales left out."""
    value, intermediates = site["value"], site["intermediates"]
    fn = unmasked(site["fn"])
    return fn.log_prob(value, intermediates) if intermediates and fn is site["fn"] else fn.log_prob(value)


def unmasked(fn: Any) -> Any:
    """A distribution without the masks in it; the same object where there are none."""
    if isinstance(fn, dist.MaskedDistribution):
        return unmasked(fn.base_dist)
    if isinstance(fn, (dist.ExpandedDistribution, dist.Independent)):
        inner = unmasked(fn.base_dist)
        if inner is fn.base_dist:
            return fn
        if isinstance(fn, dist.Independent):
            return inner.to_event(fn.reinterpreted_batch_ndims)
        return inner.expand(fn.batch_shape)
    return fn


def is_latent(site: Sites) -> bool:
    """Whether a site of a trace is an unknown."""
    return bool(site["type"] == "sample" and not site["is_observed"])


def is_point(site: Sites) -> bool:
    """Whether an unknown takes a value that is no draw, such as the output of a transform."""
    fn = unmasked(site["fn"])
    while isinstance(fn, (dist.Independent, dist.ExpandedDistribution)):
        fn = fn.base_dist
    return isinstance(fn, dist.Delta)
