"""Targets on which minimisers are known: their normalised log densities at the nodes of a quadrature rule."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vi_toolkit as vi

INFINITE = {
    "heavy": "infinite for every normal q, since p falls off more slowly than any (the mean of (p / q) over p)",
    "light": "infinite for every normal q, since p falls off faster than any somewhere (the mean of q / p over q)",
}


@dataclass(frozen=True)
class Case:
    """A target, and how to integrate over it."""

    name: str
    target: vi.Target
    draws: Any  # exact draws of p, for maximum likelihood
    nodes: Any  # (nodes, dim)
    volumes: Any  # (nodes,)
    log_p: Any  # normalised, at the nodes
    score: Any  # its gradient there
    mean: Any
    root: Any  # a square root of the covariance, where the search for a minimiser begins
    tails: tuple[str, ...] = ()  # "heavy" and "light": see INFINITE


@dataclass(frozen=True)
class GaussianCase:
    """A normal target of any dimension: one correlation for all pairs, scales that differ.

    In units of the scales all coordinates are alike, and the best mean-field normal has one scale s for all. With a
    along (1, ..., 1) and r the distance from that axis, densities are functions of (a, r), so integrals are of two
    dimensions.
    """

    name: str
    target: vi.Target
    draws: Any
    dim: int
    correlation: float
    mean: Any
    scales: Any

    @property
    def root(self) -> Any:
        return self.scales[:, None] * np.linalg.cholesky(self.correlations)

    @property
    def correlations(self) -> Any:
        return (1 - self.correlation) * np.eye(self.dim) + self.correlation


def gaussian(dim: int, correlation: float, unit_scales: bool = False) -> GaussianCase:
    """Scales from 0.01 to 100, or all 1."""
    scales, mean = np.geomspace(0.01, 100.0, dim), np.linspace(-3.0, 3.0, dim)
    if unit_scales:
        scales = np.ones(dim)
    root = scales[:, None] * np.linalg.cholesky((1 - correlation) * np.eye(dim) + correlation)
    inverse = np.linalg.inv(root)
    f = jax.tree_util.Partial(_log_normal, jnp.asarray(mean), jnp.asarray(inverse))
    draws = mean + np.random.default_rng(0).normal(size=(40_000, dim)) @ root.T
    condition = (1 + (dim - 1) * correlation) / (1 - correlation)
    name = f"normal, d = {dim}, condition {condition:.3g}"
    return GaussianCase(name, vi.from_log_density(f, dim=dim), draws, dim, correlation, mean, scales)


def _log_normal(mean: Any, inverse: Any, z: Any) -> Any:
    return 2.0 - 0.5 * jnp.sum((inverse @ (z - mean)) ** 2)  # not normalised, on purpose


def known(
    name: str, posterior: Any, reach: float, tail: float, *, tails: tuple[str, ...] = (), shift: float = 1.7
) -> Case:
    """A density of the zoo on a grid that is fine near zero and reaches far.

    Args:
        name: of the column.
        posterior: from `vi.zoo`, of one or two dimensions.
        reach: the size of the region where the grid is even.
        tail: how many times further it goes.
        tails: which of "heavy" and "light" its tails are, held against normal ones.
        shift: a constant added to the log density that is fitted to, so that its evidence is not one.
    """
    dim, count = posterior.dim, 6001 if posterior.dim == 1 else 361
    u = np.linspace(-1.0, 1.0, count)
    # z = reach sinh(c u) / c, about even within reach, at most reach * tail
    c = float(np.log(2 * tail * 10))
    axis, slope = reach * np.sinh(c * u) / c, reach * np.cosh(c * u)
    grids = np.meshgrid(*[axis] * dim, indexing="ij")
    nodes = np.stack([grid.reshape(-1) for grid in grids], -1)
    volumes = np.prod(np.meshgrid(*[slope * (u[1] - u[0])] * dim, indexing="ij"), axis=0).reshape(-1)
    log_p, score = jax.jit(jax.vmap(jax.value_and_grad(posterior.log_prob)))(jnp.asarray(nodes))
    total = float(np.sum(volumes * np.exp(log_p)))
    assert abs(total - 1) < 1e-4, f"{name}: the grid holds a mass of {total}"
    p = volumes * np.exp(np.asarray(log_p)) / total
    mean = p @ nodes
    covariance = (nodes - mean).T @ (p[:, None] * (nodes - mean))
    draws = np.asarray(posterior.sample(jax.random.key(0), 40_000))
    target = vi.from_log_density(jax.tree_util.Partial(_shifted, posterior.target, shift), dim=dim)
    log_p = np.asarray(log_p) - np.log(total)
    root = np.linalg.cholesky(covariance)
    return Case(name, target, draws, nodes, volumes, log_p, np.asarray(score), mean, root, tails)


def _shifted(target: Any, shift: Any, z: Any) -> Any:
    return target.log_density(z) + shift


CASES = {
    "normal 2": partial(gaussian, 2, 0.6),
    "normal 3": partial(gaussian, 3, 0.8),
    "normal 10": partial(gaussian, 10, 0.1),
    "two modes 1-D": lambda: known(
        "two modes, d = 1", vi.zoo.two_modes(separation=3.0, weights=(0.7, 0.3), dim=1), 4.0, 5.0
    ),
    "two modes 2-D": lambda: known(
        "two modes, d = 2", vi.zoo.two_modes(separation=3.0, weights=(0.7, 0.3), dim=2), 4.0, 3.0
    ),
    "banana": lambda: known("banana, d = 2", vi.zoo.banana(curvature=0.3, sd=1.0), 4.0, 6.0, tails=("heavy", "light")),
    "Student t 1-D": lambda: known("Student t, d = 1", vi.zoo.student_t(1), 6.0, 2000.0, tails=("heavy",)),
    "Student t 2-D": lambda: known("Student t, d = 2", vi.zoo.student_t(2), 6.0, 300.0, tails=("heavy",)),
}
