"""The evidence of a verdict, from draws of q and from what a search found beyond them."""

from __future__ import annotations

import numpy as np

from vi_toolkit.diagnostics._details import Explanation
from vi_toolkit.diagnostics._limits import FAR_OUT
from vi_toolkit.diagnostics.convergence.convergence import Convergence, Motion
from vi_toolkit.diagnostics.moments import (
    Measured,
    Moments,
    log_sd_ratios,
    mean_errors,
    moments_of,
    moments_of_draws,
    reweighting_moves,
)
from vi_toolkit.diagnostics.scores._scores import Scores
from vi_toolkit.diagnostics.scores.roughness import ROUGH
from vi_toolkit.diagnostics.search.basins import Basins
from vi_toolkit.diagnostics.search.modes import masses_of_shares
from vi_toolkit.diagnostics.verdict import Distances, Evidence, Searched
from vi_toolkit.diagnostics.weights.evidence import Estimate, effective_draws, elbo, log_evidence
from vi_toolkit.diagnostics.weights.khat_error import khat_error
from vi_toolkit.diagnostics.weights.psis import Smoothed, smooth
from vi_toolkit.fit import Fit
from vi_toolkit.targets.values import OwnValues
from vi_toolkit.windows import Status

WORTH_A_WORD = 0.05  # nats to be gained for sure, from which a fit that ended is said to move still


def gather(
    fit: Fit, own: OwnValues, scores: Scores, basins: Basins | None, explanation: Explanation | None
) -> tuple[Evidence, Smoothed]:
    """The evidence, and q's smoothed weights. Means and spreads are of the coordinates, then of the own values."""
    log_weights = scores.log_weights
    smoothed = smooth(log_weights, rounding=scores.rounding)
    bound, evidence = elbo(log_weights), log_evidence(log_weights)
    here = own.beside(scores.draws)
    means, spreads = reweighting_moves(here, smoothed.log_weights)
    moving = explanation is not None and _still_moves(explanation.convergence)
    found = Evidence(
        converged=fit.status is Status.CONVERGED and not moving,
        diverged=fit.status is Status.DIVERGED,
        status="it still moves" if moving and fit.status is Status.CONVERGED else fit.status.value,
        khat=smoothed.khat,
        khat_se=khat_error(smoothed.khat, len(log_weights)),
        ess=effective_draws(log_weights),
        num_draws=len(log_weights),
        num_zero=int((log_weights == -np.inf).sum()),
        num_bad=int((np.isnan(log_weights) | (log_weights == np.inf)).sum()),
        reverse_kl=_gap(bound, evidence),
        moves=Distances(means, spreads),
        rough=explanation is not None and explanation.roughness > ROUGH,
        no_posterior=() if explanation is None else explanation.no_posterior,
        searched=None if basins is None else _searched(fit, own, scores, here, smoothed, basins),
    )
    return found, smoothed


def _still_moves(convergence: Convergence) -> bool:
    gain = convergence.gain
    return convergence.motion is Motion.MOVING and gain is not None and gain.value - 2 * gain.se > WORTH_A_WORD


def _gap(bound: Estimate, evidence: Estimate) -> Estimate:
    """D(q||p) = log Z - ELBO with log Z by importance sampling."""
    if not np.isfinite(evidence.value):
        return Estimate(float("nan"), float("inf"))
    return Estimate(evidence.value - bound.value, float(np.hypot(bound.se, evidence.se)))


def _searched(
    fit: Fit, own: OwnValues, scores: Scores, here: np.ndarray, smoothed: Smoothed, basins: Basins
) -> Searched:
    """``here`` holds q's draws with the own values beside them."""
    p = moments_of_draws(own.beside(basins.draws), basins.log_weights)
    corrected = moments_of_draws(here, smoothed.log_weights)
    q = moments_of(fit.posterior, scores.draws).and_of(here[:, fit.target.dim :])
    inside = basins.shares(scores.draws)
    moves = _to(q, p, masses_of_shares(inside), basins.mass)
    left = _to(corrected, p, masses_of_shares(inside, smoothed.log_weights), basins.mass)
    words = tuple(basins.words(k) for k in basins.missed)
    return Searched(basins.khat, moves, left, words, _beyond(scores.log_q, basins.log_q, basins.log_weights))


def _beyond(log_q: np.ndarray, log_q_there: np.ndarray, log_weights: np.ndarray) -> Estimate:
    """P(log q < its quantile under q) less what q has there; with the quantile's own error, as if p were q about it."""
    inside = log_q_there >= np.quantile(log_q, FAR_OUT)
    outside = masses_of_shares(~inside[:, None], log_weights)
    of_quantile = np.sqrt(FAR_OUT * (1 - FAR_OUT) / len(log_q))
    return Estimate(float(outside.values[0]) - FAR_OUT, float(np.hypot(outside.ses[0], of_quantile)))


def _to(q: Moments, p: Moments, masses: Measured, mass: Measured) -> Distances:
    """How far q's moments and masses are from the search's."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return Distances(
            means=mean_errors(p.mean, q.mean, p.sd, np.hypot(q.mean_se, p.mean_se)),
            spreads=log_sd_ratios(p.sd, q.sd, np.hypot(q.log_sd_se, p.log_sd_se)),
            modes=Measured(mass.values - masses.values, np.hypot(mass.ses, masses.ses))
            if len(mass.values) > 1
            else None,
        )
