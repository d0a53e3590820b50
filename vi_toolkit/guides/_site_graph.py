"""Which earlier sites the posterior of a site depends on, and the axes that two sites share."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array

Axes = tuple[str, ...]


def find_parents(
    names: tuple[str, ...], dependencies: Mapping[str, tuple[str, ...]], explaining_away: bool
) -> tuple[tuple[int, ...], ...]:
    """For every site, the earlier sites that it depends on given the data: places in ``names``.

    The unknowns that one term of the log density depends on are neighbours. The last site is taken out, its neighbours
    are its parents and become neighbours of one another, and so on to the first: p(last | parents) is then a factor of
    the posterior. Unknowns that are summed out of the model go before all.
    """
    if not explaining_away:
        found = [[names.index(other) for other in dependencies[name] if other in names] for name in names]
        return tuple(tuple(sorted(parent for parent in own if parent < k)) for k, own in enumerate(found))
    neighbours: dict[str, set[str]] = {name: set() for name in names}
    for term in dependencies.values():
        for name in term:
            neighbours.setdefault(name, set()).update(set(term) - {name})
    parents = []
    for name in [*(set(neighbours) - set(names)), *reversed(names)]:
        around = neighbours.pop(name)
        for other in around:
            neighbours[other] = (neighbours[other] | around) - {name, other}
        parents.append(tuple(sorted(names.index(other) for other in around if other in names)))
    return tuple(reversed(parents[-len(names) :]))


def weight_axes(child: Axes, parent: Axes) -> Axes:
    """The axes of the weights of a parent: those of the child, then those of the parent that the child lacks."""
    return (*child, *(axis for axis in parent if axis not in child))


def contract(weights: Array, values: Array, child: Axes, parent: Axes) -> Array:
    """sum over the parent's own axes of weights * values: elementwise along shared axes. Draws lead in ``values``."""
    labels = {axis: label for label, axis in enumerate(weight_axes(child, parent))}
    into = [labels[axis] for axis in child]
    result: Array = jnp.einsum(
        values, [..., *(labels[axis] for axis in parent)], weights, list(labels.values()), [..., *into]
    )
    return result


def spread(values: Array, own: Axes, over: Axes) -> Array:
    """An array of axes ``own`` with the axes ``over``, of size one where it has none, so that it broadcasts."""
    order = sorted(range(len(own)), key=lambda axis: over.index(own[axis]))
    sizes = dict(zip(own, values.shape, strict=True))
    return values.transpose(order).reshape([sizes.get(axis, 1) for axis in over])
