"""PyMC's ADVI, on the same log density: `pytensor.wrap_jax` makes a PyTensor operation of it, gradients included."""

from __future__ import annotations

import importlib.util
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from benchmarks.posteriordb.contender import Contender, Fitted, fitted_distribution, without
from benchmarks.posteriordb.problems import Problem

NUM_STEPS = 10_000
SETTINGS = (
    f'pm.fit(n={NUM_STEPS:,}, method="{{method}}"), all defaults: windowed AdaGrad at rate 0.001, one draw a step, '
    "started at zero. The density is one vector z on R^dim with a pm.Potential, through pytensor.wrap_jax."
)


def model_of(problem: Problem) -> Any:
    """A PyMC model with the one unknown z on R^dim, and log p~(z) as its density."""
    import pymc as pm
    from pytensor.link.jax.ops import wrap_jax

    log_density = wrap_jax(problem.target.log_density)
    with pm.Model() as model:
        z = pm.Flat("z", shape=problem.target.dim)
        pm.Potential("log_density", log_density(z))
    return model


def missing(package: str = "pymc") -> str | None:
    """Why PyMC cannot run here, or None."""
    found = importlib.util.find_spec(package) is not None
    return None if found else f"{package} is not installed (make bench-env installs it)."


def _fit(method: str, problem: Problem, seed: int) -> Fitted:
    import pymc as pm

    with model_of(problem):
        found = pm.fit(n=NUM_STEPS, method=method, random_seed=seed, progressbar=False)
    mean, covariance = np.asarray(found.mean.eval()), np.asarray(found.cov.eval())
    normal = dist.MultivariateNormal(jnp.asarray(mean), jnp.asarray(covariance))
    return fitted_distribution(normal, gradients=NUM_STEPS)


CONTENDERS = without(
    {
        "pymc/advi": Contender(SETTINGS.format(method="advi"), partial(_fit, "advi")),
        "pymc/fullrank_advi": Contender(SETTINGS.format(method="fullrank_advi"), partial(_fit, "fullrank_advi")),
    },
    missing,
)
