"""Minimisers of what is no integral over one point, by many fixed quasi-random draws instead of quadrature."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize
from scipy.stats import norm, qmc

from scripts.optima.minimise import pack, unpack

LOG_DRAWS = 13
RANKED = 2**17  # draws, of which as many are ranked at a time as a step has


def noise(dim: int, seed: int = 0) -> Any:
    """Standard normal points from a scrambled Sobol sequence."""
    points = qmc.Sobol(dim, rng=np.random.default_rng(seed)).random_base2(LOG_DRAWS)
    return jnp.asarray(norm.ppf(np.clip(points, 1e-12, 1 - 1e-12)))


def best_by_iwae(num_importance: int, case: Any, full_rank: bool, log_p: Any) -> tuple[np.ndarray, np.ndarray]:
    """The normal with the largest mean of log (1/K) sum_k p(z_k) / q(z_k)."""
    dim = len(case.mean)
    e = noise(dim * num_importance).reshape(-1, num_importance, dim)

    @jax.jit
    @jax.value_and_grad
    def loss(theta: Any) -> Any:
        location, root = unpack(theta, dim, full_rank)
        z = location + e @ root.T
        log_q = -0.5 * jnp.sum(e**2, -1) - jnp.sum(jnp.log(jnp.diagonal(root)))
        log_w = jax.vmap(jax.vmap(log_p))(z) - log_q
        return -jnp.mean(jax.nn.logsumexp(log_w, 1))

    start = pack(case.mean, 0.8 * case.root, full_rank)
    best = minimize(lambda x: [np.asarray(part) for part in loss(x)], start, jac=True, method="BFGS")
    location, root = unpack(jnp.asarray(best.x), dim, full_rank)
    return np.asarray(location), np.asarray(root)


def tail_adaptive_point(
    power: float, num_draws: int, case: Any, full_rank: bool, log_p: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Where the gradient with coefficients by ranks vanishes: found by following it, in units of q's own scale.

    Ranks are those among ``num_draws`` independent draws, since the point depends on their number.
    """
    dim = len(case.mean)
    e = jnp.asarray(np.random.default_rng(0).normal(size=(RANKED // num_draws, num_draws, dim)))
    score_p = jax.vmap(jax.vmap(jax.grad(log_p)))

    @jax.jit
    def follow(location: Any, root: Any, rate: Any) -> tuple[Any, Any]:
        z = location + e @ root.T
        log_u = jax.vmap(jax.vmap(log_p))(z) + 0.5 * jnp.sum(e**2, -1)
        share = 1.0 - jnp.argsort(jnp.argsort(log_u, 1), 1) / num_draws  # of draws with a ratio of at least this one
        g = share**-power
        g /= g.sum()
        slope = score_p(z) @ root + e  # of log u in the noise
        shift, turn = jnp.einsum("bk,bki->i", g, slope), jnp.einsum("bk,bki,bkj->ij", g, slope, e)
        turn = jnp.tril(turn) if full_rank else jnp.diag(jnp.diagonal(turn))
        return location + rate * root @ shift, root @ (jnp.eye(dim) + rate * turn)

    location, root = jnp.asarray(case.mean), jnp.asarray(case.root)
    if not full_rank:
        root = jnp.diag(jnp.sqrt(jnp.sum(root**2, 1)))
    for rate in np.geomspace(0.3, 0.02, 200):
        location, root = follow(location, root, rate)
    return np.asarray(location), np.asarray(root)
