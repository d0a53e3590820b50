"""Draws that show where the mass of a distribution or of an unnormalised density lies."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import (
    Distribution,
    FoldedDistribution,
    Independent,
    MixtureGeneral,
    MixtureSameFamily,
    TransformedDistribution,
)

from vi_toolkit._start import NUM_STARTS, find_start
from vi_toolkit._types import Density
from vi_toolkit.information._operands import is_density

NUM_DRAWS = 1000
DISTANCES = (1.0, 1.0, 1.0, 1.0, 10.0, 10.0, 100.0, 1000.0)  # of the points from which two densities are climbed

_find_start = jax.jit(find_start)
_hessians = jax.jit(lambda density, points: jax.vmap(jax.hessian(density.log_density))(points))


def places(p: Any, q: Any) -> list[np.ndarray]:
    """Sets of draws (draws, coordinates), one for each part of p and of q: always the same, since they only show."""
    operands = [p] if p is q else [p, q]
    found = [
        part for number, operand in enumerate(operands) if not is_density(operand) for part in _parts(operand, number)
    ]
    flat = [np.asarray(part, np.float64).reshape(len(part), -1) for part in found]
    for operand in operands:
        if is_density(operand):
            flat += _around_peaks(operand, _candidates(operand.dim, flat))
    return flat


def _parts(distribution: Distribution, number: int) -> list[jax.Array]:
    """Draws, (draws, *batch, *event); of a mixture, of each component by itself, however small its weight."""
    key = jax.random.key(number)
    if isinstance(distribution, Independent):
        return _parts(distribution.base_dist, number)
    if isinstance(distribution, MixtureSameFamily):
        draws = distribution.component_distribution.sample(key, (NUM_DRAWS,))
        return list(jnp.moveaxis(draws, 1 + len(distribution.batch_shape), 0))
    if isinstance(distribution, MixtureGeneral):
        return [part for component in distribution.component_distributions for part in _parts(component, number)]
    if isinstance(distribution, TransformedDistribution) and not isinstance(distribution, FoldedDistribution):
        parts = _parts(distribution.base_dist, number)
        for transform in distribution.transforms:
            parts = [transform(part) for part in parts]
        return parts
    return [distribution.sample(key, (NUM_DRAWS,))]


def _candidates(dim: int, draws: list[np.ndarray]) -> np.ndarray:
    """Where to begin to climb: at draws of the other, or at distances that grow."""
    if draws:
        return np.concatenate([part[:NUM_STARTS] for part in draws])[:NUM_STARTS]
    return np.random.default_rng(0).standard_normal((NUM_STARTS, dim)) * np.array(DISTANCES)[:, None]


def _around_peaks(density: Density, candidates: np.ndarray) -> list[np.ndarray]:
    """Normal draws with the curvature of each peak that is reached."""
    start = _find_start(density, jnp.asarray(candidates))
    peaks = np.asarray(start.others, np.float64)
    scale = np.asarray(start.scale, np.float64)
    precisions = -np.asarray(_hessians(density, start.others), np.float64)
    noise = np.random.default_rng(0).standard_normal((NUM_DRAWS, density.dim))
    found: list[np.ndarray] = []
    for peak, precision in zip(peaks, precisions, strict=True):
        if any((np.abs(peak - other.mean(axis=0)) < 0.1 * other.std(axis=0)).all() for other in found):
            continue
        found.append(peak + noise @ _root(precision, scale).T)
    return found


def _root(precision: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """A square root of the inverse of minus the Hessian, or the given scale where that is not positive definite."""
    with np.errstate(all="ignore"):
        if np.isfinite(precision).all() and (np.linalg.eigvalsh(precision) > 0.0).all():
            return np.linalg.inv(np.linalg.cholesky(precision)).T
    return np.diag(np.where(np.isfinite(scale) & (scale > 0.0), scale, 1.0))
