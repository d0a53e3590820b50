"""The posteriors of the bench: the database's eighteen, and those of `benchmarks.posteriordb.synthetic`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.posteriordb import CHECKS, MODELS, folder, posterior
from benchmarks.posteriordb.long_run import long_run
from benchmarks.posteriordb.synthetic import SYNTHETIC
from vi_toolkit.targets import Target

NAMES = (*MODELS, *SYNTHETIC)
NUM_DRAWS_OF_GAUSSIAN = 10_000


@dataclass(frozen=True, eq=False)
class Problem:
    """A posterior, and what it is held against.

    Attributes:
        name: of the posterior.
        model: the NumPyro model.
        arguments: its arguments, by name.
        target: the same as a target, in whose coordinates everything is measured.
        draws: reference draws, (draws, dim).
        mean: of the posterior, (dim,).
        sd: of the posterior, (dim,).
        covariance: of the posterior, (dim, dim).
        log_evidence: log Z in nats.
        log_evidence_se: its standard error.
    """

    name: str
    model: Any
    arguments: Mapping[str, Any]
    target: Target
    draws: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    covariance: np.ndarray
    log_evidence: float
    log_evidence_se: float


def load(path: str | Path | None, name: str, references: Path) -> Problem:
    """The problem of that name; ``references`` is the folder that keeps the long runs of the synthetic ones."""
    return from_database(path, name) if name in MODELS else from_synthetic(name, references)


def from_database(path: str | Path | None, name: str) -> Problem:
    """One of the database's posteriors, with its reference draws."""
    found = posterior(path, name)
    assert found.target is not None
    exact = found.reference
    assert exact is not None
    assert exact.mean is not None
    assert exact.covariance is not None
    facts = json.loads((folder(path) / CHECKS / name / "facts.json").read_text())["log_evidence"]
    return Problem(
        name=name,
        model=MODELS[name].model,
        arguments=MODELS[name].arguments(found.data),
        target=found.target,
        draws=np.asarray(exact.draws),
        mean=exact.mean,
        sd=np.sqrt(np.diag(exact.covariance)),
        covariance=exact.covariance,
        log_evidence=float(found.target.log_evidence),
        log_evidence_se=float(facts.get("se", 0.0)),
    )


def from_synthetic(name: str, references: Path) -> Problem:
    """A posterior with data made here (seed 0): known in closed form, or by a long run of NUTS from the truth."""
    made = SYNTHETIC[name](0)
    if made.exact is not None:
        covariance, mean = np.asarray(made.exact.covariance), np.asarray(made.exact.mean)
        draws = np.asarray(made.exact.sample(jax.random.key(0), NUM_DRAWS_OF_GAUSSIAN))
        evidence, error = float(made.exact.log_evidence or 0.0), 0.0
    else:
        run = long_run(made, references)
        covariance, mean, draws = run.covariance, run.mean, run.draws
        evidence, error = run.log_evidence, run.log_evidence_se
    sd = np.sqrt(np.diag(covariance))
    return Problem(name, made.model, made.arguments, made.target, draws, mean, sd, covariance, evidence, error)
