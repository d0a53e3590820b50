"""The groups of a tree that follow from draws on R^dim, with named dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.handlers import block, seed, substitute, trace
from numpyro.infer.initialization import init_to_uniform

from vi_toolkit._types import Key
from vi_toolkit.targets import Target
from vi_toolkit.targets.numpyro_program import NumPyroProgram
from vi_toolkit.targets.target import constrain_draws, predictive_draws

if TYPE_CHECKING:
    import xarray as xr

# Names of dimensions that ArviZ keeps for itself, or for the plots of several trees.
RESERVED = frozenset({"chain", "draw", "sample", "group", "model", "variable", "label", "ref_dim"})

Dims = Mapping[str, Sequence[str]]
Groups = dict[str, dict[str, Any]]


def tree_of_draws(
    target: Target,
    draws: Any,
    stats: dict[str, Any],
    coords: Mapping[str, Any],
    dims: Dims,
    predictive_key: Key | None = None,
) -> xr.DataTree:
    """The groups that follow from draws on R^dim (draws, dim); replicated data among them where there is a key."""
    import xarray as xr

    points = jnp.asarray(draws, jnp.result_type(float))
    groups: Groups = {**_places(target, points), "sample_stats": stats}
    observed = target.observed()
    if observed:
        groups["log_likelihood"] = dict(_log_likelihoods(target, points))
        if predictive_key is not None:
            groups["posterior_predictive"] = dict(predictive_draws(target, predictive_key, points))
        groups["observed_data"] = observed
    return xr.DataTree.from_dict(_datasets(target, groups, coords, dims))


def places_of_draws(target: Target, draws: Any, coords: Mapping[str, Any], dims: Dims) -> dict[str, xr.Dataset]:
    """Draws on R^dim (draws, dim) as in the groups ``posterior`` and ``unconstrained_posterior``."""
    return _datasets(target, _places(target, jnp.asarray(draws, jnp.result_type(float))), coords, dims)


def posterior_of_chains(target: Target, chains: Any, coords: Mapping[str, Any], dims: Dims) -> xr.Dataset:
    """Draws on R^dim (chains, draws, dim) as a group like ``posterior``."""
    import xarray as xr

    each = [places_of_draws(target, draws, coords, dims)["posterior"] for draws in chains]
    return xr.concat([one.assign_coords(chain=[k]) for k, one in enumerate(each)], "chain")


def _places(target: Target, points: Any) -> Groups:
    """The sites at points (draws, dim) in the model's order, deterministic ones last, and the points themselves."""
    sites = constrain_draws(target, points)  # sorted by name
    order = [site.name for site in target.sites if site.name in sites]
    named = {name: sites[name] for name in (*order, *(name for name in sites if name not in order))}
    return {"posterior": named, "unconstrained_posterior": _unconstrained(target, np.asarray(points))}


def _datasets(target: Target, groups: Groups, coords: Mapping[str, Any], dims: Dims) -> dict[str, xr.Dataset]:
    site_dims = _observed_dims(target) | target.dims | {name: tuple(names) for name, names in dims.items()}
    clean_coords = {_clean_dim(name): values for name, values in coords.items()}
    shapes = {site.name: site.shape for site in target.sites}
    return {group: _dataset(group, variables, site_dims, clean_coords, shapes) for group, variables in groups.items()}


@jax.jit
def _log_likelihoods(target: Target, draws: Any) -> Any:
    return jax.vmap(target.log_likelihood)(draws)


def _unconstrained(target: Target, draws: np.ndarray) -> dict[str, np.ndarray]:
    """The flat draws cut into sites; whole, as "z", where the sites are not parts of the flat vector."""
    if sum(site.stop - site.start for site in target.sites) != target.dim:
        return {"z": draws}
    return {s.name: draws[:, s.start : s.stop].reshape(-1, *s.unconstrained_shape) for s in target.sites}


def _observed_dims(target: Target) -> dict[str, tuple[str, ...]]:
    """Plate names for the observed sites of a NumPyro model."""
    program = target.program
    if not isinstance(program, NumPyroProgram):
        return {}
    found: dict[str, tuple[str, ...]] = {}

    def run(data: Any) -> Any:
        args, kwargs = program.arguments.call(data)
        start = substitute(seed(program.model, jax.random.key(0)), substitute_fn=init_to_uniform(radius=0.0))
        with block():
            sites = trace(start).get_trace(*args, **kwargs)
        found.update({name: _plates(name, sites[name]) for name in program.structure.observed})
        return jnp.zeros(())

    jax.eval_shape(run, target.data)
    return found


def _plates(name: str, site: dict[str, Any]) -> tuple[str, ...]:
    shape = np.shape(site["value"])
    names = [f"{name}_dim_{axis}" for axis in range(len(shape))]
    for frame in site["cond_indep_stack"]:
        axis = len(shape) - site["fn"].event_dim + frame.dim
        if 0 <= axis < len(shape) and shape[axis] == frame.size:
            names[axis] = frame.name
    return tuple(names)


def _dataset(
    group: str, variables: dict[str, Any], dims: Dims, coords: Mapping[str, Any], shapes: dict[str, tuple[int, ...]]
) -> xr.Dataset:
    """One group: (draws, ...) becomes (chain = 1, draw, ...), and every dimension has a name and labels."""
    from arviz_base import dict_to_dataset

    lead = 0 if group == "observed_data" else 1
    arrays, names = {}, {}
    for name, value in variables.items():
        array = np.asarray(value)
        clean = name.replace("/", "_")
        if clean in arrays:
            raise ValueError(f"dims: two sites are called {clean!r} once every '/' is a '_'. Rename one in the model.")
        moved = group == "unconstrained_posterior" and shapes.get(name, array.shape[1:]) != array.shape[1:]
        names[clean] = _names(clean, array.ndim - lead, () if moved else dims.get(name, ()), moved)
        arrays[clean] = array[None] if lead else array
    used = {dim for per_site in names.values() for dim in per_site}
    return dict_to_dataset(
        arrays,
        dims={name: list(per_site) for name, per_site in names.items()},
        coords={name: values for name, values in coords.items() if name in used},
        sample_dims=["chain", "draw"] if lead else [],
        check_conventions=False,
    )


def _names(site: str, ndim: int, given: Sequence[str], moved: bool) -> list[str]:
    """Names of a variable's dimensions: those given, cut to its own number of them, then numbered ones."""
    own = f"{site}_unconstrained_dim_" if moved else f"{site}_dim_"
    names = [_clean_dim(name) for name in given[:ndim]]
    return names + [f"{own}{axis}" for axis in range(len(names), ndim)]


def _clean_dim(name: str) -> str:
    name = name.replace("/", "_")
    return f"{name}_" if name in RESERVED else name
