"""A NumPyro AutoGuideList as a product of guides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.handlers import block, seed, substitute, trace
from numpyro.infer.autoguide import AutoGuide, AutoGuideList
from numpyro.infer.initialization import init_to_uniform

from vi_toolkit._checks import describe
from vi_toolkit.guides._guide_sites import is_latent
from vi_toolkit.guides.guide import Guide
from vi_toolkit.guides.product import ProductGuide


def product_of_parts(guides: AutoGuideList, target: Any, family: Callable[[Any], Guide]) -> Guide:
    """The product of the parts' families, each on the part of the flat vector that holds its sites."""
    if not hasattr(getattr(target, "program", None), "arguments"):
        raise TypeError(
            f"target: an AutoGuideList needs the target of the NumPyro model, to know which coordinates its parts stand"
            f" for, got {describe(target)}. Write vi.from_autoguide(guide, target)."
        )
    names = [_sites_of(part, place, target) for place, part in enumerate(guides)]
    _check_partition(names, target)
    spans = {site.name: range(site.start, site.stop) for site in target.sites}
    places = tuple(tuple(i for name in own for i in spans[name]) for own in names)
    return ProductGuide(tuple(family(part) for part in guides), places)


def _sites_of(part: Any, place: int, target: Any) -> list[str]:
    """The unknowns that the model of a part of the list shows, in the order of the flat vector."""
    if not isinstance(part, AutoGuide) or isinstance(part, AutoGuideList):
        raise ValueError(
            f"guide: part {place} of the AutoGuideList is {describe(part)}, expected an automatic guide. Write a guide "
            "function for the whole model, and use vi.from_numpyro_guide."
        )
    shown: set[str] = set()

    def run() -> Any:
        args, kwargs = target.program.arguments.call(target.data)
        model = substitute(seed(part.model, jax.random.key(0)), substitute_fn=init_to_uniform(radius=0.0))
        with block():
            shown.update(name for name, site in trace(model).get_trace(*args, **kwargs).items() if is_latent(site))
        return jnp.zeros(())

    try:
        jax.eval_shape(run)
    except NotImplementedError as error:
        raise ValueError(
            f"guide: part {place} of the AutoGuideList: its model could not be run, since a site hidden from the "
            "part cannot be drawn from its prior. Give that site a proper prior."
        ) from error
    return [site.name for site in target.sites if site.name in shown]


def _check_partition(names: list[list[str]], target: Any) -> None:
    every = [name for own in names for name in own]
    missing = [site.name for site in target.sites if site.name not in every]
    twice = sorted({name for name in every if every.count(name) > 1})
    empty = [place for place, own in enumerate(names) if not own]
    if missing or twice or empty:
        faults = [f"no part stands for {missing}"] * bool(missing) + [f"several stand for {twice}"] * bool(twice)
        faults += [f"parts {empty} stand for none"] * bool(empty)
        raise ValueError(
            f"guide: the parts of the AutoGuideList must stand for every site once, but {' and '.join(faults)}. Show "
            "each part its sites: AutoNormal(numpyro.handlers.block(model, expose=[...]))."
        )
