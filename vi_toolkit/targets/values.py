"""A model's unknowns in its own space: the numbers that are not coordinates of R^dim already."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from vi_toolkit._pieces import in_pieces
from vi_toolkit.targets.coordinates import coordinate_names, sites_of
from vi_toolkit.targets.target import Target, constrain_draws

MOST = 200  # numbers of one site; a longer one, such as the fitted value at every row of the data, is left out
NUM_PROBES = 5


class _Pick(NamedTuple):
    """Some numbers of one site, by their places in the flattened site."""

    site: str
    places: np.ndarray


@dataclass(frozen=True, eq=False)
class OwnValues:
    """The numbers of a model's constrained and deterministic sites, beside the coordinates of R^dim.

    Attributes:
        coordinates: names of the coordinates, told apart from the sites': ``log tau``, ``unconstrained p``.
        names: of the numbers: ``tau``, ``p[0]``.

    Example:
        >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist, vi_toolkit as vi
        >>> from vi_toolkit.targets.values import own_values
        >>> def model():
        ...     numpyro.sample("mean", dist.Normal(0.0, 1.0))
        ...     numpyro.sample("tau", dist.HalfNormal(1.0))
        >>> own = own_values(vi.from_numpyro(model))
        >>> own.coordinates, own.names, own.at(jnp.array([[5.0, 0.0]]))
        (('mean', 'log tau'), ('tau',), array([[1.]]))
    """

    target: Target
    coordinates: tuple[str, ...]
    names: tuple[str, ...]
    picks: tuple[_Pick, ...]

    def at(self, points: Any) -> np.ndarray:
        """The numbers at points (points, dim), as (points, numbers)."""
        if not self.picks or not len(points):
            return np.zeros((len(points), len(self.names)))
        sites = _sites(self.target, np.asarray(points))
        return np.concatenate([_flat(sites[pick.site])[:, pick.places] for pick in self.picks], axis=1)

    def beside(self, points: Any) -> np.ndarray:
        """The points, with the numbers there as further columns: (points, dim + numbers)."""
        return np.concatenate([np.asarray(points), self.at(points)], axis=1)


def own_values(target: Target) -> OwnValues:
    """Which numbers of the model are no coordinates: found by looking at a few points.

    Left out are integers, numbers that never change, such as the zeros of a triangular matrix, and sites of more than
    200 numbers. A target over finitely many points has none.
    """
    names = coordinate_names(target)
    if target.num_values is not None:
        return OwnValues(target, names, (), ())
    probes = np.random.default_rng(0).normal(size=(NUM_PROBES, target.dim)).astype(jnp.result_type(float))
    picks: list[_Pick] = []
    own: dict[str, np.ndarray] = {}
    for site, values in _sites(target, probes).items():
        flat = _flat(values)
        if not np.issubdtype(flat.dtype, np.floating) or flat.shape[1] > MOST:
            continue
        new = [j for j in range(flat.shape[1]) if np.ptp(flat[:, j]) > 0 and not _among(flat[:, j], probes)]
        if new:
            picks.append(_Pick(site, np.array(new)))
            own |= {_name(site, values.shape[1:], j): flat[:, j] for j in new}
    return OwnValues(target, _told_apart(target, names, picks, own, probes), tuple(own), tuple(picks))


def _told_apart(
    target: Target, names: tuple[str, ...], picks: list[_Pick], own: dict[str, np.ndarray], probes: np.ndarray
) -> tuple[str, ...]:
    """The coordinates' names, in other words where their site has values of its own."""
    constrained, told = {pick.site for pick in picks}, list(names)
    for site in sites_of(target):
        for i in range(site.start, site.stop) if site.name in constrained else ():
            is_log = names[i] in own and np.allclose(own[names[i]], np.exp(probes[:, i]), rtol=1e-4)
            told[i] = f"log {names[i]}" if is_log else f"unconstrained {names[i]}"
    return tuple(told)


def _sites(target: Target, points: np.ndarray) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = in_pieces(partial(constrain_draws, target), points.astype(jnp.result_type(float)))
    return found


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def _among(values: np.ndarray, points: np.ndarray) -> bool:
    """Whether the values are one of the coordinates."""
    return any(np.array_equal(values, coordinate) for coordinate in points.T)


def _name(site: str, shape: tuple[int, ...], place: int) -> str:
    index = np.unravel_index(place, shape) if shape else ()
    return f"{site}[{', '.join(map(str, index))}]" if index else site
