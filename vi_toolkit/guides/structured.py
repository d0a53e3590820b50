"""A normal that follows the model: each site given its parents, so that parameters grow with the model alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array

from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params
from vi_toolkit.guides._guide_sites import check_numpyro_target
from vi_toolkit.guides._site_graph import contract, find_parents, spread, weight_axes
from vi_toolkit.guides._structured_distribution import StructuredNormalDistribution
from vi_toolkit.guides.guide import Guide, GuideDraws, equally_weighted, normal_noise, rate_in_own_scale
from vi_toolkit.guides.noise import Noise


@dataclass(frozen=True)
class StructuredNormal(Guide):
    """q(z) = prod_k N(z_k; m_k + sum_{j in parents(k)} W_kj (z_j - m_j), diag(s_k^2)): normals in the model's order.

    Each site k of the model has a normal on the unconstrained space whose mean is linear in earlier sites, and standard
    deviations s of its own. Along the plates that site and parent share, W_kj is elementwise: what the parent has in
    one row reaches that row alone. Elements of one site are independent given the parents. It has the posterior of a
    normal hierarchy, or of a normal random walk written site by site, with a number of parameters that grows linearly.

    Parameters are ``location`` m (dim,), ``log_scale`` log s (dim,) and ``weights``, a tuple of one array W_kj for
    every pair, in the order of ``parents``: of the shape of site k, followed by the axes of site j that k lacks.

    Args:
        names: the sites.
        shapes: their unconstrained shapes.
        axes: names for the axes of each site; axes of the same name are shared.
        parents: for each site, its parents: places of earlier sites.

    Raises:
        ValueError: if these are not one for each site, or a parent is no earlier site.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist, vi_toolkit as vi
        >>> def model(y):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 2.0))
        ...     with numpyro.plate("row", len(y)):
        ...         effect = numpyro.sample("effect", dist.Normal(mean, 1.0))
        ...         numpyro.sample("y", dist.Normal(effect, 1.0), obs=y)
        >>> target = vi.from_numpyro(model, jax.numpy.array([3.0, 1.0]))
        >>> guide = vi.StructuredNormal.from_model(target)
        >>> fit = vi.fit(jax.random.key(0), target, vi.gradient(guide, vi.ReverseKL()))
        >>> fit.params["weights"][0].round(2)  # E[effect | mean, y] = mean / 2 + y / 2
        Array([0.5, 0.5], dtype=float64)

    Source: Hoffman & Blei (2015), Structured stochastic variational inference, arXiv:1404.4114; Webb et al. (2018),
    Faithful inversion of generative models for effective amortized inference, arXiv:1712.00287 (which earlier sites
    the posterior of a site depends on).
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    axes: tuple[tuple[str, ...], ...]
    parents: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if len({len(part) for part in (self.names, self.shapes, self.axes, self.parents)}) != 1:
            raise ValueError("names, shapes, axes, parents: expected one of each for every site.")
        for place, name in enumerate(self.names):
            shape, axes, parents = self.shapes[place], self.axes[place], self.parents[place]
            if len(shape) != len(axes):
                raise ValueError(f"axes: site {name!r} has shape {shape}, so {len(shape)} names, got {axes}.")
            if not all(0 <= parent < place for parent in parents):
                raise ValueError(f"parents: those of site {place} ({name!r}) must be earlier sites, got {parents}.")

    @classmethod
    def from_model(cls, target: Any, *, explaining_away: bool = True) -> StructuredNormal:
        """The structure of a NumPyro model.

        Args:
            target: from `vi.from_numpyro`.
            explaining_away: whether sites that are independent a priori, but not given the data that depend on both,
                are connected too, as the posterior is. Without it, parents are those of the model alone: fewer
                weights where two large plates meet in the data (crossed effects).

        Raises:
            TypeError: if ``target`` is not of a NumPyro model.
        """
        check_numpyro_target(target)
        sites, dependencies = target.sites, target.dependencies()
        names = tuple(site.name for site in sites)
        shapes = tuple(tuple(site.unconstrained_shape) for site in sites)
        axes = tuple(tuple(site.dims[: len(shape)]) for site, shape in zip(sites, shapes, strict=True))
        return cls(names, shapes, axes, find_parents(names, dependencies, explaining_away))

    @property
    def dim(self) -> int:
        """The number of coordinates."""
        return sum(math.prod(shape) for shape in self.shapes)

    def learning_rate(self, dim: int) -> float:
        """In units of the present scale."""
        return rate_in_own_scale(1 + max(len(parents) for parents in self.parents))

    def check(self, dim: int) -> None:
        """Refuses a target of another dimension."""
        if dim != self.dim:
            raise ValueError(
                f"guide: its sites {list(self.names)} have {self.dim} unconstrained coordinates, the target has {dim}. "
                "Make it again with vi.StructuredNormal.from_model(target)."
            )

    def init(self, key: Key, start: Start) -> Params:
        """Centred at the start, independent, with its conditional standard deviations."""
        weights = tuple(jnp.zeros(self._weights(k, j), start.location.dtype) for k, j in self._pairs)
        return {"location": start.location, "log_scale": jnp.log(start.scale), "weights": weights}

    def distribution(self, params: Params) -> dist.Distribution:
        """The normal, as the sum over sites of conditional normals."""
        return StructuredNormalDistribution(self, params)

    def draw(self, key: Key, params: Params, num_draws: int, noise: Noise | None = None) -> GuideDraws:
        """Site by site from normal noise, in mirrored pairs unless told otherwise."""
        e = normal_noise(key, num_draws, params["location"], noise)
        return equally_weighted(self.push(params, e))

    def move(self, params: Params, step: Params) -> Params:
        """m + s * step, s * exp(step), and W_kj + s_k step / s_j: the step is counted in present scales."""
        scale = jnp.exp(params["log_scale"])
        scales, weights = self._split(scale), []
        for (k, j), weight, change in zip(self._pairs, params["weights"], step["weights"], strict=True):
            axes = weight_axes(self.axes[k], self.axes[j])
            unit = spread(scales[k], self.axes[k], axes) / spread(scales[j], self.axes[j], axes)
            weights.append(weight + unit * change)
        return {
            "location": params["location"] + scale * step["location"],
            "log_scale": params["log_scale"] + step["log_scale"],
            "weights": tuple(weights),
        }

    def push(self, params: Params, noise: Array) -> Array:
        """The points z (..., dim) that noise e (..., dim) becomes: z_k - m_k = s_k e_k + sum_j W_kj (z_j - m_j)."""
        own = self._split(jnp.exp(params["log_scale"]) * noise)
        deviations: list[Array] = []
        for k in range(len(self.names)):
            deviations.append(own[k] + self._from_parents(k, params, deviations))
        return params["location"] + self._join(deviations)

    def pull(self, params: Params, z: Array) -> Array:
        """The noise e (..., dim) behind points z (..., dim)."""
        deviations = self._split(z - params["location"])
        own = [x - self._from_parents(k, params, deviations) for k, x in enumerate(deviations)]
        return self._join(own) / jnp.exp(params["log_scale"])

    def _from_parents(self, k: int, params: Params, deviations: list[Array]) -> Array:
        """sum_j W_kj (z_j - m_j) over the parents j of site k."""
        total = jnp.zeros(self.shapes[k], params["location"].dtype)
        for (child, j), weight in zip(self._pairs, params["weights"], strict=True):
            if child == k:
                total = total + contract(weight, deviations[j], self.axes[k], self.axes[j])
        return total

    @property
    def _pairs(self) -> list[tuple[int, int]]:
        """(site, parent) for every array of weights."""
        return [(k, j) for k, parents in enumerate(self.parents) for j in parents]

    def _weights(self, k: int, j: int) -> tuple[int, ...]:
        """The shape of W_kj."""
        sizes = dict(zip(self.axes[j], self.shapes[j], strict=True)) | dict(
            zip(self.axes[k], self.shapes[k], strict=True)
        )
        return tuple(sizes[axis] for axis in weight_axes(self.axes[k], self.axes[j]))

    def _split(self, flat: Array) -> list[Array]:
        """An array (..., dim) as one array (..., *shape) for each site."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])
        parts = jnp.split(flat, ends[:-1], axis=-1)
        return [part.reshape(*flat.shape[:-1], *shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def _join(self, parts: list[Array]) -> Array:
        """The way back."""
        flat = [x.reshape(*x.shape[: x.ndim - len(shape)], -1) for x, shape in zip(parts, self.shapes, strict=True)]
        return jnp.concatenate(flat, axis=-1)
