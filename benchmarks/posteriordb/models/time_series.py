"""Time series: an autoregression, and a variance that follows its own past."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from benchmarks.posteriordb.models._flat import flat_on


def autoregression(lags: Any, response: Any) -> None:
    """y_t ~ N(alpha + sum_k beta_k y_{t-k}, sigma); row t of ``lags`` (times, K) has y_{t-1} first."""
    alpha = numpyro.sample("alpha", dist.Normal(0.0, 10.0))
    beta = numpyro.sample("beta", dist.Normal(0.0, 10.0).expand([lags.shape[1]]).to_event(1))
    sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
    numpyro.sample("response", dist.Normal(alpha + lags @ beta, sigma), obs=response)


def autoregression_arguments(data: Mapping[str, Any]) -> dict[str, Any]:
    """The first K values only condition."""
    y, order = np.asarray(data["y"], np.float64), data["K"]
    lags = np.column_stack([y[order - k : len(y) - k] for k in range(1, order + 1)])
    return {"lags": lags, "response": y[order:]}


def garch(y: Any, first_sd: Any) -> None:
    """v_t = alpha0 + alpha1 (y_{t-1} - mu)^2 + beta1 v_{t-1}, v_1 = first_sd^2;  y_t ~ N(mu, sqrt(v_t))."""
    mu = numpyro.sample("mu", flat_on(constraints.real))
    alpha0 = numpyro.sample("alpha0", flat_on(constraints.positive))
    alpha1 = numpyro.sample("alpha1", dist.Uniform(0.0, 1.0))
    beta1 = numpyro.sample("beta1", dist.Uniform(0.0, 1.0 - alpha1))
    numpyro.factor("flat_on_triangle", jnp.log1p(-alpha1))  # beta1's density is 1 / (1 - alpha1)

    def step(variance: Any, shock: Any) -> tuple[Any, Any]:
        variance = shock + beta1 * variance
        return variance, variance

    first = jnp.asarray(first_sd) ** 2
    _, later = jax.lax.scan(step, first, alpha0 + alpha1 * (y[:-1] - mu) ** 2, unroll=8)
    variances = jnp.concatenate([first[None], later])
    numpyro.sample("y", dist.Normal(mu, jnp.sqrt(variances)), obs=y)


def garch_arguments(data: Mapping[str, Any]) -> dict[str, Any]:
    """The sd of the first observation is known."""
    return {"y": np.asarray(data["y"], np.float64), "first_sd": np.asarray(data["sigma1"], np.float64)}
