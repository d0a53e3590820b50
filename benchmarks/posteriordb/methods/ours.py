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
    "natural_gradient": lambda: _of("natural_gradient")(vi.FullRankNormal()),
    "laplace": lambda: _of("laplace")(),
    "pathfinder": lambda: _of("pathfinder")(),
    "batch_and_match": lambda: _of("batch_and_match")(),
    "gaussian_score_matching": lambda: _of("gaussian_score_matching")(),
    "fixed_draws/mean-field": lambda: _of("fixed_draws")(vi.MeanFieldNormal()),
    "fixed_draws/full-rank": lambda: _of("fixed_draws")(vi.FullRankNormal()),
    "gradient/mean-field": lambda: vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL()),
    "gradient/full-rank": lambda: vi.gradient(vi.FullRankNormal(), vi.ReverseKL()),
}


def _of(name: str) -> Any:
    """A public name of the package, which may not be there yet."""
    if not hasattr(vi, name):
        raise NotImplementedError(f"vi.{name} is not in this version of vi-toolkit.")
    return getattr(vi, name)


def _fit(make: Callable[[], Any], problem: Problem, seed: int) -> Fitted:
    """Everything that a user waits for: the model becomes a target, the target is fitted."""
    target = vi.from_numpyro(problem.model, **problem.arguments)
    fit = vi.fit(jax.random.key(seed), target, make())
    jax.block_until_ready(fit.params)
    return fitted_distribution(fit.posterior, gradients=float(fit.num_gradients), ended=fit.status.name)


def _approximate(problem: Problem, seed: int) -> Fitted:
    target = vi.from_numpyro(problem.model, **problem.arguments)
    found = _of("approximate")(jax.random.key(seed), target)
    gradients = getattr(found, "num_gradients", found.fit.num_gradients)
    verdict = found.diagnosis.verdict.name
    return fitted_distribution(found.fit.posterior, gradients=float(gradients), ended=f"diagnosis {verdict}")


def _missing(make: Callable[[], Any]) -> str | None:
    try:
        make()
    except NotImplementedError as error:
        return str(error)
    return None


CONTENDERS = {
    f"ours/{name}": Contender("all defaults", partial(_fit, make), partial(_missing, make))
    for name, make in FITS.items()
} | {
    "ours/approximate": Contender(
        "vi.approximate, all defaults", _approximate, partial(_missing, lambda: _of("approximate"))
    )
}
