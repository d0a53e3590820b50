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
from numpyro.distributions.transforms import AffineTransform, IndependentTransform, biject_to
from numpyro.handlers import block, seed, substitute, trace
from numpyro.infer import autoguide as autoguides
from numpyro.infer.initialization import init_to_value

from vi_toolkit._checks import check_instance
from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params, Vector
from vi_toolkit.guides.guide import Guide

_REFUSED = {
    autoguides.AutoDAIS: "its density cannot be evaluated, only bounded",
    autoguides.AutoLaplaceApproximation: "during a fit it is a single point; use vi.laplace()",
    autoguides.AutoBNAFNormal: "its flow cannot be inverted, so its density is unknown at a given point",
    autoguides.AutoBatchedMixin: "its blocks follow the model's batch shape; use FullRankNormal or LowRankNormal",
}


@dataclass(frozen=True)
class AutoguideFamily(Guide):
    """The family of a NumPyro autoguide on the flat unconstrained vector; made by `from_autoguide`."""

    autoguide: autoguides.AutoContinuous

    def init(self, key: Key, start: Start) -> Params:
        """The autoguide's own initial parameters, placed at the start and on its scale."""
        sites = _parameter_sites(self._place(start.location), key)
        params = {name: _unconstrain(site) for name, site in sites.items()}
        params["_location"] = start.location
        params["_log_scale"] = jnp.log(start.scale)
        return params

    def distribution(self, params: Params) -> dist.Distribution:
        """q(z) = the autoguide's distribution of u, with z = location + scale * u."""
        location = params["_location"]
        placed = self._place(location)
        sites = _parameter_sites(placed, jax.random.key(0))
        values = {name: _constrain(site, params[name]) for name, site in sites.items()}
        with block():
            standard = substitute(seed(placed._get_posterior, jax.random.key(0)), data=values)()
        placing = IndependentTransform(AffineTransform(location, jnp.exp(params["_log_scale"])), 1)
        return dist.TransformedDistribution(standard, placing)

    def _place(self, location: Vector) -> autoguides.AutoContinuous:
        """A copy over a flat model: the autoguide's family does not depend on the model, only on its size."""
        dim = location.shape[0]

        def flat_model() -> None:
            numpyro.sample("z", dist.ImproperUniform(constraints.real_vector, (), (dim,)))

        placed = copy.copy(self.autoguide)
        placed.model = flat_model
        placed.init_loc_fn = init_to_value(values={"z": jnp.zeros(dim, location.dtype)})
        placed.prototype_trace = None
        placed._prototype_frame_full_sizes = {}
        with block():
            seed(placed._setup_prototype, jax.random.key(0))()
        return placed


def _parameter_sites(placed: Any, key: Key) -> dict[str, Any]:
    with block():
        sites = trace(seed(placed._get_posterior, key)).get_trace()
    return {name: site for name, site in sites.items() if site["type"] == "param"}


def _constraint(site: dict[str, Any]) -> Any:
    return site["kwargs"].get("constraint", constraints.real)


def _unconstrain(site: dict[str, Any]) -> Any:
    return jax.tree.map(lambda value: biject_to(_constraint(site)).inv(jnp.asarray(value)), site["value"])


def _constrain(site: dict[str, Any], value: Any) -> Any:
    return jax.tree.map(lambda leaf: biject_to(_constraint(site))(leaf), value)


def from_autoguide(guide: autoguides.AutoContinuous) -> Guide:
    """Makes a guide of a NumPyro ``AutoContinuous`` guide: its family, on this target's flat vector.

    Only the family and its settings are used (rank, number of flows, initial scale): the location comes from
    the fit's own start, so that the same object serves any number of fits and restarts. Draws u of the
    autoguide are placed by z = location + scale * u, with location and scale fitted too.

    Args:
        guide: such as ``AutoDiagonalNormal(model)``, ``AutoMultivariateNormal(model)``,
            ``AutoLowRankMultivariateNormal(model)``, ``AutoIAFNormal(model)``.

    Raises:
        TypeError: if it is not an ``AutoContinuous`` instance.
        ValueError: if it has no density on the flat vector (AutoDAIS, AutoLaplaceApproximation,
            AutoBNAFNormal, AutoBatched...).

    Example:
        >>> import vi_toolkit as vi
        >>> from numpyro.infer.autoguide import AutoLowRankMultivariateNormal
        >>> guide = vi.from_autoguide(AutoLowRankMultivariateNormal(lambda: None, rank=2))
    """
    hint = "Pass an instance such as AutoMultivariateNormal(model); for AutoNormal use vi.MeanFieldNormal()."
    check_instance(guide, autoguides.AutoContinuous, "guide", hint)
    for kind, reason in _REFUSED.items():
        if isinstance(guide, kind):
            raise ValueError(f"guide: {type(guide).__name__} cannot be used here: {reason}.")
    return AutoguideFamily(guide)
