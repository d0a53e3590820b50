"""Minimisers of what is made of slopes: the Fisher divergence by quadrature, the Stein discrepancy by fixed draws."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from scripts.optima.cases import Case, GaussianCase
from scripts.optima.fixed_noise import noise
from scripts.optima.minimise import STARTS, pack, unpack

PAIRS = 1024  # draws, all pairs of which are taken
ROUNDS = 12  # of minimising with the kernel as it stands, and measuring it anew


def best_by_fisher(case: Case | GaussianCase, full_rank: bool, weighted: bool) -> tuple[np.ndarray, np.ndarray]:
    """The normal with the least E_q (grad log q - grad log p)^T C (grad log q - grad log p).

    C is the identity; weighted, it is the covariance of q at the end, where no change of q with C held fixed helps.
    """
    if isinstance(case, GaussianCase):  # mean field, variances v: v_i^2 (P P)_ii = 1, or v_i sum_j P_ij^2 v_j = 1
        precision = np.linalg.inv(case.root @ case.root.T)
        unit = np.linalg.inv(case.correlations)
        plain, alike = np.diagonal(precision @ precision) ** -0.25, case.scales * np.sum(unit[0] ** 2) ** -0.25
        return case.mean, np.diag(alike if weighted else plain)
    dim = len(case.mean)
    nodes, volumes, score_p = (jnp.asarray(x) for x in (case.nodes, case.volumes, case.score))

    @jax.jit
    @jax.value_and_grad
    def loss(theta: Any, weight: Any) -> Any:
        location, root = unpack(theta, dim, full_rank)
        e = jax.scipy.linalg.solve_triangular(root, (nodes - location).T, lower=True)
        score_q = -jax.scipy.linalg.solve_triangular(root.T, e, lower=False).T
        log_q = -0.5 * jnp.sum(e**2, 0) - jnp.sum(jnp.log(jnp.diagonal(root))) - 0.5 * dim * jnp.log(2 * jnp.pi)
        return jnp.sum(volumes * jnp.exp(log_q) * jnp.sum(((score_q - score_p) @ weight) ** 2, 1))

    def minimised(theta: Any, weight: Any) -> Any:
        return minimize(lambda x: [np.asarray(part) for part in loss(x, weight)], theta, jac=True, method="BFGS")

    if not weighted:
        starts = [pack(case.mean + shift * case.root[:, 0], width * case.root, full_rank) for shift, width in STARTS]
        found = [minimised(theta, np.eye(dim)) for theta in starts]
        theta = min((result for result in found if np.isfinite(result.fun)), key=lambda result: result.fun).x
    else:
        theta = pack(case.mean, 0.8 * case.root, full_rank)
        for _ in range(60):
            theta = minimised(theta, np.asarray(unpack(jnp.asarray(theta), dim, full_rank)[1])).x
    location, root = unpack(jnp.asarray(theta), dim, full_rank)
    return np.asarray(location), np.asarray(root)


def best_by_stein(case: Case | GaussianCase, full_rank: bool) -> tuple[np.ndarray, np.ndarray]:
    """Where no change of q lowers the discrepancy by (1 + |x - y|^2 / h^2)^(-1/2), in units of q's sds held fixed."""
    dim = len(case.mean)
    e = noise(dim)[:PAIRS]
    slope = jax.vmap(jax.grad(case.target.log_density))
    different = jnp.asarray(~np.eye(PAIRS, dtype=bool))

    def kernel(x: Any, y: Any, h: Any) -> Any:
        return (1 + jnp.sum((x - y) ** 2) / h**2) ** -0.5

    def pair(x: Any, s: Any, y: Any, t: Any, h: Any) -> Any:
        by_x, by_y = jax.grad(kernel, 0), jax.grad(kernel, 1)
        mixed = jnp.trace(jax.jacfwd(lambda y: by_x(x, y, h))(y))
        return s @ t * kernel(x, y, h) + s @ by_y(x, y, h) + t @ by_x(x, y, h) + mixed

    pairs = jax.vmap(jax.vmap(pair, (None, None, 0, 0, None)), (0, 0, None, None, None))

    @jax.jit
    @jax.value_and_grad
    def loss(theta: Any, scale: Any, h: Any) -> Any:
        location, root = unpack(theta, dim, full_rank)
        z = location + e @ root.T
        x, s = z / scale, slope(z) * scale
        return jnp.sum(jnp.where(different, pairs(x, s, x, s, h), 0.0)) / (PAIRS * (PAIRS - 1))

    theta = pack(case.mean, case.root, full_rank)
    first, second = np.triu_indices(PAIRS, 1)
    for _ in range(ROUNDS):
        location, root = unpack(jnp.asarray(theta), dim, full_rank)
        scale = jnp.sqrt(jnp.sum(root**2, 1))
        x = np.asarray((location + e @ root.T) / scale)
        h = np.sqrt(np.median(np.sum((x[first] - x[second]) ** 2, 1)))
        values = lambda theta, scale=scale, h=h: [np.asarray(part) for part in loss(theta, scale, h)]  # noqa: E731
        moved = minimize(values, theta, jac=True, method="BFGS", options={"maxiter": 15}).x
        done = np.abs(moved - theta).max() < 1e-3 * np.asarray(scale).min()
        theta = moved
        if done:
            break
    location, root = unpack(jnp.asarray(theta), dim, full_rank)
    return np.asarray(location), np.asarray(root)
