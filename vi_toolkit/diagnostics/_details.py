"""What a diagnosis holds beside the weights: bounds, scores, the shape of p, and whether the fit is at rest."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from vi_toolkit._types import Key
from vi_toolkit.diagnostics.convergence.agreement import Agreement, agreement_of_runs
from vi_toolkit.diagnostics.convergence.convergence import Convergence, find_convergence
from vi_toolkit.diagnostics.scores._scores import Scores
from vi_toolkit.diagnostics.scores.roughness import SCORED, roughness
from vi_toolkit.diagnostics.scores.stein_test import SteinTest, fisher_divergence, scores_of, stein_test
from vi_toolkit.diagnostics.shape.shape import Shape, find_shape
from vi_toolkit.diagnostics.weights.bounds import Bracket, bracket
from vi_toolkit.diagnostics.weights.error_bounds import ErrorBounds, error_bounds
from vi_toolkit.diagnostics.weights.evidence import Estimate
from vi_toolkit.diagnostics.weights.khat_error import parameter_khats
from vi_toolkit.fit import Fit
from vi_toolkit.preflight import without_a_posterior

ON_RAYS = 128  # draws from which one looks far out


class Numbers(NamedTuple):
    """What the weights alone give."""

    bracket: Bracket
    error_bounds: ErrorBounds | None
    parameter_khats: np.ndarray | None


class Explanation(NamedTuple):
    """What takes gradients of the target."""

    stein: SteinTest | None
    fisher: Estimate | None
    shape: Shape
    convergence: Convergence
    roughness: float
    no_posterior: tuple[str, ...]
    agreement: Agreement | None  # of the runs within it


def numbers(fit: Fit, scores: Scores, at_p: np.ndarray | None, correlated: bool) -> Numbers:
    log_weights, rounding = scores.log_weights, scores.rounding
    return Numbers(
        bracket(log_weights, at_p=at_p, correlated=correlated, rounding=rounding),
        error_bounds(log_weights, fit.posterior, scores.draws, rounding=rounding),
        parameter_khats(scores.draws, log_weights, rounding=rounding),
    )


def explain(key: Key, fit: Fit, scores: Scores) -> Explanation | None:
    """None for a target over finitely many points, which has no gradients."""
    if fit.target.num_values is not None:
        return None
    keys = jax.random.split(key, 4)
    stein, fisher = _by_scores(keys[0], fit, scores.draws[:SCORED])
    shape = find_shape(keys[1], fit, scores.draws, scores.log_weights)
    rough = roughness(keys[3], fit, scores.draws)
    lost = without_a_posterior(fit.target, scores.draws[:ON_RAYS], scores.log_p[:ON_RAYS])
    agreed = agreement_of_runs(jax.random.fold_in(keys[2], 1), fit)
    return Explanation(stein, fisher, shape, find_convergence(keys[2], fit), rough, tuple(lost), agreed)


def _by_scores(key: Key, fit: Fit, draws: np.ndarray) -> tuple[Any, Any]:
    """Stein's test and Fisher's divergence in units of q's sds; None where a score is not finite."""
    pair = scores_of(fit, draws)
    finite_p, finite_q = (np.isfinite(scores).all() for scores in (pair.p, pair.q))
    stein = stein_test(key, draws, pair.p) if finite_p else None
    fisher = fisher_divergence(pair.p, pair.q, scale=draws.std(axis=0)) if finite_p and finite_q else None
    return stein, fisher
