"""A fitted q held against a reference: divergences, errors of moments, mass at the modes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from vi_toolkit._types import Key
from vi_toolkit.diagnostics.moments import (
    Measured,
    Moments,
    log_sd_ratios,
    mean_errors,
    moments_of,
    moments_of_draws,
)
from vi_toolkit.diagnostics.scores._scores import Scores, score
from vi_toolkit.diagnostics.search.modes import masses_of_shares
from vi_toolkit.diagnostics.verdict import Distances
from vi_toolkit.diagnostics.weights.bridge import bridge
from vi_toolkit.diagnostics.weights.divergence import forward_kl, reverse_kl
from vi_toolkit.diagnostics.weights.evidence import Estimate
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.fit import Fit
from vi_toolkit.targets.target import log_densities
from vi_toolkit.targets.values import OwnValues

NUM_COMPARED = 64  # draws at which the two log densities are held against each other


@dataclass(frozen=True, eq=False)
class Against:
    log_evidence: Estimate  # of the fit's target
    reverse_kl: Estimate
    forward_kl: Estimate
    masses: Measured | None
    reference_masses: Measured | None
    measured: Distances
    reweighted: Distances
    log_weights_p: np.ndarray  # at draws of p


def hold_against(
    key: Key,
    fit: Fit,
    scores: Scores,
    log_weights: np.ndarray,
    reference: ExactPosterior,
    num_draws: int,
    own: OwnValues | None = None,
) -> Against:
    """``scores`` at draws of q, ``log_weights`` their smoothed weights, ``own`` what has means and spreads beside z.

    A reference that can be drawn from is asked for ``num_draws`` draws.
    """
    chained = reference.draws is not None
    draws = reference.draws if chained else reference.sample(key, num_draws)
    at_p = score(fit, draws)
    evidence = _log_evidence(fit, scores, at_p, reference)
    q, p, corrected = moments_of(fit.posterior, scores.draws), _moments(reference, at_p.draws), scores.draws
    if own is not None:
        corrected = own.beside(scores.draws)
        q = q.and_of(corrected[:, fit.target.dim :])
        p = None if p is None else p.and_of(own.at(at_p.draws), correlated=chained)
    masses, reference_masses, modes, reweighted_modes = _masses(scores.draws, at_p.draws, log_weights, reference)
    return Against(
        log_evidence=evidence,
        reverse_kl=reverse_kl(scores.log_weights, evidence.value, evidence.se),
        forward_kl=forward_kl(at_p.log_weights, evidence.value, evidence.se, correlated=chained),
        masses=masses,
        reference_masses=reference_masses,
        measured=_distances(q, p, modes),
        reweighted=_distances(moments_of_draws(corrected, log_weights), p, reweighted_modes),
        log_weights_p=at_p.log_weights,
    )


def _log_evidence(fit: Fit, at_q: Scores, at_p: Scores, reference: ExactPosterior) -> Estimate:
    """log Z of the fit's own target: the reference's, moved by what the densities differ, or by bridge sampling."""
    offset = _offset(fit, at_p, reference)
    if reference.log_evidence is not None:
        return Estimate(reference.log_evidence + offset, 0.0)
    usable = at_q.log_weights[~(np.isnan(at_q.log_weights) | (at_q.log_weights == np.inf))]
    if len(usable) < 2:
        return Estimate(float("nan"), float("inf"))
    return bridge(at_p.log_weights, usable, correlated=reference.draws is not None)


def _offset(fit: Fit, at_p: Scores, reference: ExactPosterior) -> float:
    """The constant by which the fit's log density exceeds the reference's; raises where it is not one."""
    if fit.target is reference.target:
        return 0.0
    theirs = log_densities(reference.target, jnp.asarray(at_p.draws[:NUM_COMPARED], jnp.result_type(float)))
    ours = at_p.log_p[:NUM_COMPARED]
    difference = ours - np.asarray(theirs, np.float64)
    tolerance = float(np.finfo(jnp.result_type(float)).eps) ** 0.5 * max(1.0, float(np.abs(ours).max()))
    if not np.ptp(difference) <= tolerance:
        raise ValueError(
            f"reference: {reference.name} is of another posterior than the fit: at its own draws the two log densities "
            f"do not differ by a constant (by {difference.min():.3g} to {difference.max():.3g} nats). Fit "
            "reference.target, or a model with the same data, the same sites in the same order, and the same "
            "parametrisation."
        )
    return float(np.median(difference)) if np.abs(difference).max() > tolerance else 0.0


def _moments(reference: ExactPosterior, draws: np.ndarray) -> Moments | None:
    """The reference's moments, with standard errors where it is known by its draws alone."""
    if reference.mean is None or reference.sd is None:
        return None
    zeros = np.zeros(reference.dim)
    if reference.draws is None:
        return Moments(reference.mean, reference.sd, zeros, zeros)
    estimated = moments_of_draws(draws, correlated=True)
    mean_se = estimated.mean_se if reference.mcse is None else reference.mcse
    log_sd_se = estimated.log_sd_se if reference.sd_mcse is None else reference.sd_mcse / reference.sd
    return Moments(reference.mean, reference.sd, mean_se, log_sd_se)


def _distances(q: Moments, p: Moments | None, modes: Measured | None) -> Distances:
    if p is None:
        return Distances(modes=modes)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Distances(
            means=mean_errors(q.mean, p.mean, p.sd, np.hypot(q.mean_se, p.mean_se)),
            spreads=log_sd_ratios(q.sd, p.sd, np.hypot(q.log_sd_se, p.log_sd_se)),
            modes=modes,
        )


def _masses(
    draws_q: Any, draws_p: Any, log_weights: np.ndarray, reference: ExactPosterior
) -> tuple[Any, Any, Any, Any]:
    """q's mass per mode, p's, the difference, and the difference of the reweighted draws; None without modes."""
    if reference.modes is None:
        return None, None, None, None
    shares = reference.mode_shares(draws_q)
    q, reweighted = masses_of_shares(shares), masses_of_shares(shares, log_weights)
    if reference.mode_weights is not None:
        p = Measured(np.asarray(reference.mode_weights), np.zeros(len(reference.modes)))
    else:
        p = masses_of_shares(reference.mode_shares(draws_p), correlated=reference.draws is not None)
    return q, p, _difference(q, p), _difference(reweighted, p)


def _difference(q: Measured, p: Measured) -> Measured:
    return Measured(q.values - p.values, np.hypot(q.ses, p.ses))
