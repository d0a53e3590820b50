"""Names of the entries of the flat vector: ``theta[3]``, by the model's sites."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from vi_toolkit.targets.target import Site, Target

MOST_NAMED = 3  # entries of one site that are listed one by one


def coordinate_names(target: Target) -> tuple[str, ...]:
    """A name for every coordinate of R^dim: the site's, with its place in the site's unconstrained shape.

    Where the sites are not parts of the flat vector, the coordinates are ``z[0]``, ``z[1]``, ...

    Args:
        target: from `vi.from_numpyro` or `vi.from_log_density`.

    Returns:
        ``dim`` names, in the order of the flat vector.

    Example:
        >>> import numpyro, numpyro.distributions as dist, vi_toolkit as vi
        >>> from vi_toolkit.targets.coordinates import coordinate_names
        >>> def model():
        ...     numpyro.sample("tau", dist.HalfNormal(1.0))
        ...     numpyro.sample("theta", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        >>> coordinate_names(vi.from_numpyro(model))
        ('tau', 'theta[0]', 'theta[1]')
    """
    sites = sites_of(target)
    return tuple(name for site in sites for name in entries_of(site))


def sites_of(target: Target) -> tuple[Site, ...]:
    """The sites where they are parts of the flat vector, else one called z for all of it."""
    if sum(site.stop - site.start for site in target.sites) == target.dim:
        return target.sites
    return (Site("z", 0, target.dim, (target.dim,), (target.dim,)),)


def entries_of(site: Site) -> list[str]:
    """The names of the coordinates of one site."""
    if site.unconstrained_shape == () or (site.unconstrained_shape == (1,) and site.name != "z"):
        return [site.name]
    places = itertools.product(*(range(n) for n in site.unconstrained_shape))
    return [f"{site.name}[{', '.join(map(str, place))}]" for place in places]


def names_together(target: Target, coordinates: Sequence[int]) -> tuple[str, ...]:
    """Coordinates by name, a site by its own name where all of it is meant, and many of one site in short.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> from vi_toolkit.targets.coordinates import names_together
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=9)
        >>> names_together(target, [0, 1]), names_together(target, range(1, 9)), names_together(target, range(9))
        (('z[0]', 'z[1]'), ('z[1], z[2] and 6 more',), ('z',))
    """
    wanted, found = set(coordinates), []
    for site in sites_of(target):
        names = [name for i, name in enumerate(entries_of(site), site.start) if i in wanted]
        if len(names) > 1 and len(names) == site.stop - site.start:
            found.append(site.name)
        elif len(names) > MOST_NAMED:
            found.append(f"{names[0]}, {names[1]} and {len(names) - 2} more")
        else:
            found.extend(names)
    return tuple(found)
