"""Pathfinder and DADVI of pymc-extras, on the same log density as `benchmarks.posteriordb.methods.pymc_vi`."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from benchmarks.posteriordb.contender import Contender, Fitted, fitted_distribution, sampled_only, without
from benchmarks.posteriordb.methods.pymc_vi import missing, model_of
from benchmarks.posteriordb.problems import Problem


def _fit_pathfinder(problem: Problem, seed: int) -> Fitted:
    import pymc_extras as pmx

    with model_of(problem):
        found = pmx.fit(method="pathfinder", random_seed=seed, parallel=False, progressbar=False)
    return sampled_only(_draws(found), gradients=None)


def _fit_dadvi(problem: Problem, seed: int) -> Fitted:
    """A mean-field normal, whose means and log sds are what its optimiser ended with."""
    import pymc_extras as pmx

    with model_of(problem):
        found = pmx.fit(method="dadvi", random_seed=seed, progressbar=False)
    result = found["optimizer_result"]
    mean, log_sd = (jnp.asarray(part) for part in np.split(np.asarray(result["x"]), 2))
    normal = dist.Normal(mean, jnp.exp(log_sd)).to_event(1)
    return fitted_distribution(normal, gradients=None, ended=f"success {bool(result['success'])}")


def _draws(tree: Any) -> np.ndarray:
    values = np.asarray(tree.posterior["z"])
    return values.reshape(-1, values.shape[-1])


CONTENDERS = without(
    {
        "pymc-extras/pathfinder": Contender(
            "all defaults but for paths one after the other: 4 paths, Pareto-smoothed resampling to 1,000 draws. Its "
            "errors are those of these draws; it has no density, and does not count gradients.",
            _fit_pathfinder,
        ),
        "pymc-extras/dadvi": Contender(
            "all defaults: 30 fixed draws, trust-ncg. It does not count gradients.", _fit_dadvi
        ),
    },
    partial(missing, "pymc_extras"),
)
