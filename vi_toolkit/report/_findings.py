"""What a tree knows about a fit, as the sections of the page want it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vi_toolkit.diagnostics import Diagnosis, smooth
from vi_toolkit.diagnostics.weights.psis import MIN_DRAWS
from vi_toolkit.plots._small_multiples import Weighted
from vi_toolkit.tree.coordinates import Columns
from vi_toolkit.tree.course import Course, course_of_tree
from vi_toolkit.tree.known import diagnosis_of_tree

MARK = " (unconstrained)"


class Findings(NamedTuple):
    """One fit."""

    course: Course
    diagnosis: Diagnosis | None
    sites: Weighted  # every scalar in the model's own space
    unconstrained: Columns  # every coordinate of R^dim, in its order
    reference: Columns | None  # as ``sites``
    unconstrained_reference: Columns | None


def findings_of(tree: Any) -> Findings:
    """Reads a tree of `vi.to_datatree`; ValueError where it lacks what it should have."""
    missing = {"posterior", "unconstrained_posterior", "sample_stats"} - set(tree.children)
    if missing:
        raise ValueError(f"tree: expected one that vi.to_datatree wrote, and it has no group {sorted(missing)[0]!r}.")
    course = course_of_tree(tree)
    diagnosis = diagnosis_of_tree(tree)
    sites = _weighted(tree, diagnosis)
    return Findings(
        course=course,
        diagnosis=diagnosis,
        sites=sites,
        unconstrained=_coordinates(tree, "posterior") or {},
        reference=_columns_if(tree, "reference"),
        unconstrained_reference=_coordinates(tree, "reference"),
    )


def _weighted(tree: Any, diagnosis: Diagnosis | None) -> Weighted:
    """The draws with smoothed weights, which the diagnosis judges, from more draws, where there is one.

    Where there are too few draws to smooth, the weights are all the same and not to be trusted.
    """
    stats = tree["sample_stats"]
    log_weights = np.asarray(stats["log_weight"].values, np.float64).ravel()
    if len(log_weights) < MIN_DRAWS:
        return Weighted(columns_of(tree["posterior"]), np.zeros(len(log_weights)), np.inf)
    smoothed = smooth(log_weights, rounding=float(stats.attrs.get("rounding", 0.0)))
    khat = smoothed.khat if diagnosis is None else diagnosis.khat
    return Weighted(columns_of(tree["posterior"]), smoothed.log_weights, khat)


def _columns_if(tree: Any, group: str) -> Columns | None:
    return columns_of(tree[group]) if group in tree.children else None


def _coordinates(tree: Any, ending: str) -> Columns | None:
    """The coordinates of R^dim of draws of q or of a reference, marked where the model's own space is another."""
    sites, free = _columns_if(tree, ending), _columns_if(tree, f"unconstrained_{ending}")
    if sites is None or free is None:
        return None
    same = {name for name, values in free.items() if name in sites and np.array_equal(values, sites[name])}
    return {name if name in same else f"{name}{MARK}": values for name, values in free.items()}


def columns_of(group: Any) -> Columns:
    """{``site[place]``: its draws} of a group over chain and draw."""
    found: Columns = {}
    for name, variable in group.data_vars.items():
        dims = [dim for dim in variable.dims if dim not in ("chain", "draw")]
        scalars = variable.stack(place=dims).transpose("place", ...) if dims else [variable]
        for scalar in scalars:
            place = ", ".join(str(scalar[dim].item()) for dim in dims)
            found[f"{name}[{place}]" if dims else str(name)] = np.asarray(scalar.values, np.float64).ravel()
    return found
