"""NumPyro's SVI with its automatic guides."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, Trace_ELBO, autoguide

from benchmarks.posteriordb.contender import Contender, Fitted, fitted_distribution
from benchmarks.posteriordb.problems import Problem

NUM_STEPS = 10_000
SETTINGS = (
    "Adam({rate}), {steps:,} steps, one draw a step, no progress bar (which compiles slowly). NumPyro's manual has "
    "SVI(model, guide, Adam(...), Trace_ELBO()).run(key, steps, data) and leaves rate and steps to the user: {source}"
)
COMMON = "its examples use rates from 5e-4 to 1e-2 and 300 to 20,000 steps."
BNAF = "rate, steps and widths [8, 8] are those of its example of neural transport."


def _run(guide: Any, rate: float, problem: Problem, seed: int) -> Any:
    svi = SVI(problem.model, guide, numpyro.optim.Adam(rate), Trace_ELBO())
    return svi.run(jax.random.key(seed), NUM_STEPS, progress_bar=False, **problem.arguments).params


def _fit_mean_field(problem: Problem, seed: int) -> Fitted:
    params = _run(autoguide.AutoNormal(problem.model), 1e-2, problem, seed)
    sites = [site.name for site in problem.target.sites]
    locations, scales = (
        jnp.concatenate([jnp.reshape(params[f"{name}_auto_{part}"], -1) for name in sites]) for part in ("loc", "scale")
    )
    return fitted_distribution(dist.Normal(locations, scales).to_event(1), gradients=NUM_STEPS + 1)


def _fit(make: Callable[[Any], Any], extra: Callable[[int], float], problem: Problem, seed: int) -> Fitted:
    guide = make(problem.model)
    posterior = guide.get_posterior(_run(guide, 1e-2, problem, seed))
    spent = NUM_STEPS + 1 + extra(problem.target.dim)
    return fitted_distribution(posterior, order=_order(guide, problem), gradients=spent)


def _fit_flow(problem: Problem, seed: int) -> Fitted:
    """Its density is known at its own draws alone: the flow has no inverse."""
    guide = autoguide.AutoBNAFNormal(problem.model, hidden_factors=[8, 8])
    flow = guide.get_posterior(_run(guide, 3e-3, problem, seed))
    order = _order(guide, problem)

    def sample(key: Any, num_draws: int) -> tuple[Any, Any]:
        draws, between = flow.sample_with_intermediates(key, (num_draws,))
        return draws[:, order], flow.log_prob(draws, between)

    return Fitted(sample, gradients=NUM_STEPS + 1)


def _order(guide: Any, problem: Problem) -> np.ndarray:
    """Where the coordinates of the target stand in the guide's flat vector."""
    places = guide._unpack_latent(jnp.arange(problem.target.dim))
    return np.concatenate([np.reshape(places[site.name], -1) for site in problem.target.sites]).astype(int)


def _settings(rate: float, source: str, more: str = "") -> str:
    return SETTINGS.format(rate=rate, steps=NUM_STEPS, source=source) + more


CONTENDERS = {
    "numpyro/AutoNormal": Contender(_settings(1e-2, COMMON), _fit_mean_field),
    "numpyro/AutoMultivariateNormal": Contender(
        _settings(1e-2, COMMON), partial(_fit, autoguide.AutoMultivariateNormal, lambda dim: 0.0)
    ),
    "numpyro/AutoLowRankMultivariateNormal": Contender(
        _settings(1e-2, COMMON, " Rank: its default, about the root of dim."),
        partial(_fit, autoguide.AutoLowRankMultivariateNormal, lambda dim: 0.0),
    ),
    "numpyro/AutoLaplaceApproximation": Contender(
        _settings(1e-2, COMMON, " Its Hessian counts 2 dim gradients."),
        partial(_fit, autoguide.AutoLaplaceApproximation, lambda dim: 2.0 * dim),
    ),
    "numpyro/AutoBNAFNormal": Contender(_settings(3e-3, BNAF), _fit_flow),
}
