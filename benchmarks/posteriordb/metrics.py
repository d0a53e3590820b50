"""How good an approximation q of a posterior p is, given reference draws of p and its evidence."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.posteriordb.contender import Fitted
from benchmarks.posteriordb.problems import Problem
from vi_toolkit.diagnostics.weights.psis import smooth
from vi_toolkit.targets import Target
from vi_toolkit.targets.target import log_densities

NUM_DRAWS = 20_000
BLOCK = 2_000  # points evaluated at once: the models' arrays grow with them


def measure(fitted: Fitted, problem: Problem, key: Any, num_draws: int = NUM_DRAWS) -> dict[str, float | None]:
    r"""The numbers of the bench, for q from fresh draws.

        mean_error   max_i |E_q[z_i] - E_p[z_i]| / sd_p(z_i)
        sd_error     max_i |log sd_q(z_i) - log sd_p(z_i)|
        reverse_kl   D(q‖p) = log Z - E_q[log p~(z) - log q(z)]        from num_draws draws of q
        forward_kl   D(p‖q) = E_p[log p~(z) - log q(z)] - log Z        from the reference draws
        khat         the tail index of p~ / q at the draws of q

    in nats, on R^dim; what the library gives no density for is None. ``.._se`` are standard errors; that of the
    evidence is in reverse_kl_se.

    Raises:
        FloatingPointError: if q has draws, means or spreads that are not finite, or a spread of zero, or a density that
            cannot be that of its draws, by which D(q‖p) would be negative.
    """
    draws, log_q = fitted.sample(key, num_draws)
    draws = np.asarray(draws, np.float64)
    mean = draws.mean(axis=0) if fitted.mean is None else np.asarray(fitted.mean, np.float64)
    sd = draws.std(axis=0, ddof=1) if fitted.sd is None else np.asarray(fitted.sd, np.float64)
    if not (np.isfinite(draws).all() and np.isfinite(mean).all() and np.isfinite(sd).all() and (sd > 0).all()):
        raise FloatingPointError("q has draws, means or spreads that are not finite, or spreads of zero.")
    found: dict[str, float | None] = {
        "mean_error": float(np.max(np.abs(mean - problem.mean) / problem.sd)),
        "sd_error": float(np.max(np.abs(np.log(sd / problem.sd)))),
    }
    found |= _by_own_draws(problem, draws, log_q)
    found |= _by_reference(problem, fitted)
    return found


def _by_own_draws(problem: Problem, draws: np.ndarray, log_q: Any) -> dict[str, float | None]:
    if log_q is None:
        return {"reverse_kl": None, "reverse_kl_se": None, "khat": None}
    log_weights = blocks(problem.target, draws) - np.asarray(log_q, np.float64)
    log_weights = np.where(np.isnan(log_weights), -np.inf, log_weights)  # a density that cannot be computed is none
    if not np.isfinite(log_weights).all():
        return {"reverse_kl": float("inf"), "reverse_kl_se": None, "khat": float(smooth(log_weights).khat)}
    error = log_weights.std(ddof=1) / np.sqrt(len(log_weights))
    if problem.log_evidence - log_weights.mean() < -max(1.0, 10 * error):
        raise FloatingPointError("D(q||p) comes out negative: the density of q is not that of its draws.")
    return {
        "reverse_kl": float(problem.log_evidence - log_weights.mean()),
        "reverse_kl_se": float(np.hypot(error, problem.log_evidence_se)),
        "khat": float(smooth(log_weights).khat),
    }


def _by_reference(problem: Problem, fitted: Fitted) -> dict[str, float | None]:
    if fitted.log_density is None:
        return {"forward_kl": None, "forward_kl_se": None}
    log_q = np.asarray(fitted.log_density(jnp.asarray(problem.draws)), np.float64)
    log_weights = blocks(problem.target, problem.draws) - log_q
    if not np.isfinite(log_weights).all():
        return {"forward_kl": float("inf"), "forward_kl_se": None}
    return {
        "forward_kl": float(log_weights.mean() - problem.log_evidence),
        "forward_kl_se": float(log_weights.std(ddof=1) / np.sqrt(len(log_weights))),
    }


def blocks(target: Target, points: np.ndarray) -> np.ndarray:
    """log p~ at points (points, dim), a block at a time."""
    parts = [
        np.asarray(log_densities(target, jnp.asarray(points[i : i + BLOCK]))) for i in range(0, len(points), BLOCK)
    ]
    return np.concatenate(parts).astype(np.float64)


def metrics_key(seed: int) -> Any:
    """The key of the fresh draws: never one that a fit used."""
    return jax.random.fold_in(jax.random.key(seed), 20_000)
