"""Gaussian processes with the covariance alpha^2 exp(-(x_i - x_j)^2 / (2 rho^2)), seen with noise or through counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from benchmarks.posteriordb.models.glm import poisson_of_log_rate

JITTER = 1e-10  # part of the database's model; it asks for float64
LOST = -1000.0  # nats, where rounding leaves no Cholesky factor


def covariance(x: Any, rho: Any, alpha: Any, diagonal: Any) -> Any:
    """alpha^2 exp(-(x_i - x_j)^2 / (2 rho^2)) + diagonal 1[i = j]."""
    return alpha**2 * jnp.exp(-((x[:, None] - x) ** 2) / (2 * rho**2)) + diagonal * jnp.eye(len(x))


def cholesky(matrix: Any) -> Any:
    """The lower factor; far from the posterior, where there is none, the identity's, at a price: no NaN."""
    exists = jnp.isfinite(jnp.linalg.cholesky(matrix)).all()
    numpyro.factor("positive_definite", jnp.where(exists, 0.0, LOST))
    return jnp.linalg.cholesky(jnp.where(exists, matrix, jnp.eye(len(matrix))))


def gp_regr(x: Any, y: Any) -> None:
    """y ~ N(0, C) with noise of VARIANCE sigma."""
    rho = numpyro.sample("rho", dist.Gamma(25.0, 4.0))
    alpha = numpyro.sample("alpha", dist.HalfNormal(2.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    factor = cholesky(covariance(x, rho, alpha, sigma))
    numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(len(x)), scale_tril=factor), obs=y)


def gp_pois_regr(x: Any, k: Any) -> None:
    """k_i ~ Poisson(exp(f_i)), f = L f_tilde with L L' = C."""
    rho = numpyro.sample("rho", dist.Gamma(25.0, 4.0))
    alpha = numpyro.sample("alpha", dist.HalfNormal(2.0))
    f_tilde = numpyro.sample("f_tilde", dist.Normal(0.0, 1.0).expand([len(x)]).to_event(1))
    f = numpyro.deterministic("f", cholesky(covariance(x, rho, alpha, JITTER)) @ f_tilde)
    numpyro.sample("k", poisson_of_log_rate(f), obs=k)


def gp_regr_arguments(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(data[name], np.float64) for name in ("x", "y")}


def gp_pois_regr_arguments(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"x": np.asarray(data["x"], np.float64), "k": np.asarray(data["k"])}
