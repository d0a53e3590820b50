"""The record of a diagnosis, from all that was found."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vi_toolkit.diagnostics._advice import advice
from vi_toolkit.diagnostics._against import Against
from vi_toolkit.diagnostics._details import Explanation, numbers
from vi_toolkit.diagnostics._reasons import reasons
from vi_toolkit.diagnostics.diagnosis import Diagnosis
from vi_toolkit.diagnostics.judge import judge
from vi_toolkit.diagnostics.moments import Measured
from vi_toolkit.diagnostics.scores._scores import Scores
from vi_toolkit.diagnostics.search.basins import Basins
from vi_toolkit.diagnostics.verdict import Evidence
from vi_toolkit.diagnostics.weights.evidence import elbo, log_evidence
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.fit import Fit
from vi_toolkit.targets.values import OwnValues


class Found(NamedTuple):
    """All that a diagnosis is made of."""

    own: OwnValues
    scores: Scores
    evidence: Evidence
    basins: Basins | None
    explanation: Explanation | None
    against: Against | None
    reference: ExactPosterior | None


def report(fit: Fit, found: Found) -> Diagnosis:
    """Judges the evidence, and puts everything into one record."""
    scores, evidence, against = found.scores, found.evidence, found.against
    bound, log_z = elbo(scores.log_weights), log_evidence(scores.log_weights)
    correlated = found.reference is not None and found.reference.draws is not None
    known = numbers(fit, scores, None if against is None else against.log_weights_p, correlated)
    judgement = judge(evidence)
    if found.basins is not None and found.basins.missed:
        known = known._replace(error_bounds=None)  # they hold for what q has seen
    explanation = found.explanation
    shape = () if explanation is None else explanation.shape.advice
    return Diagnosis(
        khat=evidence.khat,
        khat_se=evidence.khat_se,
        ess=evidence.ess,
        num_draws=evidence.num_draws,
        num_zero=evidence.num_zero,
        elbo=bound.value,
        elbo_se=bound.se,
        log_evidence=log_z.value,
        log_evidence_se=log_z.se,
        verdict=judgement.verdict,
        verdicts=judgement.verdicts,
        sentence=judgement.sentence,
        reasons=reasons(judgement.verdicts, evidence, found.basins, (*found.own.coordinates, *found.own.names)),
        advice=advice(judgement, evidence, found.basins, fit, shape),
        warnings=fit.warnings,
        reference=None if found.reference is None else found.reference.name,
        basins=found.basins,
        draws=scores.draws,
        log_weights=scores.log_weights,
        **known._asdict(),
        **({} if explanation is None else explanation._asdict()),
        **(_reference_fields(against, fit.target.dim) if against else {}),
    )


def _reference_fields(against: Against, dim: int) -> dict[str, Any]:
    means, spreads = (_first(measured, dim) for measured in (against.measured.means, against.measured.spreads))
    return {
        "reference_log_evidence": against.log_evidence.value,
        "reference_log_evidence_se": against.log_evidence.se,
        "reverse_kl": against.reverse_kl.value,
        "reverse_kl_se": against.reverse_kl.se,
        "forward_kl": against.forward_kl.value,
        "forward_kl_se": against.forward_kl.se,
        "mean_error": _largest(means),
        "mean_errors": means,
        "log_sd_ratio": _largest(spreads),
        "log_sd_ratios": spreads,
        "mode_masses": against.masses.values if against.masses else None,
        "reference_mode_masses": against.reference_masses.values if against.reference_masses else None,
    }


def _first(measured: Measured | None, dim: int) -> np.ndarray | None:
    """The errors of the coordinates."""
    return None if measured is None else measured.values[:dim]


def _largest(errors: np.ndarray | None) -> float | None:
    return None if errors is None else float(np.max(np.abs(errors)))
