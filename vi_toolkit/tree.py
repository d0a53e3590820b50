"""Fits and exact posteriors as ArviZ's DataTree: draws in groups with named dimensions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.handlers import block, seed, substitute, trace
from numpyro.infer.initialization import init_to_uniform

from vi_toolkit._checks import check_instance, check_key, check_positive_int
from vi_toolkit._types import Key
from vi_toolkit.diagnostics._scores import draw_and_score
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.fit import Fit
from vi_toolkit.targets import Target
from vi_toolkit.targets.numpyro_program import NumPyroProgram
from vi_toolkit.targets.target import constrain_draws, log_densities
from vi_toolkit.windows import WINDOW_ARRAYS

if TYPE_CHECKING:
    import xarray as xr

# Names of dimensions that ArviZ keeps for itself, or for the plots of several trees.
RESERVED = frozenset({"chain", "draw", "sample", "group", "model", "variable", "label", "ref_dim"})
PACKAGES = ("vi-toolkit", "jax", "numpyro", "arviz")

Dims = Mapping[str, Sequence[str]]
Groups = dict[str, dict[str, Any]]


def to_datatree(
    key: Key,
    fit: Fit,
    *,
    num_draws: int = 1000,
    coords: Mapping[str, Any] | None = None,
    dims: Dims | None = None,
) -> xr.DataTree:
    """Draws from a fitted q, as the tree that ArviZ's summaries and plots take.

    Groups, all with ``chain`` = 1 (the draws are independent: R-hat and ESS say nothing about how good q is):

    - ``posterior``: the model's sites in their own space, deterministic ones included, in JAX's precision;
    - ``unconstrained_posterior``: the same draws on R^dim, site by site;
    - ``sample_stats``: ``log_p`` (unnormalised, on R^dim), ``log_q``, ``log_weight`` = log_p - log_q, in nats;
    - ``log_likelihood``, ``observed_data``: where the target is a NumPyro model with data;
    - ``fit``: the history, over ``step`` and ``window``, and as attributes how the fit came about; lists and versions
      are JSON.

    Args:
        key: a JAX random key.
        fit: from `vi.fit`.
        num_draws: how many draws. Trees that are to be plotted together need the same number.
        coords: {dimension: labels}.
        dims: {site: names of its dimensions}, beyond those that the model's plates give. A dimension whose name ArviZ
            reserves (``group``, ``model``, ``draw``, ...) is given a trailing underscore, and a "/" in a site's name
            becomes "_".

    Returns:
        The tree; ``tree.to_netcdf(path)`` saves it and ``arviz.from_netcdf(path)`` reads it back.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``num_draws`` is below 1, or dims and coords do not fit the sites.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2)
        >>> tree = vi.to_datatree(jax.random.key(1), vi.fit(jax.random.key(0), target), num_draws=100)
        >>> dict(tree["posterior"].sizes)
        {'chain': 1, 'draw': 100, 'z_dim_0': 2}
    """
    check_key(key)
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    num_draws = check_positive_int(num_draws, "num_draws")
    scores = draw_and_score(key, fit, num_draws)
    stats = {"log_p": scores.log_p, "log_q": scores.log_q, "log_weight": scores.log_weights}
    tree = _tree(fit.target, scores.draws, stats, coords or {}, dims or {})
    tree["fit"] = _history(fit)
    return tree


def exact_to_datatree(
    key: Key,
    exact: ExactPosterior,
    *,
    num_draws: int = 1000,
    coords: Mapping[str, Any] | None = None,
    dims: Dims | None = None,
) -> xr.DataTree:
    """Draws from an exact posterior, as a tree of the same variables and shape as `to_datatree` gives for a fit to it.

    Args:
        key: a JAX random key.
        exact: from `vi.exact`.
        num_draws: how many draws; take as many as for the fits that it is plotted with.
        coords: as for `to_datatree`.
        dims: as for `to_datatree`.

    Returns:
        The tree, without the group ``fit``; ``log_q`` and ``log_weight`` are there where log Z is known, with q = p.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``num_draws`` is below 1, or dims and coords do not fit the sites.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> exact = vi.exact.beta_binomial(7, 10, a=1.0, b=1.0)
        >>> vi.exact_to_datatree(jax.random.key(0), exact, num_draws=100)["posterior"].sizes["draw"]
        100
    """
    check_instance(exact, ExactPosterior, "exact", "Make one with vi.exact, for example vi.exact.grid(target).")
    draws = exact.sample(key, num_draws)
    log_p = np.asarray(log_densities(exact.target, draws), np.float64)
    stats = {"log_p": log_p}
    if exact.log_evidence is not None:
        stats |= {"log_q": log_p - exact.log_evidence, "log_weight": np.full(num_draws, exact.log_evidence)}
    return _tree(exact.target, np.asarray(draws), stats, coords or {}, dims or {})


def _tree(target: Target, draws: Any, stats: dict[str, Any], coords: Mapping[str, Any], dims: Dims) -> xr.DataTree:
    """The groups that follow from draws on R^dim (draws, dim)."""
    import xarray as xr

    points = jnp.asarray(draws, jnp.result_type(float))
    site_dims = _observed_dims(target) | target.dims | {name: tuple(names) for name, names in dims.items()}
    groups: Groups = {
        "posterior": dict(constrain_draws(target, points)),
        "unconstrained_posterior": _unconstrained(target, np.asarray(points)),
        "sample_stats": stats,
    }
    observed = target.observed()
    if observed:
        groups["log_likelihood"] = dict(_log_likelihoods(target, points))
        groups["observed_data"] = observed
    clean_coords = {_clean_dim(name): values for name, values in coords.items()}
    shapes = {site.name: site.shape for site in target.sites}
    datasets = {
        group: _dataset(group, variables, site_dims, clean_coords, shapes) for group, variables in groups.items()
    }
    return xr.DataTree.from_dict(datasets)


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


def _history(fit: Fit) -> xr.DataTree:
    import xarray as xr

    steps = {name: values for name, values in fit.history.items() if name not in WINDOW_ARRAYS}
    windows = {name: fit.history[name] for name in WINDOW_ARRAYS if name in fit.history}
    num_windows = max((len(values) for values in windows.values()), default=0)
    variables = {name: ("step", values) for name, values in steps.items()}
    variables |= {name: ("window", values) for name, values in windows.items()}
    coords = {"step": np.arange(1, fit.num_steps + 1), "window": np.arange(1, num_windows + 1)}
    attributes = {
        "method": re.sub(r" at 0x[0-9a-f]+", "", repr(fit.method)),  # addresses of functions say nothing
        "status": fit.status.name,
        "num_steps": fit.num_steps,
        "num_gradients": float(fit.num_gradients),
        "warnings": json.dumps(fit.warnings),
        "versions": json.dumps(versions()),
    }
    return xr.DataTree(xr.Dataset(variables, coords=coords, attrs=attributes))


def versions() -> dict[str, str]:
    """The versions of this package and of those that its results depend on.

    Example:
        >>> from vi_toolkit.tree import versions
        >>> sorted(versions())
        ['arviz', 'jax', 'numpyro', 'vi-toolkit']
    """
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # the sources are on the path and nothing is installed
        return "unknown"
