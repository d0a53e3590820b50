"""Why a log density is not finite at a point: which site, which of its numbers, and at which values of the unknowns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from vi_toolkit._checks import check_finite
from vi_toolkit._where import kind_of, unwrapped
from vi_toolkit.targets._replicate import is_factor

MOST_SHOWN = 6  # numbers of the unknowns that are shown


def bad_arguments(names: Iterable[str], leaves: Iterable[Any]) -> list[str]:
    """A line for each array that holds NaN or infinite numbers."""
    lines = []
    for name, leaf in zip(names, leaves, strict=True):
        try:
            check_finite(leaf, name)
        except ValueError as error:
            lines.append(f"argument {error}")
    return lines


def bad_site(name: str, site: dict[str, Any]) -> str | None:
    """What is wrong with the density of a site in a trace, or None where it is finite."""
    fn, value = site["fn"], site["value"]
    log_prob = np.asarray(fn.log_prob(value))
    inside = np.ones(log_prob.shape, bool) if is_factor(fn) else np.asarray(fn.support(value))
    bad = ~np.isfinite(log_prob) | ~np.broadcast_to(inside, log_prob.shape)
    if not bad.any():
        return None
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    outside = not np.broadcast_to(inside, log_prob.shape)[place]
    first = -np.inf if outside and np.isfinite(log_prob[place]) else log_prob[place]
    said = f"site {name!r} ({kind_of(fn)}): {bad.sum()} of {log_prob.size} log densities not finite, first {first}"
    return said + _value_there(value, log_prob.shape, place, outside, fn) + _bad_parameters(fn)


def _value_there(value: Any, shape: tuple[int, ...], place: tuple[int, ...], outside: bool, fn: Any) -> str:
    if is_factor(fn):
        return ""
    value = np.asarray(value)
    there = (
        np.broadcast_to(value, shape)[place] if not fn.event_dim else value[place] if value.ndim > len(place) else value
    )
    where = f" at index {place[0] if len(place) == 1 else place}" * bool(place)
    support = f", which is outside of its support ({fn.support})" * outside
    return f", for the value {there}{where}{support}"


def _bad_parameters(fn: Any) -> str:
    """The parameters of a distribution that are not what it asks for."""
    said, fn = [], unwrapped(fn)
    for name, constraint in fn.arg_constraints.items():
        value = getattr(fn, name, None)
        if value is None or constraint.is_discrete:
            continue
        numbers, good = np.asarray(value), np.asarray(constraint(value))
        if not good.all():
            # where a whole vector or matrix is judged, no entry of it is to blame
            said.append(f"{name} {numbers[~good][0]}" if good.shape == numbers.shape else f"a {name} that is none")
    return f", with {' and '.join(said)}" if said else ""


def at_values(values: dict[str, Any]) -> str:
    """The unknowns' values in a few words: "mean = 0.31, scale = 1.2"."""
    shown = [f"{name} = {np.round(np.asarray(value).reshape(-1)[:3], 4).tolist()}" for name, value in values.items()]
    short = [text.replace("[", "").replace("]", "") for text in shown[:MOST_SHOWN]]
    return ", ".join(short) + ", ..." * (len(shown) > MOST_SHOWN)
