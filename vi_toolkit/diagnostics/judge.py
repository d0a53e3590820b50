"""The rules of the verdict: a pure function of the evidence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vi_toolkit.diagnostics._limits import (
    GAP_LIMIT,
    KHAT_GOOD,
    KHAT_USABLE,
    MASS_LIMIT,
    MEAN_LIMIT,
    NUM_SES,
    SEARCH_MASS_LIMIT,
    SPREAD_LIMIT,
    TAIL_LIMIT,
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
      trusted. With k-hat of 0.7 or more they cannot be told, rather, where a search has seen that q's region
      of highest density with 95 % of q holds at least 92.5 % of p, or, unless it has seen that it holds less, where the
      weights are nearly all alike (95 % of the draws effective, D(q||p) at most 0.05 nats) and so have little to show
      in their tail.
    - ``means``, ``spreads`` without a reference: by how far the weights move q's means, in standard deviations, and log
      standard deviations, where k-hat < 0.7 or the weights are nearly all alike; and by how far the search's own draws
      move them, where its k-hat < 0.7. Good where neither moves one by more than 0.1; usable after reweighting where
      the reweighted draws agree with the search; not to be trusted where they do not. What the weights move by nearly
      0.1 counts as moved.
    - ``modes`` without a reference: not to be trusted where the search found a mode with more than 1 % of p that q
      hardly visits; usable after reweighting where the mass at a mode is off by more than 0.05; good where the search
      found none of this; cannot be told where nothing was looked for, or the search's k-hat is not below 0.7.
    - ``means``, ``spreads``, ``modes`` with a reference: the errors themselves, against the same limits and 0.02 for
      the mass at a mode. Beyond them, usable after reweighting only if k-hat < 0.7 and the reweighted errors are
      within.
    - the whole: the worst of the parts. It cannot be told where means or spreads cannot, nor, without a reference,
      where modes cannot, nor of a fit that diverged; it is never good if the fit did not converge. It is not to be
      trusted where the log density does not follow its own gradient (`vi.diagnostics.roughness`), or there is no
      posterior to approximate: a density that does not fall far out, a likelihood without bound.

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
        >>> diagnostics.judge(evidence).verdict.name  # nothing was looked for beyond q's draws
        'CANNOT_TELL'
        >>> searched = diagnostics.Searched(0.1, evidence.moves, evidence.moves)
        >>> evidence = dataclasses.replace(evidence, searched=searched)
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
            "means": _blind(lambda distances: distances.means, MEAN_LIMIT, evidence),
            "spreads": _blind(lambda distances: distances.spreads, SPREAD_LIMIT, evidence),
            "tails": _tails(evidence),
            "modes": _modes(evidence),
        }
    else:
        verdicts = {
            "means": _by_reference(measured.means, reweighted.means, MEAN_LIMIT, evidence.khat),
            "spreads": _by_reference(measured.spreads, reweighted.spreads, SPREAD_LIMIT, evidence.khat),
            "tails": _tails(evidence),
            "modes": _by_reference(measured.modes, reweighted.modes, MASS_LIMIT, evidence.khat),
        }
    told = [verdict for verdict in verdicts.values() if verdict is not _CANNOT_TELL]
    worst = max(told, key=_ORDER.index, default=_CANNOT_TELL)
    needed = ("means", "spreads", "modes") if measured is None else ("means", "spreads")
    untold = evidence.diverged or _CANNOT_TELL in [verdicts[part] for part in needed]
    if untold and worst is not _NOT_TRUSTED:
        worst = _CANNOT_TELL
    if worst is _GOOD and not evidence.converged:
        worst = _USABLE
    if evidence.rough or evidence.no_posterior:
        worst = _NOT_TRUSTED
    return Judgement(worst, verdicts, sentence(worst, verdicts, evidence))


def settled(evidence: Evidence) -> bool:
    """Whether more draws would change nothing that a verdict goes by."""
    if evidence.num_bad or evidence.khat == -np.inf:
        return True
    if not np.isfinite(evidence.khat):  # too few draws to tell by
        return False
    near = [abs(evidence.khat - limit) < NUM_SES * evidence.khat_se for limit in (KHAT_GOOD, KHAT_USABLE)]
    if any(near) and not evidence.nearly_even:
        return False
    if not evidence.correctable:
        return True
    pairs = ((evidence.moves.means, MEAN_LIMIT), (evidence.moves.spreads, SPREAD_LIMIT))
    return all(_precise(moves, limit) and _size(moves, limit, strict=True) != "unknown" for moves, limit in pairs)


def _tails(evidence: Evidence) -> Verdict:
    gap, se = evidence.reverse_kl
    if not evidence.khat < KHAT_USABLE:
        return _CANNOT_TELL if _beyond(evidence) == "within" or _even_as_seen(evidence) else _NOT_TRUSTED
    wide = np.isnan(gap) or (gap > GAP_LIMIT and not gap - NUM_SES * se <= GAP_LIMIT)
    return _USABLE if evidence.khat >= KHAT_GOOD or wide or evidence.num_zero else _GOOD


def _even_as_seen(evidence: Evidence) -> bool:
    """Whether the weights are nearly all alike, and a search has not seen more of p where q has little."""
    return evidence.nearly_even and _beyond(evidence) != "beyond"


def _beyond(evidence: Evidence) -> str:
    """Whether a search has seen that p has but little more mass than q where q has little; "unknown" without one."""
    searched = evidence.searched
    if searched is None or not searched.conclusive or evidence.num_zero or evidence.num_bad:
        return "unknown"
    more = np.maximum(searched.beyond.value, 0.0)
    return _size(Measured(more, np.asarray(searched.beyond.se)), TAIL_LIMIT, strict=True)


def _blind(of: Callable[[Distances], Measured | None], limit: float, evidence: Evidence) -> Verdict:
    """By how far the weights move q's own draws, and by what a search found beyond them."""
    moves, searched = of(evidence.moves), evidence.searched
    by_weights = _size(moves, limit, strict=True) if evidence.correctable else "no word"
    conclusive = searched is not None and searched.conclusive
    by_search = _size(of(searched.moves), limit, strict=True) if searched is not None and conclusive else "no word"
    words = {by_weights, by_search} - {"no word"}
    if not words:
        return _NOT_TRUSTED if _size(moves, limit) == "beyond" else _CANNOT_TELL
    if "beyond" in words or by_weights == "unknown":
        mended = evidence.correctable and _precise(moves, limit)
        left = of(searched.left) if searched is not None and conclusive else None
        if mended and (left is None or _size(left, limit, strict=True) == "within"):
            return _USABLE
        return _NOT_TRUSTED if "beyond" in words else _CANNOT_TELL
    whole = searched is None or not searched.missed  # what q misses has means and spreads of its own
    return _GOOD if whole and "within" in words else _CANNOT_TELL  # where the weights are sure, the search need not be


def _modes(evidence: Evidence) -> Verdict:
    searched = evidence.searched
    if searched is None:
        return _CANNOT_TELL
    if searched.missed:
        return _NOT_TRUSTED
    if not searched.conclusive:
        return _CANNOT_TELL
    if searched.moves.modes is None or _size(searched.moves.modes, SEARCH_MASS_LIMIT) != "beyond":
        return _GOOD
    left = searched.left.modes
    mended = evidence.correctable and left is not None and _size(left, SEARCH_MASS_LIMIT) != "beyond"
    return _USABLE if mended else _NOT_TRUSTED


def _by_reference(error: Measured | None, reweighted: Measured | None, limit: float, khat: float) -> Verdict:
    size = _size(error, limit)
    if size != "beyond":
        return _GOOD if size == "within" else _CANNOT_TELL
    mended = khat < KHAT_USABLE and _size(reweighted, limit) == "within"
    return _USABLE if mended else _NOT_TRUSTED


def _size(error: Measured | None, limit: float, *, strict: bool = False) -> str:
    """Whether errors are "within" a limit, one is "beyond" it, or they are "unknown".

    Strictly, an error is within only with its own two standard errors added.
    """
    if error is None:
        return "unknown"
    slack = NUM_SES * error.ses
    if np.any(np.abs(error.values) - slack > limit):
        return "beyond"
    largest = np.abs(error.values) + slack if strict else slack
    return "within" if np.all(largest < limit) and np.isfinite(error.values).all() else "unknown"


def _precise(error: Measured | None, limit: float) -> bool:
    """Whether errors are known to better than the limit."""
    return error is not None and bool(np.all(NUM_SES * error.ses < limit))
