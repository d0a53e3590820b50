"""What to try next, most promising first."""

from __future__ import annotations

from vi_toolkit.diagnostics.search.basins import Basins
from vi_toolkit.diagnostics.verdict import Evidence, Judgement, Verdict
from vi_toolkit.fit import Fit
from vi_toolkit.windows import Status

_NEXT = {
    Status.MAX_STEPS: "It ran out of steps: go on with vi.resume(fit).",
    Status.INTERRUPTED: "It was interrupted: go on with vi.resume(fit).",
    Status.STALLED: "It stalled: try vi.natural_gradient(), or another start by another key.",
    Status.DIVERGED: "It diverged: look at vi.preflight(key, target), and at priors that let a scale go to zero.",
    Status.COLLAPSED: "Its weights collapsed: take more draws, or begin at a fit by reverse KL (start=fit.params).",
}


def advice(
    judgement: Judgement, evidence: Evidence, basins: Basins | None, fit: Fit, shape: tuple[str, ...]
) -> tuple[str, ...]:
    """What the evidence suggests; nothing where all is good. ``shape`` is what the shape of the posterior suggests."""
    verdict, verdicts = judgement.verdict, judgement.verdicts
    said = [_NEXT[fit.status]] if fit.status in _NEXT else []
    if evidence.rough:
        said.append(
            "The log density is lost in rounding or has steps: use float64 (numpyro.enable_x64()), "
            "centre and scale the data, and look for rounding, comparisons and random numbers in the model."
        )
    if basins is not None and basins.missed:
        number = len(basins.modes)
        said.append(
            f"Take the other modes in: vi.natural_gradient(vi.NormalMixture({max(number, 2)})), "
            'vi.grow_mixture(key, fit), or vi.restarts(method, 16, combine="stack").'
        )
    if verdict is not Verdict.GOOD:
        said += shape
    if verdict is Verdict.USABLE_AFTER_REWEIGHTING:
        said.append(f"Correct it: vi.reweight(key, fit, num_draws={evidence.num_draws}).")
    if verdicts["tails"] is Verdict.NOT_TRUSTED and not (basins is not None and basins.missed):
        said.append(
            "Let vi.approximate(key, target) look for a richer guide, or go on from q to the posterior itself: "
            "vi.refine_by_smc(key, fit), vi.refine_by_nuts(key, fit)."
        )
    return tuple(said)
