"""The sites of a NumPyro guide function: its parameters, and whether its sample sites are the model's unknowns."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.transforms import biject_to

from vi_toolkit._checks import describe
from vi_toolkit._where import kind_of, naming_the_site

NUM_POINTS = 64  # at which two supports are held against each other


def is_latent(site: dict[str, Any]) -> bool:
    """Whether a site of a trace is an unknown."""
    return site["type"] == "sample" and not site["is_observed"]


def unconstrained(site: dict[str, Any]) -> Any:
    """The value of a numpyro.param site without its constraint; it may be a pytree."""
    bijection = biject_to(_constraint(site))
    return jax.tree.map(lambda leaf: bijection.inv(jnp.asarray(leaf, jnp.result_type(float))), site["value"])


def constrained(site: dict[str, Any], value: Any) -> Any:
    """The way back from `unconstrained`."""
    return jax.tree.map(biject_to(_constraint(site)), value)


def check_numpyro_target(target: Any) -> None:
    """Raises unless a target is of a NumPyro model, whose sites and arguments are at hand."""
    if not hasattr(getattr(target, "program", None), "arguments"):
        raise TypeError(
            f"target: expected a target of a NumPyro model, got {describe(target)}. Make one with "
            "vi.from_numpyro(model, ...)."
        )


def check_guide(guide: Any, target: Any) -> None:
    """Raises where a guide function does not fit the model of the target, naming the site."""
    _check_signature(guide.function, target)
    supports: dict[str, tuple[Any, Any]] = {}

    def compare(target: Any, key: Any) -> dict[str, Any]:
        with naming_the_site(guide.function, "guide"):
            sites = guide.run(key, {}, {})
        _check_kinds(sites)
        _check_sites(sites, target)
        values = {site.name: sites[site.name]["value"] for site in target.sites}
        for name, support in target.program.supports(target.data, values).items():
            supports[name] = (support, sites[name]["fn"].support)
        return {name: _same_set(*supports[name], values[name].shape, key) for name in values}

    for name, same in jax.device_get(jax.jit(compare)(target, jax.random.key(0))).items():
        if not same:
            theirs, ours = (str(support) for support in supports[name])
            raise ValueError(
                f"guide: site {name!r} has the support {ours}, in the model it has {theirs}. Give it a distribution on "
                "that set. A TransformedDistribution may need the domain of its AffineTransform spelled out."
            )


def _constraint(site: dict[str, Any]) -> Any:
    return site["kwargs"].get("constraint", constraints.real)


def _check_signature(function: Any, target: Any) -> None:
    args, kwargs = target.program.arguments.call(target.data)
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(
            f"guide: it does not take the model's arguments ({error}). NumPyro calls the guide as it calls the model: "
            "give both the same arguments, or write def guide(*args, **kwargs)."
        ) from None


def _check_kinds(sites: dict[str, Any]) -> None:
    if not any(site["type"] == "param" for site in sites.values()):
        raise ValueError("guide: it has no numpyro.param, so there is nothing to fit.")
    for name, site in sites.items():
        if site["type"] == "mutable":
            raise ValueError(f"guide: {name!r} is mutable state, and the parameters of a fit are numpyro.param sites.")
        if site["type"] == "plate" and site["args"][1] not in (None, site["args"][0]):
            raise ValueError(f"guide: plate {name!r} takes a part of its rows at random. Give it no subsample_size.")
        fault = _fault(site) if site["type"] == "sample" else None
        if fault:
            raise ValueError(f"guide: site {name!r} ({kind_of(site['fn'])}) {fault}.")


def _fault(site: dict[str, Any]) -> str | None:
    """Why a sample site has no place in a density that can be evaluated and drawn from with gradients."""
    fn = site["fn"]
    if site["infer"].get("is_auxiliary"):
        return "is auxiliary: the density of the others would be an integral over it. Leave it out"
    if site["is_observed"]:
        return "is observed, and a guide samples. Leave it to the model"
    if site["scale"] is not None or any(isinstance(layer, dist.MaskedDistribution) for layer in _layers(fn)):
        return "is scaled or masked, so that its term is no log density"
    if any(isinstance(layer, dist.Delta) for layer in _layers(fn)):
        return "is a point, which has no density. Give it a distribution with some width"
    if fn.support.is_discrete:
        return "is discrete. Sum it out of the model instead"
    if not fn.has_rsample:
        return "is not reparameterised by NumPyro, so that its draws carry no gradients. Use another distribution"
    return None


def _layers(fn: Any) -> list[Any]:
    """A distribution and those that it wraps."""
    layers = [fn]
    while hasattr(layers[-1], "base_dist"):
        layers.append(layers[-1].base_dist)
    return layers


def _check_sites(sites: dict[str, Any], target: Any) -> None:
    """The names and shapes of the sample sites are those of the model's unknowns."""
    ours = {name for name, site in sites.items() if is_latent(site)}
    theirs = {site.name for site in target.sites}
    if ours != theirs:
        missing, extra = sorted(theirs - ours), sorted(ours - theirs)
        faults = [f"it does not sample {missing}"] * bool(missing) + [f"it samples {extra}"] * bool(extra)
        raise ValueError(f"guide: {' and '.join(faults)}; the model's unknowns are {sorted(theirs)}.")
    for site in target.sites:
        shape = jnp.shape(sites[site.name]["value"])
        if shape != site.shape:
            raise ValueError(
                f"guide: site {site.name!r} has shape {shape}, in the model it has shape {site.shape}. Put it into the "
                "model's plates, or expand its distribution."
            )


def _same_set(one: Any, other: Any, shape: tuple[int, ...], key: Any) -> Any:
    """Whether random points of each of two supports lie in the other."""
    return jnp.all(one(_points(other, shape, key))) & jnp.all(other(_points(one, shape, key)))


def _points(support: Any, shape: tuple[int, ...], key: Any) -> Any:
    bijection = biject_to(support)
    return bijection(2.0 * jax.random.normal(key, (NUM_POINTS, *bijection.inverse_shape(shape))))
