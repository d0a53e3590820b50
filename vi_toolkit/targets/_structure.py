"""What a NumPyro model consists of, found by tracing it once without computing anything."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions.transforms import biject_to
from numpyro.handlers import block, seed, substitute, trace
from numpyro.infer.initialization import init_to_uniform

from vi_toolkit._where import naming_the_site
from vi_toolkit.targets._arguments import Arguments
from vi_toolkit.targets._dependencies import find_dependencies
from vi_toolkit.targets._enumeration import check_discrete, first_free_dim, unsettled_sites
from vi_toolkit.targets._replicate import is_factor
from vi_toolkit.targets.target import Site


@dataclass(frozen=True)
class Structure:
    """The sites of a model: hashable, free of data."""

    sites: tuple[Site, ...]
    observed: tuple[str, ...]
    deterministic_dims: tuple[tuple[str, tuple[str, ...]], ...]
    prior_samples: bool  # whether every prior can be drawn from
    summed: tuple[str, ...]  # discrete sites that are summed out
    unsettled: tuple[str, ...]  # those, and the sites that depend on them
    first_free_dim: int  # from the right, where a discrete site may put its values
    remarks: tuple[str, ...]  # what is odd about them, in words


def find_structure(model: Callable[..., Any], arguments: Arguments, data: Any) -> Structure:
    """Runs the model abstractly and reads off its sites; raises on what cannot be fitted, naming the site."""
    found: dict[str, Any] = {}

    def run(data: Any) -> Any:
        args, kwargs = arguments.call(data)
        start = init_to_uniform(radius=0.0)
        with block(), naming_the_site(model, "model"):  # a trace inside another handler must not leak into it
            sites = trace(substitute(seed(model, jax.random.key(0)), substitute_fn=start)).get_trace(*args, **kwargs)
        unknown = {name: site for name, site in sites.items() if _is_latent(site)}
        latents = {name: site for name, site in unknown.items() if not site["fn"].support.is_discrete}
        _check_sites(model, arguments, sites, unknown)
        found["summed"] = {name: site["value"] for name, site in unknown.items() if name not in latents}
        found["first_free_dim"] = first_free_dim(sites)
        found["unsettled"] = unsettled_sites(model, args, kwargs, found["summed"]) if found["summed"] else ()
        found["sites"] = _layout(latents)
        found["remarks"] = _remarks(model, arguments, sites, args, kwargs)
        found["observed"] = tuple(name for name, site in sites.items() if _is_observed(site))
        found["dims"] = tuple(
            (name, _dims(name, site, np.ndim(site["value"])))
            for name, site in sites.items()
            if site["type"] == "deterministic" and site["cond_indep_stack"] and name not in found["unsettled"]
        )
        return jnp.zeros(())

    try:
        jax.eval_shape(run, data)
    except NotImplementedError as error:
        raise ValueError(f"model: NumPyro could not run it: {str(error) or 'a site cannot be sampled'}") from error
    return Structure(
        found["sites"],
        found["observed"],
        found["dims"],
        _prior_samples(model, arguments, data),
        tuple(found["summed"]),
        found["unsettled"],
        found["first_free_dim"],
        found["remarks"],
    )


def _is_latent(site: dict[str, Any]) -> bool:
    return site["type"] == "sample" and not site["is_observed"]


def _has_value(site: dict[str, Any]) -> bool:
    return site["type"] == "sample" and bool(site["is_observed"])


def _is_observed(site: dict[str, Any]) -> bool:
    return _has_value(site) and not is_factor(site["fn"])


def _layout(latents: dict[str, Any]) -> tuple[Site, ...]:
    sites, start = [], 0
    for name, site in latents.items():
        value = jax.ShapeDtypeStruct(np.shape(site["value"]), jnp.result_type(float))
        shape = jax.eval_shape(biject_to(site["fn"].support).inv, value).shape
        stop = start + int(np.prod(shape))
        sites.append(Site(name, start, stop, shape, value.shape, _dims(name, site, len(value.shape))))
        start = stop
    return tuple(sites)


def _dims(name: str, site: dict[str, Any], ndim: int) -> tuple[str, ...]:
    """Plate names for the batch dimensions, numbered names for the others."""
    event_dim = site["fn"].event_dim if site["type"] == "sample" else 0
    names = [f"{name}_dim_{axis}" for axis in range(ndim)]
    for frame in site["cond_indep_stack"]:
        axis = ndim - event_dim + frame.dim
        if 0 <= axis < ndim and np.shape(site["value"])[axis] == frame.size:
            names[axis] = frame.name
    return tuple(names)


def _check_sites(
    model: Callable[..., Any], arguments: Arguments, sites: dict[str, Any], latents: dict[str, Any]
) -> None:
    _check_kinds(sites, latents)
    _check_observed_given(model, arguments, sites, latents)
    for name, site in sites.items():
        if _is_observed(site):
            _check_observed_shape(name, site)


def _check_kinds(sites: dict[str, Any], latents: dict[str, Any]) -> None:
    for name, site in sites.items():
        if site["type"] == "param":
            raise ValueError(
                f"model: {name!r} is a numpyro.param, a number without a prior. Give it one with numpyro.sample "
                "(numpyro.distributions.ImproperUniform for a flat one), or fix its value."
            )
        if site["type"] == "plate" and site["args"][1] not in (None, site["args"][0]):
            raise ValueError(
                f"model: plate {name!r} takes {site['args'][1]} of {site['args'][0]} rows at random, which makes the "
                "log density random. Give the plate no subsample_size, and pass all the data."
            )
    for name, site in latents.items():
        if site["fn"].support.is_discrete:
            check_discrete(name, site)
    if all(site["fn"].support.is_discrete for site in latents.values()):
        rest = f" once {sorted(latents)} are summed out" if latents else ""
        raise ValueError(
            f"model: it has no latent site{rest}, so there is nothing to fit. Its sites: {sorted(sites) or 'none'}."
        )


def _check_observed_given(
    model: Callable[..., Any], arguments: Arguments, sites: dict[str, Any], latents: dict[str, Any]
) -> None:
    """An argument left at None whose site became an unknown, or whose absence left the model without data."""
    absent = _absent(model, arguments)
    has_data = any(_has_value(site) for site in sites.values())
    culprit = next((name for name in absent if name in latents), None)
    if culprit is None and absent and not has_data:
        culprit = absent[0]
    if culprit is not None:
        raise ValueError(
            f"model: its argument {culprit!r} was not given (it is None), so the model has "
            f"{f'an unknown site {culprit!r} where data belong' if culprit in latents else 'no observed site'}. "
            f"Pass the data: vi.from_numpyro(model, ..., {culprit}=...)."
        )


def _absent(model: Callable[..., Any], arguments: Arguments) -> list[str]:
    """The arguments that are None."""
    given = dict(zip(arguments.names, arguments.static, strict=True))
    parameters = inspect.signature(model).parameters.values()
    return [p.name for p in parameters if given.get(p.name, p.default) is None]


def _remarks(
    model: Callable[..., Any], arguments: Arguments, sites: dict[str, Any], args: Any, kwargs: Any
) -> tuple[str, ...]:
    """A model without data, and unknowns that may be data which were left out under another name."""
    if not any(_has_value(site) for site in sites.values()):
        return (
            "model: it has no observed site and no numpyro.factor, so what is fitted is its prior. If data belong to "
            "it, pass them with obs=.",
        )
    absent = _absent(model, arguments)
    if not absent:
        return ()
    behind = find_dependencies(model, args, kwargs)
    used = {name for site, unknowns in behind.items() for name in unknowns if name != site}
    ends = [name for name, site in sites.items() if _is_latent(site) and name not in used]
    return tuple(
        f"model: no other site depends on the unknown {name!r}, and the argument(s) {absent} are None. If {name!r} is "
        "meant to be data, pass them; as it is, it follows its prior."
        for name in ends
    )


def _check_observed_shape(name: str, site: dict[str, Any]) -> None:
    value, expected = np.shape(site["value"]), site["fn"].shape()
    if int(np.prod(value)) == 1:
        return
    plates = "".join(f" in plate {frame.name!r} of size {frame.size}" for frame in site["cond_indep_stack"])
    facts = (
        f"model: observed site {name!r} has data of shape {value}, but its distribution{plates} has shape {expected}"
    )
    try:
        together = np.broadcast_shapes(value, expected)
    except ValueError:
        raise ValueError(
            f"{facts}, and the two do not go together. Give the plate as many rows as the data have."
        ) from None
    if together == value:
        return
    if value == (*expected, 1):
        fix = f"Take the axis out of the data: {name}[..., 0]" + f", that is {name}[:, 0]" * (len(value) == 2)
    elif len(expected) > len(value):
        fix = "Look for a parameter of the distribution with an axis too many, such as x[:, None] where x is meant"
    else:
        fix = f"Reshape the data, with {name}[:, 0] say, or the parameters of the distribution"
    raise ValueError(
        f"{facts}: by broadcasting they would count {int(np.prod(together))} terms, not {int(np.prod(value))}. {fix}."
    )


def _prior_samples(model: Callable[..., Any], arguments: Arguments, data: Any) -> bool:
    def draw(data: Any) -> Any:
        args, kwargs = arguments.call(data)
        with block():
            sites = trace(seed(model, jax.random.key(0))).get_trace(*args, **kwargs)
        return {name: site["value"] for name, site in sites.items() if _is_latent(site)}

    try:
        jax.eval_shape(draw, data)
    except (NotImplementedError, ValueError, AttributeError):  # improper priors cannot be drawn from
        return False
    return True
