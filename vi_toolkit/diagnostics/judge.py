"""The rules of the verdict: a pure function of the evidence."""

from __future__ import annotations

import numpy as np

from vi_toolkit.diagnostics._limits import (
    GAP_LIMIT,
    KHAT_GOOD,
    KHAT_USABLE,
    MASS_LIMIT,
    MEAN_LIMIT,
    NUM_SES,
    SPREAD_LIMIT,
)
from vi_toolkit.diagnostics._sentence import sentence
from vi_toolkit.diagnostics.moments import Measured
from vi_toolkit.diagnostics.verdict import Distances, Evidence, Judgement, Verdict

_ORDER = (Verdict.GOOD, Verdict.USABLE_AFTER_REWEIGHTING, Verdict.NOT_TRUSTED)
_GOOD, _USABLE, _NOT_TRUSTED, _CANNOT_TELL = Verdict


def judge(evidence: Evidence) -> Judgement:
    """Judges an approximation by what is known about it.

    - ``tails``: good where k-hat < 0.5 and D(q||p) is not above 0.5 nats (k-hat cannot see a q that is far too wide,
      this can) and no draw of q lies where p is zero; usable after reweighting where k-hat < 0.7; else not to be
      trusted.
    - weights that are nearly all alike (95 % of the draws effective, D(q||p) at most 0.05 nats) have little to show
      in their tail, and a k-hat of 0.7 or more then says only that the far ``tails`` cannot be told.
    - ``means``, ``spreads`` without a reference: good where reweighting moves no mean by more than 0.1 standard
      deviations, no log standard deviation by more than 0.1; usable where it does. Where k-hat >= 0.7 the weights
      cannot tell, unless they are nearly all alike.
    - ``means``, ``spreads``, ``modes`` with a reference: the errors themselves, against the same limits and 0.02 for
      the mass at a mode. Beyond them, usable after reweighting only if k-hat < 0.7 and the reweighted errors are
      within.
    - ``modes`` without a reference: cannot be told. A mode that q never visits leaves no trace in its draws.
    - the whole: the worst of the parts that can be told, and never good if the fit did not converge.

    An error counts for what is left of it after two standard errors; where two standard errors are as large as the
    limit, it cannot be told.

    Args:
        evidence: the numbers.

    Returns:
        The verdicts and the sentence.

    Example:
        >>> import dataclasses
        >>> from vi_toolkit import diagnostics
        >>> none = diagnostics.mean_errors([0.0], [0.0], [1.0])
        >>> evidence = diagnostics.Evidence(
        ...     converged=True, status="it converged", khat=0.2, ess=3800.0, num_draws=4000, num_zero=0, num_bad=0,
        ...     reverse_kl=diagnostics.Estimate(0.01, 0.001), moves=diagnostics.Distances(means=none, spreads=none))
        >>> diagnostics.judge(evidence).verdict.name
        'GOOD'
        >>> diagnostics.judge(dataclasses.replace(evidence, converged=False)).verdict.name
        'USABLE_AFTER_REWEIGHTING'

    Source: the limits of k-hat are those of Vehtari et al. (2024), arXiv:1507.02646; their use for variational
    posteriors is that of Yao, Vehtari, Simpson and Gelman (2018), Yes, but did it work?, arXiv:1802.02538.
    """
    measured, reweighted = evidence.measured, evidence.reweighted or Distances()
    if measured is None:
        verdicts = {
            "means": _by_weights(evidence.moves.means, MEAN_LIMIT, evidence),
            "spreads": _by_weights(evidence.moves.spreads, SPREAD_LIMIT, evidence),
            "tails": _tails(evidence),
            "modes": _CANNOT_TELL,
        }
    else:
        verdicts = {
            "means": _by_reference(measured.means, reweighted.means, MEAN_LIMIT, evidence.khat),
            "spreads": _by_reference(measured.spreads, reweighted.spreads, SPREAD_LIMIT, evidence.khat),
            "tails": _tails(evidence),
            "modes": _by_reference(measured.modes, reweighted.modes, MASS_LIMIT, evidence.khat),
        }
    told = [verdict for verdict in verdicts.values() if verdict is not _CANNOT_TELL]
    worst = max(told, key=_ORDER.index)
    if worst is _GOOD and not evidence.converged:
        worst = _USABLE
    return Judgement(worst, verdicts, sentence(worst, verdicts, evidence))


def _tails(evidence: Evidence) -> Verdict:
    gap, se = evidence.reverse_kl
    if not evidence.khat < KHAT_USABLE:
        return _CANNOT_TELL if evidence.nearly_even else _NOT_TRUSTED
    wide = np.isnan(gap) or (gap > GAP_LIMIT and not gap - NUM_SES * se <= GAP_LIMIT)
    return _USABLE if evidence.khat >= KHAT_GOOD or wide or evidence.num_zero else _GOOD


def _by_weights(moves: Measured | None, limit: float, evidence: Evidence) -> Verdict:
    size = _size(moves, limit)
    if evidence.khat < KHAT_USABLE or evidence.nearly_even:
        return {"within": _GOOD, "beyond": _USABLE}.get(size, _CANNOT_TELL)
    return _NOT_TRUSTED if size == "beyond" else _CANNOT_TELL


def _by_reference(error: Measured | None, reweighted: Measured | None, limit: float, khat: float) -> Verdict:
    size = _size(error, limit)
    if size != "beyond":
        return _GOOD if size == "within" else _CANNOT_TELL
    mended = khat < KHAT_USABLE and _size(reweighted, limit) == "within"
    return _USABLE if mended else _NOT_TRUSTED


def _size(error: Measured | None, limit: float) -> str:
    """Whether errors are "within" a limit, one is "beyond" it, or they are "unknown"."""
    if error is None:
        return "unknown"
    if np.any(np.abs(error.values) - NUM_SES * error.ses > limit):
        return "beyond"
    return "within" if np.all(NUM_SES * error.ses < limit) and np.isfinite(error.values).all() else "unknown"
