"""Which objectives can be the loss of NumPyro's SVI, and on which guides and models."""

from __future__ import annotations

from dataclasses import replace

from vi_toolkit.estimators import (
    Defensive,
    DoublyReparameterised,
    Estimator,
    Reparameterised,
    ScoreFunction,
    StickTheLanding,
    Vimco,
    independent,
)
from vi_toolkit.numpyro_loss._parts import TracedGuide
from vi_toolkit.objectives import (
    IWAE,
    FDivergence,
    ForwardKL,
    LogVariance,
    LogWeightObjective,
    Objective,
    Renyi,
    ReverseKL,
    TailAdaptive,
)
from vi_toolkit.sources import Importance, PosteriorDraws

ESTIMATORS = (Defensive, DoublyReparameterised, Reparameterised, ScoreFunction, StickTheLanding, Vimco)
KEPT = "vi.gradient(vi.from_numpyro_guide(guide, target), objective)"


def check_objective(objective: Objective) -> None:
    """Raises ValueError where no guide and no model could do with it."""
    name = type(objective).__name__
    if isinstance(objective, ForwardKL) and objective.source is None:
        raise ValueError(
            "objective: the draws of ForwardKL(draws) have no names of sites. Leave them out, for importance "
            f"weights, or use {KEPT}."
        )
    if isinstance(objective, ReverseKL) and objective.anneal_steps:
        raise ValueError(
            "objective: anneal_steps counts steps, and the loss of SVI has no memory. Leave it out, with a fixed beta, "
            f"or use {KEPT}."
        )
    if _remembers(objective):
        raise ValueError(
            f"objective: {objective} carries something from step to step, and the loss of SVI has no memory. "
            f"Use {KEPT}."
        )
    if isinstance(objective, LogWeightObjective):
        _check_estimator(objective.estimator, name)


def _remembers(objective: Objective) -> bool:
    if isinstance(objective, ForwardKL):
        return objective.source is not None and type(objective.source).begin is not PosteriorDraws.begin
    if isinstance(objective, (ReverseKL, FDivergence)):
        return False  # they do without: a fixed beta, the evidence by the draws of the step
    return type(objective).loss_with_memory is not Objective.loss_with_memory


def check_num_draws(objective: Objective, num_draws: int) -> None:
    """Raises ValueError where the objective needs more draws."""
    needs = 1
    if isinstance(objective, LogWeightObjective):
        alone = isinstance(objective.estimator, ScoreFunction)
        needs = objective.shape.group or (2 if alone else 1)
    elif isinstance(objective, LogVariance):
        needs = 2
    if num_draws < needs:
        raise ValueError(
            f"num_draws: {type(objective).__name__} needs at least {needs} draws for one estimate, got {num_draws}."
        )


def _check_estimator(estimator: Estimator, name: str) -> None:
    ours = type(estimator).__module__.startswith("vi_toolkit.")
    if ours and not isinstance(estimator, ESTIMATORS):
        raise ValueError(
            f"estimator: {estimator.name} does not go with {name} as a NumPyro loss: it asks of the guide what a "
            "function does not tell, such as its entropy or its states. Choose from "
            f"{', '.join(kind.name for kind in ESTIMATORS)} (all in vi.estimators)."
        )
    noise = getattr(estimator, "noise", None)
    if noise not in (None, independent):
        raise ValueError(
            f"estimator: its noise {getattr(noise, '__name__', noise)} does not go with {name} as a NumPyro loss: the "
            "guide draws for itself. Leave the noise out."
        )


def in_full(objective: Objective) -> Objective | None:
    """The objective whose gradient at given draws is that of the loss in the parameters of log p~; None if unknown."""
    if isinstance(objective, LogWeightObjective):
        same: LogWeightObjective = replace(objective, estimator=Reparameterised())  # type: ignore[type-var]
        return same
    return ReverseKL(Reparameterised()) if isinstance(objective, (LogVariance, TailAdaptive)) else None


def is_linear(objective: Objective) -> bool:
    """Whether a random part of the data leaves the gradient unbiased."""
    return isinstance(objective, LogVariance) or (isinstance(objective, LogWeightObjective) and objective.shape.linear)


def bounds_evidence(objective: Objective) -> bool:
    """Whether the loss, or what its gradient is that of, is minus a lower bound on the log evidence."""
    if isinstance(objective, Renyi):
        return objective.alpha > 0
    return isinstance(objective, (ReverseKL, IWAE, LogVariance, TailAdaptive))


def check_fit(objective: Objective, guide: TracedGuide) -> None:
    """Raises ValueError where the objective does not go with this guide and model."""
    structure, name = guide.structure, type(objective).__name__
    _check_draws(objective, guide, name)
    if structure.subsampled and not is_linear(objective):
        raise ValueError(
            f"model: plate {structure.subsampled[0]!r} is subsampled and does not enclose all sites of guide and "
            f"model, so {name}, which is not linear in the log density, would be biased. Enclose everything, take all "
            "rows, or use vi.ReverseKL() or vi.LogVariance()."
        )
    if structure.learned and not bounds_evidence(objective):
        raise ValueError(
            f"model: {list(structure.learned)} are learned, not drawn, and minimising {name} does not make the "
            "evidence large. Use vi.ReverseKL(), vi.IWAE(num_importance), vi.Renyi(alpha) with alpha > 0, "
            "vi.LogVariance() or vi.TailAdaptive(), or give them priors and draw them in the guide."
        )
    if in_full(objective) is None and (structure.moving or structure.scaled):
        what = f"{list(structure.moving)} have supports that move" if structure.moving else "sites are scaled or masked"
        raise ValueError(f"guide: {what}, which {name} cannot take. Use an objective of log weights: vi.ReverseKL().")


def _check_draws(objective: Objective, guide: TracedGuide, name: str) -> None:
    if not isinstance(objective, LogWeightObjective):
        objective.check(guide, guide.structure.layout.dim)
        stretched = isinstance(objective, ForwardKL) and isinstance(objective.source, Importance)
        if stretched and not (guide.reparameterised and guide.scores_cheaply):
            raise ValueError(
                f"objective: {objective} stretches the guide about its mean, and asks for a continuous one that can "
                "score a given point. Use vi.ReverseKL(vi.estimators.score_function) for discrete sites."
            )
        return
    reason = objective.estimator.refuses(objective.shape, guide)
    if reason is None:
        return
    choices = [kind.name for kind in ESTIMATORS if kind().refuses(objective.shape, guide) is None]
    raise ValueError(
        f"estimator: {objective.estimator.name} does not go with {name} over {guide}: {reason}. "
        f"Valid here: {', '.join(choices) or 'none'} (all in vi.estimators)."
    )
