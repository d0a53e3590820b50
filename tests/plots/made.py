"""Diagnoses made by hand, so that figures are tested without a fit."""

from dataclasses import replace

import numpy as np

from vi_toolkit.diagnostics import Diagnosis, Estimate, Measured, Verdict, smooth
from vi_toolkit.diagnostics.search._proposals import Proposal
from vi_toolkit.diagnostics.search.basins import Basins, Division
from vi_toolkit.diagnostics.weights.bounds import Bracket

GOOD = Verdict.GOOD
TOLD = dict.fromkeys(("means", "spreads", "tails", "modes"), GOOD)


def pareto_weights(khat: float, size: int = 4000) -> np.ndarray:
    """Log weights of a Pareto distribution, w = u^-k at even u: their tail index is k."""
    return -khat * np.log((np.arange(size) + 0.5) / size)


def diagnosis(**changes) -> Diagnosis:
    """Of two coordinates, with log weights whose tail index is 0.6."""
    log_weights = changes.get("log_weights", pareto_weights(0.6))
    draws = np.random.default_rng(0).normal(size=(len(log_weights), 2))
    bracket = Bracket(
        elbo=Estimate(-3.0, 0.01),
        iwae=Estimate(-2.6, 0.02),
        log_evidence=Estimate(-2.5, 0.03),
        cubo=Estimate(-2.2, 0.1),
        width=Estimate(0.8, 0.1),
    )
    made = Diagnosis(
        khat=smooth(log_weights).khat,
        ess=900.0,
        num_draws=len(log_weights),
        num_zero=0,
        elbo=-3.0,
        elbo_se=0.01,
        log_evidence=-2.5,
        log_evidence_se=0.03,
        verdict=GOOD,
        verdicts=TOLD,
        sentence="Good: it was made so.",
        draws=draws,
        log_weights=log_weights,
        bracket=bracket,
    )
    return replace(made, **changes)


def basins(mass, mass_q, missed) -> Basins:
    """Modes at (k, -k) in a site of two entries, with the scale 10^k."""
    size = len(mass)
    return Basins(
        modes=np.array([[k, -k] for k in range(size)], float),
        sites=tuple({"mean": np.array([k, 5.0]), "scale": np.array(10.0**k)} for k in range(size)),
        mass=Measured(np.array(mass), np.full(size, 0.01)),
        mass_q=Measured(np.array(mass_q), np.full(size, 0.002)),
        missed=missed,
        khat=0.1,
        num_climbs=10,
        num_gradients=1e3,
        draws=np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]]),
        log_q=np.zeros(3),
        log_weights=np.full(3, -np.log(3)),
        divide=Division(np.zeros(1), (Proposal(np.zeros(2), np.eye(2)),), np.zeros(1, int)),
    )
