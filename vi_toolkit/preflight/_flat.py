"""Directions along which a log density does not change at all: what neither data nor prior say anything about."""

from __future__ import annotations

import numpy as np

from vi_toolkit.preflight._look import Look, look_at
from vi_toolkit.targets import Target
from vi_toolkit.targets.values import own_values

# How far is looked, by the bytes of a float; an exponential of the first two is still a number.
FAR_OUT = {8: (1.0, 300.0, 1e4, 1e8), 4: (1.0, 40.0, 1e3, 1e4)}
LEAST_FALL = 1e-3  # nats; a normal prior falls by as much within a 22nd of its standard deviation
MOST_ROUNDING = 1.0  # nats, above which nothing can be told
MOST_TERMS = 4  # of a direction that are written out


def flat_directions(target: Target, look: Look) -> np.ndarray:
    """Rows v (directions, dim) with v . grad log p~(z) = 0 at all points, along which log p~ does not change far out.

    With more gradients than coordinates, the first holds of no direction by chance. Each row has 1 as its entry of
    largest size, and as many zeros as the space of all such directions allows.
    """
    seen = Look(*(part[look.finite] for part in look))
    if len(seen.points) <= target.dim:
        return np.zeros((0, target.dim))
    candidates = _reduced(_null_space(seen))
    flat = [direction for direction in candidates if _stays(target, seen, direction)]
    return np.array(flat).reshape(-1, target.dim)


def in_words(target: Target, direction: np.ndarray) -> str:
    """A direction by the names of its coordinates, such as "alpha[0] - 0.5 beta" or "log a - log b"."""
    names = own_values(target).coordinates
    order = [i for i in np.argsort(-np.abs(direction), kind="stable") if abs(direction[i]) > 1e-3]
    terms = [_term(direction[i], names[i]) for i in sorted(order[:MOST_TERMS])]
    text = " ".join(terms).removeprefix("+ ")
    return text + f" and {len(order) - MOST_TERMS} more" * (len(order) > MOST_TERMS)


def _null_space(look: Look) -> np.ndarray:
    """Rows that span the directions to which all gradients are orthogonal, as far as rounding tells."""
    gradients, dim = look.gradients, look.points.shape[1]
    size = np.abs(gradients).max(axis=0)
    unit = np.where(size > 0, size, 1.0)
    scaled = gradients / unit
    rows = np.linalg.norm(scaled, axis=1, keepdims=True)
    _, singular, axes = np.linalg.svd(scaled / np.where(rows > 0, rows, 1.0))
    least = np.sqrt(np.finfo(look.points.dtype).eps) * max(singular[0], 1.0)
    rank = int((singular > least).sum())
    directions: np.ndarray = axes[rank:dim] / unit
    return directions


def _reduced(rows: np.ndarray) -> np.ndarray:
    """The same space by rows that have as many zeros as can be: Gauss-Jordan, with the largest entry as pivot."""
    rows = rows.copy()
    for i in range(len(rows)):
        if not rows[i].any():  # the same direction as one before, but for rounding
            continue
        rows[i] /= np.abs(rows[i]).max()
        pivot = int(np.argmax(np.abs(rows[i])))
        rows[i] /= rows[i, pivot]
        for j in range(len(rows)):
            if j != i:
                rows[j] -= rows[j, pivot] * rows[i]
        rows[np.abs(rows) < 1e-6 * np.abs(rows).max()] = 0.0
    signed = [row / np.abs(row).max() * np.sign(row[np.flatnonzero(row)[0]]) for row in rows if row.any()]
    return np.array(signed).reshape(-1, rows.shape[1])


def _stays(target: Target, look: Look, direction: np.ndarray) -> bool:
    """Whether the log density is the same far out on both sides of the likeliest point, but for rounding."""
    best = int(np.argmax(look.values))
    precision, distances = np.finfo(look.points.dtype).eps, np.array(FAR_OUT[look.points.dtype.itemsize])
    steps = np.concatenate([distances, -distances])
    there = look_at(target, look.points[best] + steps[:, None] * direction)
    moved = np.count_nonzero(direction) > 1  # one coordinate alone moves without rounding the others
    rounding = 8 * precision * np.abs(steps) * np.abs(look.gradients[best]).sum() * moved
    allowed = LEAST_FALL + 64 * precision * abs(look.values[best]) + rounding
    told = ~np.isnan(there.values) & (allowed < MOST_ROUNDING)
    flat = np.abs(there.values - look.values[best]) <= allowed
    return bool(np.all(told[np.abs(steps) <= distances[1]]) and np.all(flat[told]))


def _term(weight: float, name: str) -> str:
    sign, size = ("-" if weight < 0 else "+"), abs(weight)
    return f"{sign} {name}" if abs(size - 1) < 1e-3 else f"{sign} {size:.3g} {name}"
