"""The scalar coordinates of a model's sites: their labels and their draws."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from vi_toolkit.targets import Target
from vi_toolkit.targets.target import constrain_draws

Coords = Mapping[str, Sequence[Any]]
Dims = Mapping[str, Sequence[str]]
Columns = dict[str, np.ndarray]  # {label of a coordinate: its draws}


def columns(target: Target, draws: Any, sites: Sequence[str], coords: Coords, dims: Dims) -> Columns:
    """Draws of R^dim (draws, dim) as draws of every scalar of the sites, in the model's own space."""
    values = constrain_draws(target, jax.numpy.asarray(draws))
    names = target.dims | {site: tuple(given) for site, given in dims.items()}
    out: Columns = {}
    for site in sites:
        value = np.asarray(values[site], np.float64)
        flat = value.reshape(len(value), -1)
        out |= dict(zip(labels(site, value.shape[1:], names.get(site, ()), coords), flat.T, strict=True))
    return out


def labels(site: str, shape: tuple[int, ...], dims: Sequence[str], coords: Coords) -> list[str]:
    """``site[place]`` for each scalar of a site, a place being a coordinate's name where it has one."""
    if not shape:
        return [site]
    names = [*dims, *(f"{site}_dim_{axis}" for axis in range(len(dims), len(shape)))]
    given = [list(coords.get(name, ())) for name in names]
    places = [known if len(known) == n else range(n) for known, n in zip(given, shape, strict=False)]
    return [f"{site}[{', '.join(map(str, place))}]" for place in itertools.product(*places)]


def all_sites(target: Target) -> list[str]:
    """The names of every site that `constrain` returns, unknowns first, then deterministic ones."""
    shapes = jax.eval_shape(target.constrain, jax.ShapeDtypeStruct((target.dim,), jax.numpy.result_type(float)))
    unknown = [site.name for site in target.sites]
    return unknown + [name for name in shapes if name not in unknown]


def check_sites(target: Target, sites: Sequence[str] | None) -> list[str]:
    """``sites``, by default all; raises ValueError where one is unknown."""
    known = all_sites(target)
    unknown = [site for site in sites or () if site not in known]
    if unknown:
        raise ValueError(f"sites: expected some of {known}, got {unknown[0]!r}.")
    return list(sites or known)


def coordinate_labels(target: Target) -> list[str]:
    """The names of the entries of z, those of their sites; "(unconstrained)" where the model's space is another."""
    points = np.random.default_rng(0).normal(size=(3, target.dim))
    return list(flat_columns(target, points, {}, {}))


def flat_columns(target: Target, draws: np.ndarray, coords: Coords, dims: Dims) -> Columns:
    """Draws of every entry of z, under its site's own name where the model's space is R^dim already."""
    if sum(site.stop - site.start for site in target.sites) != target.dim:
        return {f"z[{i}]": draws[:, i] for i in range(target.dim)}
    some = constrain_draws(target, jax.numpy.asarray(draws[:3]))
    names = target.dims | {site: tuple(given) for site, given in dims.items()}
    out: Columns = {}
    for site in target.sites:
        own = np.asarray(some[site.name], np.float64).reshape(len(draws[:3]), -1)
        raw = draws[:, site.start : site.stop]
        shape = () if raw.shape[1] == 1 else site.unconstrained_shape
        given = names.get(site.name, ()) if shape == site.shape else ()
        same = own.shape == raw[:3].shape and np.allclose(own, raw[:3])
        ending = "" if same else " (unconstrained)"
        out |= {f"{label}{ending}": raw[:, i] for i, label in enumerate(labels(site.name, shape, given, coords))}
    return out
