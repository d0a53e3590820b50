"""NumPyro's automatic guides as guides."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.transforms import AffineTransform, IndependentTransform
from numpyro.handlers import block, seed, substitute, trace
from numpyro.infer import autoguide as autoguides
from numpyro.infer.initialization import init_to_value

from vi_toolkit._checks import check_instance
from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params, Vector
from vi_toolkit.guides._autoguide_list import product_of_parts
from vi_toolkit.guides._guide_sites import constrained, unconstrained
from vi_toolkit.guides.guide import Guide

_REFUSED = {
    autoguides.AutoDelta: "it is a point, which has no density",
    autoguides.AutoSemiDAIS: "its density cannot be evaluated, only bounded",
    autoguides.AutoDAIS: "its density cannot be evaluated, only bounded",
    autoguides.AutoLaplaceApproximation: "during a fit it is a single point; use vi.laplace()",
    autoguides.AutoBNAFNormal: "its flow cannot be inverted, so its density is unknown at a given point",
    autoguides.AutoBatchedMixin: "its blocks follow the model's batch shape; use FullRankNormal or LowRankNormal",
}


@dataclass(frozen=True)
class AutoguideFamily(Guide):
    """The family of a NumPyro autoguide on the flat unconstrained vector; made by `from_autoguide`."""

    autoguide: autoguides.AutoContinuous | autoguides.AutoNormal

    def init(self, key: Key, start: Start) -> Params:
        """The autoguide's own initial parameters, placed at the start and on its scale."""
        sites = _parameter_sites(self._place(start.location), key)
        params = {name: unconstrained(site) for name, site in sites.items()}
        params["_location"] = start.location
        params["_log_scale"] = jnp.log(start.scale)
        return params

    def distribution(self, params: Params) -> dist.Distribution:
        """q(z) = the autoguide's distribution of u, with z = location + scale * u."""
        location = params["_location"]
        placed = self._place(location)
        sites = _parameter_sites(placed, jax.random.key(0))
        values = {name: constrained(site, params[name]) for name, site in sites.items()}
        with block():
            standard = substitute(seed(placed._get_posterior, jax.random.key(0)), data=values)()
        placing = IndependentTransform(AffineTransform(location, jnp.exp(params["_log_scale"])), 1)
        return dist.TransformedDistribution(standard, placing)

    def _place(self, location: Vector) -> autoguides.AutoContinuous:
        """A copy over a flat model: the autoguide's family does not depend on the model, only on its size."""
        dim = location.shape[0]

        def flat_model() -> None:
            numpyro.sample("z", dist.ImproperUniform(constraints.real_vector, (), (dim,)))

        placed = copy.copy(_on_the_flat_vector(self.autoguide))
        placed.model = flat_model
        placed.init_loc_fn = init_to_value(values={"z": jnp.zeros(dim, location.dtype)})
        placed.prototype_trace = None
        placed._prototype_frame_full_sizes = {}
        with block():
            seed(placed._setup_prototype, jax.random.key(0))()
        return placed


def _on_the_flat_vector(guide: Any) -> autoguides.AutoContinuous:
    """AutoNormal site by site is AutoDiagonalNormal on the flat vector; the others are there already."""
    if not isinstance(guide, autoguides.AutoNormal):
        return guide
    return autoguides.AutoDiagonalNormal(guide.model, prefix=guide.prefix, init_scale=guide._init_scale)


def _parameter_sites(placed: Any, key: Key) -> dict[str, Any]:
    with block():
        sites = trace(seed(placed._get_posterior, key)).get_trace()
    return {name: site for name, site in sites.items() if site["type"] == "param"}


def from_autoguide(guide: autoguides.AutoGuide, target: Any = None) -> Guide:
    """Makes a guide of a NumPyro ``AutoContinuous`` guide: its family, on this target's flat vector.

    Only the family and its settings are used (rank, number of flows, initial scale): the location comes from
    the fit's own start, so that the same object serves any number of fits and restarts. Draws u of the
    autoguide are placed by z = location + scale * u, with location and scale fitted too.

    An ``AutoGuideList`` of such guides, each over some of the model's sites, becomes the product of their families:
    q(z) = prod_j q_j(z_j), z_j the part of the flat vector that holds the sites of its part j.

    Args:
        guide: such as ``AutoDiagonalNormal(model)``, ``AutoNormal(model)``, ``AutoMultivariateNormal(model)``,
            ``AutoLowRankMultivariateNormal(model)``, ``AutoIAFNormal(model)``, or an ``AutoGuideList`` of these.
        target: from `vi.from_numpyro`; needed for an ``AutoGuideList``, to know which coordinates its parts stand for.

    Raises:
        TypeError: if it is no instance of these, or an ``AutoGuideList`` came without a target of a NumPyro model.
        ValueError: if it has no density on the flat vector (AutoDelta, AutoDAIS, AutoLaplaceApproximation,
            AutoBNAFNormal, AutoBatched...), or the parts of a list do not stand for every site once.

    Example:
        >>> import vi_toolkit as vi
        >>> from numpyro.infer.autoguide import AutoLowRankMultivariateNormal
        >>> guide = vi.from_autoguide(AutoLowRankMultivariateNormal(lambda: None, rank=2))
    """
    if isinstance(guide, autoguides.AutoGuideList):
        return product_of_parts(guide, target, from_autoguide)
    for kind, reason in _REFUSED.items():
        if isinstance(guide, kind):
            raise ValueError(f"guide: {type(guide).__name__} cannot be used here: {reason}.")
    kinds = (autoguides.AutoContinuous, autoguides.AutoNormal, autoguides.AutoGuideList)
    check_instance(guide, kinds, "guide", "Pass an instance such as AutoMultivariateNormal(model).")
    return AutoguideFamily(guide)
