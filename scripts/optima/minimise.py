"""The best normal by a divergence: quadrature, and a quasi-Newton method from several starts."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize, minimize_scalar

from scripts.optima.cases import Case, GaussianCase
from scripts.optima.divergences import Divergence

# shifts along the first axis and widths, in sds of p
STARTS = ((0.0, 1.0), (0.0, 0.6), (0.7, 0.6), (-0.7, 0.6), (0.0, 0.25))


def best_normal(divergence: Divergence, case: Case, full_rank: bool) -> tuple[np.ndarray, np.ndarray]:
    """The location and the lower triangular root of the covariance."""
    dim = len(case.mean)
    nodes, volumes, log_p = (jnp.asarray(x) for x in (case.nodes, case.volumes, case.log_p))

    @jax.jit
    @jax.value_and_grad
    def loss(theta: Any) -> Any:
        location, root = unpack(theta, dim, full_rank)
        noise = jax.scipy.linalg.solve_triangular(root, (nodes - location).T, lower=True)
        log_q = -0.5 * jnp.sum(noise**2, 0) - jnp.sum(jnp.log(jnp.diagonal(root))) - 0.5 * dim * jnp.log(2 * jnp.pi)
        return divergence(log_p, log_q, volumes)

    found = []
    for shift, width in STARTS:
        location = case.mean + shift * case.root[:, 0]
        theta = pack(location, width * case.root, full_rank)
        found.append(minimize(lambda x: [np.asarray(part) for part in loss(x)], theta, jac=True, method="BFGS"))
    best = min((result for result in found if np.isfinite(result.fun)), key=lambda result: result.fun)
    location, root = unpack(jnp.asarray(best.x), dim, full_rank)
    return np.asarray(location), np.asarray(root)


def best_mean_field_scale(divergence: Divergence, case: GaussianCase) -> float:
    """The common scale s, in units of the marginal standard deviations, by an integral over (a, r)."""
    dim = case.dim
    along, across = 1 + (dim - 1) * case.correlation, 1 - case.correlation  # eigenvalues of the correlation matrix
    a, r = np.linspace(-16, 16, 801) * np.sqrt(along), np.linspace(0, 22, 801) * np.sqrt(along)
    a, r = (grid.reshape(-1) for grid in np.meshgrid(a, r, indexing="ij"))
    spacing = (32 / 800) * (22 / 800) * along
    # the surface of the sphere of dim - 2 dimensions that r is the radius of; both sides of the axis where dim = 2
    surface = 2 * np.pi ** ((dim - 1) / 2) / np.exp(float(jax.scipy.special.gammaln((dim - 1) / 2)))
    volumes = spacing * surface * r ** (dim - 2) * np.where(r == 0, 0.5, 1.0)
    constant = -0.5 * dim * np.log(2 * np.pi)
    log_p = constant - 0.5 * (a**2 / along + r**2 / across + np.log(along) + (dim - 1) * np.log(across))
    a, r, volumes, log_p = (jnp.asarray(x) for x in (a, r, volumes, log_p))

    @jax.jit
    def loss(log_s: Any) -> Any:
        log_q = constant - 0.5 * (a**2 + r**2) * jnp.exp(-2 * log_s) - dim * log_s
        return divergence(log_p, log_q, volumes)

    grid = np.linspace(0.5 * np.log(across) - 0.7, 0.5 * np.log(along) + 0.7, 60)
    values = np.array([float(loss(x)) for x in grid])
    values[~np.isfinite(values)] = np.inf
    best = int(np.argmin(values))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    precise = {"xatol": 1e-9}
    found = minimize_scalar(lambda x: float(loss(x)), bounds=bounds, method="bounded", options=precise)
    return float(np.exp(found.x))


def pack(location: Any, root: Any, full_rank: bool) -> np.ndarray:
    log_diagonal = np.log(np.diagonal(root)) if full_rank else 0.5 * np.log(np.sum(np.asarray(root) ** 2, 1))
    below = np.asarray(root)[np.tril_indices(len(location), -1)] if full_rank else []
    return np.concatenate([location, log_diagonal, below])


def unpack(theta: Any, dim: int, full_rank: bool) -> tuple[Any, Any]:
    root = jnp.diag(jnp.exp(theta[dim : 2 * dim]))
    if full_rank:
        root = root.at[np.tril_indices(dim, -1)].set(theta[2 * dim :])
    return theta[:dim], root
