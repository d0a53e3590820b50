"""Where the mass of a target of one to three dimensions lies: its local maxima, and points spread over the mass."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit.exact._candidates import candidates
from vi_toolkit.targets import Target

CHUNKS = (128, 4096)  # points in one compiled call: two shapes, so that two programs serve every number of points
NUM_STARTS = 96
NUM_WALKERS = 256
TEMPERATURE = 8.0


class Map(NamedTuple):
    """What a search found."""

    points: np.ndarray  # (points, d), spread like the density
    wide_points: np.ndarray  # (points, d), spread like its eighth root: far into the tails
    peak: float  # the largest log density seen


@jax.jit
def _values(target: Target, points: jax.Array) -> jax.Array:
    return jax.lax.map(target.log_density, points, batch_size=64)


@jax.jit
def _derivatives(target: Target, points: jax.Array) -> tuple[jax.Array, jax.Array]:
    gradient = jax.grad(target.log_density)
    return jax.vmap(gradient)(points), jax.vmap(jax.jacfwd(gradient))(points)


def log_densities_at(target: Target, z: np.ndarray) -> np.ndarray:
    """log p~ at every row of z (points, d), as float64, and -inf where it is not finite: so far tails may overflow."""
    found = []
    size = CHUNKS[0] if len(z) <= CHUNKS[0] else CHUNKS[1]
    for start in range(0, len(z), size):
        chunk = z[start : start + size]
        padded = np.concatenate([chunk, np.broadcast_to(chunk[:1], (size - len(chunk), z.shape[1]))])
        found.append(np.asarray(_values(target, jnp.asarray(padded)), dtype=np.float64)[: len(chunk)])
    values = np.concatenate(found)
    return np.where(np.isfinite(values), values, -np.inf)


def explore(target: Target) -> Map:
    """Climbs from many starts, then lets walkers spread from the maxima."""
    z, value, precision = _climb(target, _starts(target))
    if np.abs(z[value.argmax()]).max() > 1e15:
        raise ValueError(
            f"target: its log density still rises at {z[value.argmax()]}: it is improper. Is its sign flipped?"
        )
    eigenvalues, vectors = np.linalg.eigh(precision)
    clipped = np.maximum(eigenvalues, 1.0 / (1.0 + np.sum(z**2, axis=1, keepdims=True)))
    laplace = value - 0.5 * np.log(clipped).sum(axis=1)  # log mass of the Gaussian at each maximum, up to a constant
    heavy = np.flatnonzero(laplace >= laplace.max() - 40.0)
    kept = heavy[_distinct(z[heavy], value[heavy], 1e-3 * np.diag(1.0 + np.abs(z[heavy]).max(axis=0)))]
    walkers = np.resize(kept, NUM_WALKERS)
    noise = np.random.default_rng(0).standard_normal((NUM_WALKERS, target.dim))
    jitter = np.einsum("nij,nj->ni", vectors[walkers], noise / np.sqrt(clipped[walkers]))
    walks = [_walk(target, z[walkers], jitter, temperature) for temperature in (1.0, TEMPERATURE)]
    (points, values), (wide_points, wide_values) = walks
    return Map(points, wide_points, float(max(value.max(), values.max(), wide_values.max())))


def find_maxima(target: Target, starts: np.ndarray, root: np.ndarray) -> np.ndarray:
    """The isolated local maxima (maxima, d) above ``starts`` (starts, d), highest first; ``root`` is the scale of z.

    None are isolated where the maximum is a curve: there the curvature along it vanishes.
    """
    rows = -(-len(starts) // NUM_STARTS) * NUM_STARTS  # whole batches: one shape, one program
    padded = np.resize(starts, (rows, target.dim))
    climbs = [_climb(target, batch) for batch in padded.reshape(-1, NUM_STARTS, target.dim)]
    z, value, precision = (np.concatenate(parts) for parts in zip(*climbs, strict=True))
    curvature = np.linalg.eigvalsh(root.T @ precision @ root)
    isolated = curvature[:, 0] >= 1e-6 * curvature[:, -1]
    return z[isolated][_distinct(z[isolated], value[isolated], root)]


def _starts(target: Target) -> np.ndarray:
    """Random candidates, and the highest local maxima of a scan whose spacing grows away from zero."""
    points = candidates(jax.random.key(0), target, NUM_STARTS)
    side = {1: 801, 2: 61, 3: 61}[target.dim]
    axis = np.sinh(np.linspace(-np.arcsinh(1e4), np.arcsinh(1e4), side))
    scan = np.stack(np.meshgrid(*[axis] * target.dim, indexing="ij"), axis=-1)
    values = log_densities_at(target, scan.reshape(-1, target.dim)).reshape(scan.shape[:-1])
    is_maximum = np.isfinite(values)
    for direction in range(target.dim):
        for shift in (1, -1):
            is_maximum &= values >= np.roll(values, shift, direction)
    peaks = scan[is_maximum][np.argsort(-values[is_maximum])[: NUM_STARTS // 2]]
    finite = points[np.isfinite(log_densities_at(target, points))]
    starts = np.concatenate([peaks, finite])[:NUM_STARTS]
    if len(starts) == 0:
        raise ValueError("target: its log density is not finite at any of the points tried; no mass was found.")
    return np.resize(starts, (NUM_STARTS, target.dim)).astype(np.float64)


def _climb(target: Target, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Damped Newton from every row of z: (ends, their log densities, minus the Hessians there).

    A step solves (|-H| + c |g|) step = g, where |-H| has the absolute eigenvalues, so that it climbs, and is shorter
    than 1 / c. c shrinks after a step that climbed, and grows after one that did not.
    """
    value = log_densities_at(target, z)
    c = np.full(len(z), 1e-3)
    for _ in range(120):
        gradient, precision = _gradient_and_precision(target, z)
        eigenvalues, vectors = np.linalg.eigh(precision)
        damped = np.abs(eigenvalues) + (c * np.linalg.norm(gradient, axis=1))[:, None] + 1e-300
        step = np.einsum("nij,nj->ni", vectors, np.einsum("nij,ni->nj", vectors, gradient) / damped)
        proposed = log_densities_at(target, z + step)
        better = proposed > value
        z = np.where(better[:, None], z + step, z)
        value = np.where(better, proposed, value)
        c = np.where(better, 0.3 * c, 4.0 * c)
        if not better.any() and c.min() > 1e6:
            break
    return z, value, _gradient_and_precision(target, z)[1]


def _gradient_and_precision(target: Target, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gradient, hessian = (np.asarray(x, np.float64) for x in _derivatives(target, jnp.asarray(z)))
    symmetric = -0.5 * (hessian + np.swapaxes(hessian, 1, 2))
    return np.nan_to_num(gradient, posinf=0.0, neginf=0.0), np.nan_to_num(symmetric, posinf=0.0, neginf=0.0)


def _walk(target: Target, centres: np.ndarray, jitter: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Stretch moves on p~^(1 / temperature) of walkers that start around ``centres``: (points, their log p~).

    A walker moves along the line to another one, so that the walk adapts to any scale and correlation by itself
    (Goodman and Weare, 2010, Ensemble samplers with affine invariance, doi:10.2140/camcos.2010.5.65).
    """
    generator = np.random.default_rng(1)
    z = centres + np.sqrt(temperature) * jitter
    z = np.where(np.isfinite(log_densities_at(target, z))[:, None], z, centres)
    value = log_densities_at(target, z)
    half, dim = len(z) // 2, z.shape[1]
    snapshots = []
    for sweep in range(160):
        for movers, others in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
            stretch = (1.0 + generator.uniform(size=half)) ** 2 / 2.0  # density ~ 1 / sqrt(stretch) on (1/2, 2)
            partner = z[others][generator.integers(half, size=half)]
            proposed = partner + stretch[:, None] * (z[movers] - partner)
            new = log_densities_at(target, proposed)
            log_ratio = (dim - 1) * np.log(stretch) + (new - value[movers]) / temperature
            accepted = np.log(generator.uniform(size=half)) < log_ratio
            z[movers] = np.where(accepted[:, None], proposed, z[movers])
            value[movers] = np.where(accepted, new, value[movers])
        if sweep >= 80 and sweep % 10 == 9:
            snapshots.append((z.copy(), value.copy()))
    points, values = (np.concatenate(parts) for parts in zip(*snapshots, strict=True))
    return points, values


def _distinct(z: np.ndarray, value: np.ndarray, root: np.ndarray) -> np.ndarray:
    """The rows of z, highest first, without those closer than a thousandth of the scale to a higher one."""
    u = np.linalg.solve(root, z.T).T
    chosen: list[int] = []
    for row in np.argsort(-value):
        if all(np.abs(u[row] - u[other]).max() > 1e-3 for other in chosen):
            chosen.append(int(row))
    return np.array(chosen, dtype=int)
