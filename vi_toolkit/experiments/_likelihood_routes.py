"""Losses held against the negative log-likelihood: their values, gradients and minimisers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy.special import xlogy

from vi_toolkit.experiments._likelihood_models import (
    Cells,
    Model,
    count_cells,
    cross_entropy,
    divergence,
    negative_log_likelihood,
)
from vi_toolkit.experiments._minimise import Minimum, evaluate, minimise

Loss = Callable[..., Any]


class Route(NamedTuple):
    """One loss, held against the negative log-likelihood of the same data."""

    model: str
    loss: str
    minimum: Minimum
    nll: float  # where this loss is smallest
    constant: float  # what the loss should be above the negative log-likelihood, whatever the parameters
    value: float  # by how much it is not, at most
    gradient: float  # the largest difference of gradients, over the largest entry of a gradient
    minimiser: float  # the largest difference of parameters, over the largest parameter


class Solved(NamedTuple):
    """A model, its cells, its maximum-likelihood parameters, and the routes to them."""

    model: Model
    cells: Cells
    entropy: float  # H(p^), of y given x
    best: Minimum
    routes: tuple[Route, ...]


def solve(model: Model) -> Solved:
    """Minimises NLL, CE and KL, each from another start."""
    cells = count_cells(model.x, model.y)
    entropy = entropy_of(cells)
    likelihood = as_likelihood(model)
    best = minimise(likelihood[0], model.starts[0], *likelihood[1:])
    arrays = as_arrays(cells)
    routes = []
    for name, loss, start, constant in (
        ("cross-entropy", cross_entropy(model.log_q), model.starts[1], 0.0),
        ("D(p̂‖q)", divergence(model.log_q), model.starts[2], -entropy),
    ):
        routes.append(hold_against(model, best, name, (loss, *arrays), start, constant))
    return Solved(model, cells, entropy, best, tuple(routes))


def hold_against(
    model: Model, best: Minimum, name: str, loss: Sequence[Any], start: np.ndarray, constant: float
) -> Route:
    """Minimises ``loss``, a function and its arrays, and compares it with the likelihood whose ``best`` is known."""
    likelihood = as_likelihood(model)
    minimum = minimise(loss[0], start, *loss[1:])
    points = points_between(model.starts, best.theta)
    ours, theirs = _on_points(loss, points), _on_points(likelihood, points)
    return Route(
        model=model.name,
        loss=name,
        minimum=minimum,
        nll=evaluate(likelihood[0], minimum.theta, *likelihood[1:]).value,
        constant=constant,
        value=float(np.abs(ours[0] - theirs[0] - constant).max()),
        gradient=float(np.abs(ours[1] - theirs[1]).max() / np.abs(theirs[1]).max()),
        minimiser=float(np.abs(minimum.theta - best.theta).max() / np.abs(best.theta).max()),
    )


def points_between(starts: np.ndarray, best: np.ndarray) -> np.ndarray:
    """The starts, and points on the way from each to the best: where values and gradients are compared."""
    return np.concatenate([best + share * (starts - best) for share in (1.0, 0.5, 0.1)])


def as_likelihood(model: Model) -> tuple[Any, ...]:
    """The negative log-likelihood and its arrays."""
    return negative_log_likelihood(model.distribution), jnp.asarray(model.x, jnp.result_type(float)), model.y


def as_arrays(cells: Cells) -> tuple[Any, ...]:
    return tuple(jnp.asarray(part, jnp.result_type(float)) for part in cells)


def entropy_of(cells: Cells) -> float:
    """H(p^) = -sum_r p^(r) sum_k p^(k | r) log p^(k | r), in float64."""
    return float(-cells.weights @ xlogy(cells.shares, cells.shares).sum(axis=1))


def _on_points(loss: Sequence[Any], points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    each = [evaluate(loss[0], point, *loss[1:]) for point in points]
    return np.array([point.value for point in each]), np.array([point.gradient for point in each])
