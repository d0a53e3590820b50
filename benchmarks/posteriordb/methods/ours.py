"""This package's methods. A further one is a line in `FITS`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

import vi_toolkit as vi
from benchmarks.posteriordb.contender import Contender, Fitted, fitted_distribution
from benchmarks.posteriordb.problems import Problem

# name -> () -> Method, or None for the default of vi.fit
FITS: dict[str, Callable[[], Any]] = {
    "default": lambda: None,
    "natural_gradient": lambda: vi.natural_gradient(vi.FullRankNormal()),
    "laplace": lambda: vi.laplace(),
    "pathfinder": lambda: vi.pathfinder(),
    "batch_and_match": lambda: vi.batch_and_match(),
    "gaussian_score_matching": lambda: vi.gaussian_score_matching(),
    "fixed_draws/mean-field": lambda: vi.fixed_draws(vi.MeanFieldNormal()),
    "fixed_draws/full-rank": lambda: vi.fixed_draws(vi.FullRankNormal()),
    "gradient/mean-field": lambda: vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL()),
    "gradient/full-rank": lambda: vi.gradient(vi.FullRankNormal(), vi.ReverseKL()),
}


def _fit(make: Callable[[], Any], problem: Problem, seed: int) -> Fitted:
    """Everything that a user waits for: the model becomes a target, the target is fitted."""
    target = vi.from_numpyro(problem.model, **problem.arguments)
    fit = vi.fit(jax.random.key(seed), target, make())
    jax.block_until_ready(fit.params)
    return fitted_distribution(fit.posterior, gradients=float(fit.num_gradients), ended=fit.status.name)


def _approximate(problem: Problem, seed: int) -> Fitted:
    target = vi.from_numpyro(problem.model, **problem.arguments)
    found = vi.approximate(jax.random.key(seed), target)
    verdict = found.diagnosis.verdict.name
    return fitted_distribution(found.fit.posterior, gradients=float(found.num_gradients), ended=f"diagnosis {verdict}")


CONTENDERS = {f"ours/{name}": Contender("all defaults", partial(_fit, make)) for name, make in FITS.items()} | {
    "ours/approximate": Contender("vi.approximate, all defaults", _approximate)
}
