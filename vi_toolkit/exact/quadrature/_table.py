"""Exact draws from a density that is known as polynomials on cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.polynomial.legendre import legint, legvander

from vi_toolkit.exact.quadrature._cells import BLOCK
from vi_toolkit.exact.quadrature._explore import log_densities_at
from vi_toolkit.targets import Target


class Frame(NamedTuple):
    """Coordinates u of scale one: z = centre + root u."""

    target: Target
    centre: np.ndarray
    root: np.ndarray
    peak: float  # subtracted from log p~ before it is exponentiated

    def to_z(self, u: np.ndarray) -> np.ndarray:
        return self.centre + np.einsum("...j,ij->...i", u, self.root)  # BLAS gains nothing on so narrow a matrix

    def density(self, u: np.ndarray) -> np.ndarray:
        return np.exp(log_densities_at(self.target, self.to_z(u)) - self.peak)


class Table(NamedTuple):
    """What draws are made from: the mass and the Legendre coefficients of every cell."""

    frame: Frame
    low: np.ndarray
    high: np.ndarray
    mass: np.ndarray
    coefficients: np.ndarray


def draw(table: Table, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    """Chooses cells by their mass, then inverts the distribution function of each coordinate in turn."""
    cell = generator.choice(len(table.mass), size=num_draws, p=table.mass / table.mass.sum())
    uniform = generator.uniform(size=(table.low.shape[1], num_draws))
    size = max(1, BLOCK // table.coefficients[0].size)
    blocks = [slice(start, start + size) for start in range(0, num_draws, size)]
    unit = np.concatenate([_invert_in_turn(table.coefficients[cell[rows]], uniform[:, rows]) for rows in blocks])
    low, high = table.low[cell], table.high[cell]
    return table.frame.to_z(0.5 * (low + high) + 0.5 * (high - low) * unit)


def _invert_in_turn(c: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Points (draws, d) of (-1, 1)^d whose conditional distribution functions are ``uniform`` (d, draws)."""
    unit = np.empty(uniform.shape[::-1])
    for axis, u in enumerate(uniform):
        marginal = c.reshape(*c.shape[:2], -1)[:, :, 0]  # the integral over the axes to come leaves P_0 of each alone
        unit[:, axis] = _invert(marginal, u)
        c = np.einsum("ni,ni...->n...", legvander(unit[:, axis], c.shape[1] - 1), c)
    return unit


def _invert(c: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """x in (-1, 1) with F(x) = uniform F(1), for F the integral from -1 of sum_i c_i P_i, row by row; by bisection."""
    integral = legint(c, lbnd=-1, axis=1)
    low, high = -np.ones(len(c)), np.ones(len(c))
    goal = uniform * integral.sum(axis=1)  # P_i(1) = 1
    for _ in range(45):
        middle = 0.5 * (low + high)
        below = np.sum(integral * legvander(middle, integral.shape[1] - 1), axis=1) < goal
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)
