"""A sentence for each part of a verdict, with the numbers behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from vi_toolkit.diagnostics._limits import FAR_OUT, GAP_LIMIT, KHAT_USABLE
from vi_toolkit.diagnostics._sentence import percent
from vi_toolkit.diagnostics.moments import Measured
from vi_toolkit.diagnostics.search.basins import Basins
from vi_toolkit.diagnostics.verdict import Distances, Evidence, Verdict


class _Part(NamedTuple):
    """How errors of means, or of spreads, are spoken of."""

    what: str
    of: Callable[[Distances], Measured | None]
    words: Callable[[float], str]  # of q less p


def reasons(
    verdicts: Mapping[str, Verdict], evidence: Evidence, basins: Basins | None, names: tuple[str, ...]
) -> dict[str, str]:
    """Why each part is judged as it is; ``names`` of the coordinates."""
    means = _Part("mean", lambda distances: distances.means, _in_sds)
    spreads = _Part("standard deviation", lambda distances: distances.spreads, _in_percent)
    said = {
        "means": _moments(evidence, names, means),
        "spreads": _moments(evidence, names, spreads),
        "tails": _tails(evidence),
        "modes": _modes(evidence, basins),
    }
    return {part: f"{verdicts[part].value.capitalize()}: {words}." for part, words in said.items()}


def _moments(evidence: Evidence, names: tuple[str, ...], part: _Part) -> str:
    if evidence.measured is not None:
        error = part.of(evidence.measured)
        if error is None:
            return f"no {part.what} of the reference is known"
        return f"against the reference the {part.what} furthest off is {_largest(error, names, part, 1.0)}"
    moves, searched = part.of(evidence.moves), evidence.searched
    parts = []
    if evidence.correctable and moves is not None:
        parts.append(f"{_largest(moves, names, part, -1.0)} by q's own weights")
    found = part.of(searched.moves) if searched is not None and searched.conclusive else None
    if found is not None:
        parts.append(f"{_largest(found, names, part, -1.0)} by a search beyond its draws")
    if not parts:
        return "the weights are too uneven to tell by"
    return f"the {part.what} furthest off is {', and '.join(parts)}"


def _largest(measured: Measured, names: tuple[str, ...], part: _Part, sign: float) -> str:
    """The largest error in words; ``sign`` is -1 for errors of p less q."""
    finite = np.where(np.isfinite(measured.values), np.abs(measured.values), -1.0)
    worst = int(np.argmax(finite))
    if finite[worst] < 0:
        return "not known"
    return f"{part.words(sign * float(measured.values[worst]))} ({names[worst]})"


def _in_sds(error: float) -> str:
    if abs(error) < 0.005:
        return "within 0.01 sd"
    return f"{abs(error):.2g} sd too {'low' if error < 0 else 'high'}"


def _in_percent(log_ratio: float) -> str:
    if abs(log_ratio) < 0.005:
        return "within 1 %"
    if log_ratio > np.log(10):
        return f"{np.exp(log_ratio):.2g} times too large"
    return f"{100 * abs(np.expm1(log_ratio)):.0f} % too {'small' if log_ratio < 0 else 'large'}"


def _tails(evidence: Evidence) -> str:
    khat, gap = evidence.khat, evidence.reverse_kl
    if khat == -np.inf:
        parts = ["the largest weights are all the same"]
    else:
        digits = 3 if KHAT_USABLE - 0.005 <= khat < KHAT_USABLE else 2
        parts = [f"k-hat is {khat:.{digits}f} ± {evidence.khat_se:.1g} by {evidence.num_draws} draws"]
    if np.isfinite(gap.value) and gap.value > GAP_LIMIT:
        parts.append(f"D(q||p) is about {gap.value:.2g} nats")
    if evidence.num_zero:
        parts.append(f"{evidence.num_zero} draws lie where the posterior is zero")
    if evidence.num_bad:
        parts.append(f"{evidence.num_bad} draws have no usable log density")
    searched, said = evidence.searched, ", ".join(parts)
    if searched is None or not searched.conclusive or not np.isfinite(searched.beyond.value):
        return said
    inside = 1 - FAR_OUT - searched.beyond.value
    return f"{said}; where q is densest, the region with {percent(1 - FAR_OUT)} of it holds {percent(inside)} of p"


def _modes(evidence: Evidence, basins: Basins | None) -> str:
    if evidence.measured is not None and evidence.measured.modes is not None:
        worst = float(np.max(np.abs(evidence.measured.modes.values)))
        return f"against the reference the mass at a mode is off by up to {worst:.2g}"
    if basins is None:
        return "nothing was looked for beyond the draws of q"
    if basins.missed:
        return "; ".join(basins.words(k) for k in basins.missed)
    if not basins.conclusive:
        return (
            f"a search found nothing that q misses, but its weights are too uneven (k-hat {basins.khat:.2f}) to be sure"
        )
    if len(basins.modes) == 1:
        return f"climbs from {basins.num_climbs} points far and near came upon no other mode"
    masses = ", ".join(f"{q:.2f} ({p:.2f})" for q, p in zip(basins.mass_q.values, basins.mass.values, strict=True))
    return f"{len(basins.modes)} modes were found, where q has the masses (and the posterior) {masses}"
