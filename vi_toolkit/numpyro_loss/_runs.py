"""Runs of a NumPyro guide and model within one evaluation of a loss, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpyro.distributions.flows import BlockNeuralAutoregressiveTransform
from numpyro.handlers import block, replay, seed, substitute, trace
from numpyro.ops.provenance import eval_provenance
from numpyro.util import check_model_guide_match

from vi_toolkit._types import Key, Params
from vi_toolkit.numpyro_loss._layout import Layout, SampledSite, Sites, bijection, is_latent, is_point, unmasked


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs with the same rows of every subsampled plate, and the same keys for what is random but no site."""

    model: Callable[..., Any]
    guide: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    plate_key: Key
    noise_key: Key

    def draw(self, params: Params, key: Key) -> Sites:
        """The trace of the guide at a draw of its own. Keys are split as NumPyro's losses split them."""
        return self._trace(self.guide, params, jax.random.split(key)[1])

    def guide_at(self, params: Params, layout: Layout, points: Array) -> Sites:
        """The trace of the guide with its draws at an array (cells, dim)."""
        there = substitute(self.guide, substitute_fn=lambda message: layout.value(message, points))
        return self._trace(there, params, self.noise_key)

    def model_given(self, params: Params, guide_sites: Sites) -> Sites:
        """The trace of the model with the values, and the rows of plates, of a trace of the guide."""
        return self._trace(replay(self.model, guide_sites), params, self.noise_key)

    def _trace(self, function: Callable[..., Any], params: Params, key: Key) -> Sites:
        rows = seed(function, self.plate_key, hide_types=["sample", "prng_key", "control_flow"])
        noise = seed(rows, self.noise_key, hide_types=["sample", "plate", "control_flow"])
        with block():  # a trace inside another handler must not leak into it
            sites: Sites = trace(substitute(seed(noise, key), data=params)).get_trace(*self.args, **self.kwargs)
        return sites


@dataclass(frozen=True)
class Structure:
    """What an objective has to know of a guide and a model: free of data."""

    layout: Layout
    reparameterised: bool  # whether all draws carry gradients
    discrete: bool  # whether some draws are whole numbers
    invertible: bool  # whether log q at a given point is known
    scaled: bool  # whether sites that the guide draws are scaled or masked, beyond the shared plates
    subsampled: tuple[str, ...]  # plates that are subsampled, but not shared by all sites
    learned: tuple[str, ...]  # sites by which the parameters enter log p at given draws: the model's, and point values
    moving: tuple[str, ...]  # sites that the guide draws on a support that depends on the parameters


def find_structure(runs: Runs, params: Params) -> Structure:
    """Runs guide and model abstractly and reads off their sites; raises on what no loss can take, naming the site."""
    found: dict[str, Any] = {}

    def look(params: Params) -> Array:
        found["guide"] = runs.draw(params, runs.noise_key)
        found["model"] = runs.model_given(params, found["guide"])
        found["layout"] = _layout(found["guide"], found["model"])
        return jnp.zeros(())

    jax.eval_shape(look, params)
    guide, model, layout = found["guide"], found["model"], found["layout"]
    _check_sites(guide, model)
    drawn = [guide[site.name] for site in layout.sites]
    moving, points = _dependent(runs, params, layout)
    plates = [site for site in (guide | model).values() if site["type"] == "plate" and _thinning(site) > 1]
    return Structure(
        layout,
        reparameterised=all(site["fn"].has_rsample for site in drawn),
        discrete=any(site["fn"].support.is_discrete for site in drawn),
        invertible=not any(_has_no_inverse(site["fn"]) for site in drawn),
        scaled=any(weight(s, layout) is not None or unmasked(s["fn"]) is not s["fn"] for s in drawn),
        subsampled=tuple(s["name"] for s in plates if s["name"] not in {frame.name for frame in layout.plates}),
        learned=points + tuple(name for name, site in model.items() if site["type"] == "param"),
        moving=moving,
    )


def weight(site: Sites, layout: Layout) -> Any:
    """How often a term of a site counts, the scale of the shared plates left out; None where once."""
    scale = 1.0 if site["scale"] is None else site["scale"]
    if isinstance(scale, (int, float, np.number)):
        return None if abs(scale / layout.scale - 1.0) < 1e-12 else scale / layout.scale
    return scale / layout.scale


def _layout(guide: Sites, model: Sites) -> Layout:
    stacks = [set(s["cond_indep_stack"]) for t in (guide, model) for s in t.values() if s["type"] == "sample"]
    plates = tuple(sorted(set.intersection(*stacks) if stacks else set(), key=lambda frame: frame.dim))
    empty = Layout((), plates, float(np.prod([_thinning(model[frame.name]) for frame in plates])))
    sites: list[SampledSite] = []
    start = 0
    for name, site in guide.items():
        if not is_latent(site) or is_point(site):
            continue
        fn, shape = site["fn"], jnp.shape(bijection(site).inv(site["value"]))
        stop = start + int(np.prod(shape, dtype=int)) // empty.num_cells
        sites.append(SampledSite(name, shape, len(fn.batch_shape), jnp.result_type(site["value"]), start, stop))
        start = stop
    return Layout(tuple(sites), plates, empty.scale)


def _thinning(plate: Sites) -> float:
    """How many rows of a plate one of those that are taken stands for."""
    size, taken = plate["args"][0], len(plate["value"])
    return float(size / taken)


def _dependent(runs: Runs, params: Params, layout: Layout) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The drawn sites, and the points, whose values depend on the parameters where all draws are given."""
    points = jnp.zeros((layout.num_cells, layout.dim))

    def values(params: Params) -> dict[str, Array]:
        sites = runs.guide_at(params, layout, points)
        return {name: site["value"] for name, site in sites.items() if is_latent(site)}

    names = [name for name, sources in eval_provenance(values, params=params).items() if sources]
    drawn = {site.name for site in layout.sites}
    return tuple(name for name in names if name in drawn), tuple(name for name in names if name not in drawn)


def _has_no_inverse(fn: Any) -> bool:
    """Whether a distribution is made by a flow that runs in one direction only."""
    inner = getattr(fn, "base_dist", None)
    own = getattr(fn, "transforms", ())
    return any(isinstance(part, BlockNeuralAutoregressiveTransform) for part in own) or (
        inner is not None and _has_no_inverse(inner)
    )


def _check_sites(guide: Sites, model: Sites) -> None:
    mutable = [name for name, site in (guide | model).items() if site["type"] == "mutable"]
    if mutable:
        raise ValueError(
            f"model: {mutable} are mutable sites, which a loss of several draws cannot carry. Use "
            "numpyro.infer.Trace_ELBO() with one particle."
        )
    missing = [name for name, site in model.items() if is_latent(site) and name not in guide]
    if missing:
        raise ValueError(f"guide: it has no sample sites {missing}, which are unknowns of the model. Add them.")
    check_model_guide_match(model, guide)
