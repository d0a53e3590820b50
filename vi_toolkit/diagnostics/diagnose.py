"""How good a fit is, in numbers and in one sentence."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from vi_toolkit._checks import check_instance, check_key, check_positive_int
from vi_toolkit._types import Key
from vi_toolkit.diagnostics._against import Against, hold_against
from vi_toolkit.diagnostics._scores import Scores, draw_and_score
from vi_toolkit.diagnostics.diagnosis import Diagnosis
from vi_toolkit.diagnostics.evidence import Estimate, effective_draws, elbo, log_evidence
from vi_toolkit.diagnostics.judge import judge
from vi_toolkit.diagnostics.moments import Measured, moments_of, reweighting_moves
from vi_toolkit.diagnostics.psis import MIN_DRAWS, Smoothed, smooth
from vi_toolkit.diagnostics.verdict import Distances, Evidence
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.fit import Fit
from vi_toolkit.windows import Status


def diagnose(key: Key, fit: Fit, *, reference: ExactPosterior | None = None, num_draws: int = 4000) -> Diagnosis:
    """Says how good a fit is: k-hat, the ELBO, the evidence, a verdict; with a reference, the errors themselves.

    Everything is computed from draws z_i of q and their log weights log p~(z_i) - log q(z_i). The rules of the verdict
    are those of `vi.diagnostics.judge`. With a reference that is known by its draws alone, log Z comes from bridge
    sampling and the errors' standard errors allow for the correlation of its draws.

    Args:
        key: a JAX random key; take another one than for the fit.
        fit: from `vi.fit`.
        reference: the posterior as it is known by other means, from `vi.exact`; on the same unconstrained space as the
            fit's target.
        num_draws: draws of q, at least 25, and of a reference that can be drawn from.

    Returns:
        The diagnosis; printing it shows a table.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if there are fewer than 25 draws, or the reference is of another posterior.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> exact = vi.exact.gaussian_mixture([0.5, 0.5], [[-10.0], [10.0]], [[[1.0]], [[1.0]]])
        >>> fit = vi.fit(jax.random.key(0), exact.target)  # reverse KL ends on one of the modes
        >>> blind = vi.diagnose(jax.random.key(1), fit)
        >>> blind.verdict.name, blind.verdicts["modes"].name  # its own draws cannot show what q misses ...
        ('GOOD', 'CANNOT_TELL')
        >>> seeing = vi.diagnose(jax.random.key(1), fit, reference=exact)
        >>> seeing.verdict.name, round(seeing.reverse_kl, 2)  # ... and D(q||p) is log 2
        ('NOT_TRUSTED', 0.69)

    Source: Yao, Vehtari, Simpson and Gelman (2018), Yes, but did it work? Evaluating variational inference,
    arXiv:1802.02538.
    """
    check_key(key)
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    num_draws = check_positive_int(num_draws, "num_draws")
    if num_draws < MIN_DRAWS:
        raise ValueError(f"num_draws: expected at least {MIN_DRAWS}, to fit the tail of the weights, got {num_draws}.")
    if reference is not None:
        check_reference(reference, fit)
    key_q, key_p = jax.random.split(key)
    scores = draw_and_score(key_q, fit, num_draws)
    smoothed = smooth(scores.log_weights, rounding=scores.rounding)
    q = moments_of(fit.posterior, scores.draws)
    against = hold_against(key_p, fit, scores, q, smoothed.log_weights, reference) if reference is not None else None
    return _report(fit, scores, smoothed, against, reference.name if reference is not None else None)


def _report(fit: Fit, scores: Scores, smoothed: Smoothed, against: Against | None, reference: str | None) -> Diagnosis:
    log_weights = scores.log_weights
    bound, evidence = elbo(log_weights), log_evidence(log_weights)
    means, spreads = reweighting_moves(scores.draws, smoothed.log_weights)
    num_zero = int((log_weights == -np.inf).sum())
    ess = effective_draws(log_weights)
    found = Evidence(
        converged=fit.status is Status.CONVERGED,
        status=fit.status.value,
        khat=smoothed.khat,
        ess=ess,
        num_draws=len(log_weights),
        num_zero=num_zero,
        num_bad=int((np.isnan(log_weights) | (log_weights == np.inf)).sum()),
        reverse_kl=against.reverse_kl if against else _estimated_gap(bound, evidence),
        moves=Distances(means, spreads),
        measured=against.measured if against else None,
        reweighted=against.reweighted if against else None,
        forward_kl=against.forward_kl if against else None,
    )
    judgement = judge(found)
    return Diagnosis(
        khat=smoothed.khat,
        ess=ess,
        num_draws=len(log_weights),
        num_zero=num_zero,
        elbo=bound.value,
        elbo_se=bound.se,
        log_evidence=evidence.value,
        log_evidence_se=evidence.se,
        verdict=judgement.verdict,
        verdicts=judgement.verdicts,
        sentence=judgement.sentence,
        warnings=fit.warnings,
        reference=reference,
        **(_reference_fields(against) if against else {}),
    )


def _estimated_gap(bound: Estimate, evidence: Estimate) -> Estimate:
    """D(q||p) = log Z - ELBO with log Z by importance sampling."""
    if not np.isfinite(evidence.value):
        return Estimate(float("nan"), float("inf"))
    return Estimate(evidence.value - bound.value, float(np.hypot(bound.se, evidence.se)))


def _reference_fields(against: Against) -> dict[str, Any]:
    means, spreads = against.measured.means, against.measured.spreads
    return {
        "reference_log_evidence": against.log_evidence.value,
        "reference_log_evidence_se": against.log_evidence.se,
        "reverse_kl": against.reverse_kl.value,
        "reverse_kl_se": against.reverse_kl.se,
        "forward_kl": against.forward_kl.value,
        "forward_kl_se": against.forward_kl.se,
        "mean_error": _largest(means),
        "mean_errors": means.values if means else None,
        "log_sd_ratio": _largest(spreads),
        "log_sd_ratios": spreads.values if spreads else None,
        "mode_masses": against.masses.values if against.masses else None,
        "reference_mode_masses": against.reference_masses.values if against.reference_masses else None,
    }


def _largest(measured: Measured | None) -> float | None:
    return float(np.max(np.abs(measured.values))) if measured else None


def check_reference(reference: Any, fit: Fit, name: str = "reference") -> None:
    """Raises unless ``reference`` is a known posterior on the space of the fit's target."""
    check_instance(reference, ExactPosterior, name, "Make one with vi.exact, for example vi.exact.grid(target).")
    if reference.dim != fit.target.dim:
        raise ValueError(
            f"{name}: expected one of dim {fit.target.dim}, that of the fit's target, got {reference.dim} "
            f"({reference.name})."
        )
