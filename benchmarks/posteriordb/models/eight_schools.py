"""Eight schools, centred and not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpyro
import numpyro.distributions as dist


def centred(y: Any, sigma: Any) -> None:
    """theta_j ~ N(mu, tau), y_j ~ N(theta_j, sigma_j)."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("schools", len(y)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta, sigma), obs=y)


def noncentred(y: Any, sigma: Any) -> None:
    """theta_j = mu + tau theta_trans_j, theta_trans_j ~ N(0, 1), y_j ~ N(theta_j, sigma_j)."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("schools", len(y)):
        theta_trans = numpyro.sample("theta_trans", dist.Normal(0.0, 1.0))
        theta = numpyro.deterministic("theta", mu + tau * theta_trans)
        numpyro.sample("y", dist.Normal(theta, sigma), obs=y)


def noncentred_sites(draw: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The draws hold theta."""
    mu, tau = draw["mu"], draw["tau"]
    return {"mu": mu, "tau": tau, "theta_trans": (draw["theta"] - mu) / tau}


def arguments(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(data[name], np.float64) for name in ("y", "sigma")}
