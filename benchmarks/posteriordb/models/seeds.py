"""Seeds that germinate on plates: a binomial regression with a centred random effect of the plate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist


def seeds(successes: Any, trials: Any, x1: Any, x2: Any) -> None:
    """n_i ~ Binomial(N_i, logit^-1(alpha0 + alpha1 x1_i + alpha2 x2_i + alpha12 x1_i x2_i + c_i - mean(c))).

    c_i ~ N(0, sigma): the prior is on c, and what enters sums to zero.
    """
    alpha0, alpha1, alpha2, alpha12 = (
        numpyro.sample(name, dist.Normal(0.0, 1.0)) for name in ("alpha0", "alpha1", "alpha2", "alpha12")
    )
    sigma = numpyro.sample("sigma", dist.HalfCauchy(1.0))
    c = numpyro.sample("c", dist.Normal(0.0, sigma).expand([len(trials)]).to_event(1))
    logits = alpha0 + alpha1 * x1 + alpha2 * x2 + alpha12 * x1 * x2 + c - jnp.mean(c)
    numpyro.sample("n", dist.Binomial(total_count=trials, logits=logits), obs=successes)


def seeds_arguments(data: Mapping[str, Any]) -> dict[str, Any]:
    covariates = {name: np.asarray(data[name], np.float64) for name in ("x1", "x2")}
    return {"successes": np.asarray(data["n"]), "trials": np.asarray(data["N"]), **covariates}
