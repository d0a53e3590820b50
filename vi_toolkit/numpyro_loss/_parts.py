"""A NumPyro guide and model as a guide and a density: one cell of the shared plates at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.distributions import constraints

from vi_toolkit._start import Start
from vi_toolkit._types import Key, LogWeights, Params, Scalar, Vector
from vi_toolkit.guides import Guide
from vi_toolkit.guides.guide import GuideDraws
from vi_toolkit.guides.noise import Noise, independent
from vi_toolkit.numpyro_loss._layout import Layout, Sites, log_density, log_jacobian, unmasked
from vi_toolkit.numpyro_loss._runs import Runs, Structure, weight

CELLS = "vi_toolkit cells"  # the mapped axis on which the cells of the shared plates lie


@dataclass(frozen=True, eq=False)
class TracedGuide(Guide):
    """q(z) of one cell, by runs of a NumPyro guide; the parameters are those that NumPyro gives, constrained.

    Every run is of all cells together, since they share the function. The objective is mapped over the axis `CELLS`,
    and what a run needs of the other cells is gathered along it.
    """

    runs: Runs
    structure: Structure
    cell: Any

    @property
    def reparameterised(self) -> bool:  # type: ignore[override]
        """As the sites that the guide draws."""
        return self.structure.reparameterised

    @property
    def scores_cheaply(self) -> bool:  # type: ignore[override]
        """Unless a flow runs in one direction only."""
        return self.structure.invertible

    def __str__(self) -> str:
        return "this NumPyro guide"

    def init(self, key: Key, start: Start) -> Params:
        """The parameters belong to NumPyro's SVI."""
        raise NotImplementedError("the parameters belong to numpyro.infer.SVI")

    def distribution(self, params: Params) -> dist.Distribution:
        """q on the unconstrained space of the sites that the guide draws."""
        return TracedDistribution(self, params)

    def draw(self, key: Key, params: Params, num_draws: int, noise: Noise | None = None) -> GuideDraws:
        """Independent draws, with log q from the run itself."""
        if noise not in (None, independent):
            raise ValueError(f"noise: {noise} does not go with a NumPyro guide, which draws for itself. Leave it out.")
        points, log_q = jax.vmap(partial(self.draw_one, params))(jax.random.split(key, num_draws))
        return GuideDraws(points, jnp.full(num_draws, 1.0 / num_draws, points.dtype), log_q)

    def draw_one(self, params: Params, key: Key) -> tuple[Vector, Scalar]:
        """A point of the cell, and log q there."""
        layout = self.structure.layout
        sites = self.runs.draw(params, key)
        points = layout.points(sites)
        return points[self.cell], _log_q(layout, sites, points)[self.cell]

    def log_prob_of_one(self, params: Params, z: Vector) -> Scalar:
        """log q at a point of the cell."""
        layout, points = self.structure.layout, jax.lax.all_gather(z, CELLS)
        return _log_q(layout, self.runs.guide_at(params, layout, points), points)[self.cell]


class TracedDistribution(dist.Distribution):
    """The distribution of one cell that runs of a NumPyro guide have at given parameters."""

    support = constraints.real_vector
    pytree_data_fields = ("params",)
    pytree_aux_fields = ("guide",)

    def __init__(self, guide: TracedGuide, params: Params) -> None:
        self.guide, self.params = guide, params
        super().__init__((), (guide.structure.layout.dim,), validate_args=False)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        """Runs of the guide."""
        keys = jax.random.split(key, sample_shape)
        function: Any = lambda key: self.guide.draw_one(self.params, key)[0]  # noqa: E731 - of one key, for vmap
        for _ in sample_shape:
            function = jax.vmap(function)
        return function(keys if sample_shape else key)

    def log_prob(self, value: Any) -> Array:
        """log q at points of shape (..., dim)."""
        return jnp.vectorize(lambda z: self.guide.log_prob_of_one(self.params, z), signature="(d)->()")(value)


@dataclass(frozen=True, eq=False)
class TracedDensity:
    """log p~(z) of one cell: the model's terms, less those of the guide that are no density of its draws.

        log p~ = sum over the model of s_k log p_k - sum over the guide of s_k log q_k + log q

    with the scales s_k and masks of NumPyro, and q the plain density of the draws: so that log p~ - log q is NumPyro's
    own log weight, while log q is a density, as the estimators ask.
    """

    runs: Runs
    structure: Structure
    cell: Any
    params: Params

    @property
    def dim(self) -> int:
        """The number of coordinates of the cell."""
        return self.structure.layout.dim

    def log_density(self, z: Vector) -> Scalar:
        """log p~ at a point of the cell."""
        layout, points = self.structure.layout, jax.lax.all_gather(z, CELLS)
        guide = self.runs.guide_at(self.params, layout, points)
        model = self.runs.model_given(self.params, guide)
        total = _jacobians(layout, guide, points)
        for site in model.values():
            if site["type"] == "sample":
                total += layout.sum_by_cell(_weighted(site, layout))
        drawn = {site.name for site in layout.sites}
        for name, site in guide.items():
            if site["type"] != "sample":
                continue
            if name not in drawn:
                total -= layout.sum_by_cell(_weighted(site, layout))
            elif weight(site, layout) is not None or unmasked(site["fn"]) is not site["fn"]:
                total += layout.sum_by_cell(log_density(site) - _weighted(site, layout))
        return total[self.cell]


def _log_q(layout: Layout, sites: Sites, points: Array) -> LogWeights:
    """log q of every cell, on the unconstrained space."""
    total = _jacobians(layout, sites, points)
    for site in layout.sites:
        total += layout.sum_by_cell(log_density(sites[site.name]))
    return total


def _jacobians(layout: Layout, sites: Sites, points: Array) -> LogWeights:
    total = jnp.zeros(layout.num_cells, points.dtype)
    for site in layout.sites:
        z = layout.unconstrained(site, points)
        if not sites[site.name]["fn"].support.is_discrete:
            total += layout.sum_by_cell(log_jacobian(sites[site.name], z))
    return total


def _weighted(site: Sites, layout: Layout) -> Array:
    """The terms of a site as NumPyro counts them, of batch shape."""
    fn, value, intermediates = site["fn"], site["value"], site["intermediates"]
    log_prob = fn.log_prob(value, intermediates) if intermediates else fn.log_prob(value)
    times = weight(site, layout)
    return log_prob if times is None else times * log_prob
