"""Densities on grids, and the regions of highest density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from vi_toolkit.targets import Target
from vi_toolkit.targets.target import log_densities

REGIONS = (0.5, 0.9)  # the shares of mass inside the drawn regions
NUM_CELLS = 160


def window(draws: Sequence[np.ndarray], most: np.ndarray | None = None) -> tuple[float, float]:
    """An interval that shows all of several one-dimensional sets of draws, the outermost 0.2 % apart.

    Where ``most`` is given, the interval goes no further than twice its width beyond it: a guide that is far off
    should not shrink the rest to a point.
    """
    low, high = np.min([np.quantile(x, 0.002) for x in draws]), np.max([np.quantile(x, 0.998) for x in draws])
    if most is not None:
        inner_low, inner_high = np.quantile(most, [0.002, 0.998])
        width = inner_high - inner_low
        low, high = max(low, inner_low - 2 * width), min(high, inner_high + 2 * width)
    margin = 0.08 * (high - low) if high > low else 1.0
    return float(low - margin), float(high + margin)


def target_density(target: Target, points: np.ndarray, cell: float, log_evidence: float | None) -> np.ndarray:
    """p~ / Z at every row of ``points``; without log Z it is normalised over the points, of ``cell`` length or area."""
    log_p = np.asarray(log_densities(target, jax.numpy.asarray(points)), np.float64)
    log_p = np.where(np.isnan(log_p), -np.inf, log_p)
    if log_evidence is not None:
        return np.asarray(np.exp(log_p - log_evidence))
    density = np.exp(log_p - log_p.max())
    return np.asarray(density / (density.sum() * cell))


def guide_density(posterior: Any, points: np.ndarray) -> np.ndarray:
    """q at every row of ``points``."""
    return np.exp(np.asarray(posterior.log_prob(jax.numpy.asarray(points)), np.float64))


def smooth_plane(
    draws: np.ndarray, log_weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """(X, Y, density) on a skewed grid through draws (draws, 2), perhaps weighted, or None where they have no spread.

    The draws are whitened, counted in cells and smoothed by a normal kernel with Scott's bandwidth, for as many draws
    as are effective: a kernel density estimate at a cost that hardly depends on the number of draws. The density is
    right up to a constant.
    """
    weights = weights_of(log_weights, len(draws))
    centre = weights @ draws
    try:
        root = np.linalg.cholesky((weights[:, None] * (draws - centre)).T @ (draws - centre))
    except np.linalg.LinAlgError:
        return None
    white = np.linalg.solve(root, (draws - centre).T)
    edge = float(np.clip(1.2 * np.quantile(np.abs(white[:, weights > 0]), 0.9995), 3.0, 8.0))
    edges = np.linspace(-edge, edge, NUM_CELLS + 1)
    counts, _, _ = np.histogram2d(white[0], white[1], bins=[edges, edges], weights=weights)
    bandwidth = float(weights @ weights) ** (1 / 6) / (edges[1] - edges[0])
    density = gaussian_filter(counts, bandwidth, mode="constant")
    middles = 0.5 * (edges[1:] + edges[:-1])
    points = centre[:, None, None] + np.einsum(
        "ij,jkl->ikl", root, np.stack(np.meshgrid(middles, middles, indexing="ij"))
    )
    return points[0], points[1], density


def weights_of(log_weights: np.ndarray | None, size: int) -> np.ndarray:
    """Weights that sum to one; all the same where no log weights are given."""
    if log_weights is None:
        return np.full(size, 1.0 / size)
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())


def smooth_line(draws: np.ndarray, x: np.ndarray, log_weights: np.ndarray | None = None) -> np.ndarray:
    """A density estimate at the evenly spaced points ``x`` from draws (draws,), perhaps weighted.

    Draws are counted in cells and smoothed by a normal kernel with Silverman's bandwidth, for as many
    draws as are effective. What would spill over either end of ``x`` is thrown back: let a bounded site's ``x`` end
    where its draws do.
    """
    weights = weights_of(log_weights, len(draws))
    order = np.argsort(draws)
    held = np.cumsum(weights[order])
    low, high = draws[order][np.minimum(np.searchsorted(held, [0.25, 0.75]), len(draws) - 1)]
    mean = weights @ draws
    sd = float(np.sqrt(weights @ (draws - mean) ** 2))
    width = min(sd, (high - low) / 1.349) if high > low else sd
    counts, edges = np.histogram(draws, len(x), (x[0], x[-1]), weights=weights)
    cell = edges[1] - edges[0]
    bandwidth = 0.9 * width * float(weights @ weights) ** 0.2
    density = gaussian_filter1d(counts, max(bandwidth / cell, 0.5), mode="reflect") / cell
    return np.interp(x, 0.5 * (edges[1:] + edges[:-1]), density)


def region_levels(density: np.ndarray, shares: Sequence[float] = REGIONS) -> list[float]:
    """The heights of a density on a regular grid above which the given shares of its mass lie, lowest height first.

    The region {z : q(z) > level} is the smallest that holds its share.
    """
    ordered = np.sort(density.ravel())[::-1]
    held = np.cumsum(ordered)
    index = np.searchsorted(held, np.asarray(shares) * held[-1])
    return sorted(float(level) for level in ordered[np.minimum(index, len(ordered) - 1)])


def mesh(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Every point of a grid, as rows (len(y) * len(x), 2); y outermost, as matplotlib has it."""
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
