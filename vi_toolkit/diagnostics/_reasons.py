"""A sentence for each part of a verdict, with the numbers behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from vi_toolkit.diagnostics._limits import GAP_LIMIT, KHAT_USABLE
from vi_toolkit.diagnostics.moments import Measured
from vi_toolkit.diagnostics.search.basins import Basins
from vi_toolkit.diagnostics.verdict import Distances, Evidence, Verdict

Words = Callable[[float], str]


def reasons(
    verdicts: Mapping[str, Verdict], evidence: Evidence, basins: Basins | None, names: tuple[str, ...]
) -> dict[str, str]:
    """Why each part is judged as it is; ``names`` of the coordinates."""
    said = {
        "means": _moments(evidence, names, "mean", lambda d: d.means, lambda value: f"{abs(value):.2g} sd"),
        "spreads": _moments(evidence, names, "standard deviation", lambda d: d.spreads, _as_percent),
        "tails": _tails(evidence),
        "modes": _modes(evidence, basins),
    }
    return {part: f"{verdicts[part].value.capitalize()}: {words}." for part, words in said.items()}


def _moments(
    evidence: Evidence, names: tuple[str, ...], what: str, of: Callable[[Distances], Measured | None], words: Words
) -> str:
    if evidence.measured is not None:
        error = of(evidence.measured)
        return (
            f"no {what} is known of the reference"
            if error is None
            else f"against the reference the {what} that is furthest off is that of {_largest(error, names, words)}"
        )
    parts = []
    moves, searched = of(evidence.moves), evidence.searched
    if evidence.correctable and moves is not None:
        parts.append(f"the weights move the {what} of {_largest(moves, names, words)}, and no other by more")
    else:
        parts.append("the weights are too uneven to tell by")
    found = of(searched.moves) if searched is not None and searched.conclusive else None
    if found is not None:
        parts.append(f"a search beyond q's own draws puts that of {_largest(found, names, words)} off at most")
    return "; ".join(parts)


def _largest(measured: Measured, names: tuple[str, ...], words: Words) -> str:
    worst = int(np.nanargmax(np.abs(measured.values))) if np.isfinite(measured.values).any() else 0
    return f"{names[worst]} by {words(float(measured.values[worst]))} (± {measured.ses[worst]:.1g})"


def _as_percent(log_ratio: float) -> str:
    if not np.isfinite(log_ratio):
        return "a factor without bound"
    return (
        f"{100 * np.expm1(log_ratio):+.2g} %" if abs(log_ratio) < np.log(10) else f"a factor of {np.exp(log_ratio):.2g}"
    )


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
    return ", ".join(parts)


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
