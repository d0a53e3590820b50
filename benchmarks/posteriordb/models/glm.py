"""Generalised linear models: wells that were switched (logistic), and counts over years (Poisson)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from benchmarks.posteriordb.models._flat import flat

MAX_LOG_RATE = 80.0  # beyond it, exp() would overflow in float32, and log(inf) - inf is no number


def poisson_of_log_rate(log_rate: Any) -> dist.Poisson:
    """Poisson(exp(log_rate)); a rate beyond e^80 or below e^-80 counts as that."""
    return dist.Poisson(jnp.exp(jnp.clip(log_rate, -MAX_LOG_RATE, MAX_LOG_RATE)))


def wells(distance: Any, switched: Any) -> None:
    """switched_i ~ Bernoulli(logit^-1(beta_1 + beta_2 distance_i)), beta flat."""
    beta = numpyro.sample("beta", flat(2))
    numpyro.sample("switched", dist.Bernoulli(logits=beta[0] + beta[1] * distance), obs=switched)


def poisson_counts(year: Any, counts: Any) -> None:
    """C_i ~ Poisson(exp(alpha + beta1 year_i + beta2 year_i^2 + beta3 year_i^3)), all flat between bounds."""
    alpha = numpyro.sample("alpha", dist.Uniform(-20.0, 20.0))
    beta1, beta2, beta3 = (numpyro.sample(name, dist.Uniform(-10.0, 10.0)) for name in ("beta1", "beta2", "beta3"))
    log_rate = alpha + beta1 * year + beta2 * year**2 + beta3 * year**3
    numpyro.sample("counts", poisson_of_log_rate(log_rate), obs=counts)


def wells_arguments(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"distance": np.asarray(data["dist"], np.float64), "switched": np.asarray(data["switched"])}


def poisson_counts_arguments(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"year": np.asarray(data["year"], np.float64), "counts": np.asarray(data["C"])}
