"""Radon in houses of Minnesota's counties: intercepts by county, non-centred."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpyro
import numpyro.distributions as dist


def radon(county: Any, log_uppm: Any, floor: Any, log_radon: Any, num_counties: int) -> None:
    """log radon_i ~ N(alpha_{county i} + beta_1 uranium_i + beta_2 floor_i, sigma_y), alpha_j = mu + sigma alpha_raw_j.

    ``county`` (houses,) counts from 0.
    """
    alpha_raw = numpyro.sample("alpha_raw", dist.Normal(0.0, 1.0).expand([num_counties]).to_event(1))
    beta = numpyro.sample("beta", dist.Normal(0.0, 10.0).expand([2]).to_event(1))
    mu_alpha = numpyro.sample("mu_alpha", dist.Normal(0.0, 10.0))
    sigma_alpha = numpyro.sample("sigma_alpha", dist.HalfNormal(1.0))
    sigma_y = numpyro.sample("sigma_y", dist.HalfNormal(1.0))
    alpha = numpyro.deterministic("alpha", mu_alpha + sigma_alpha * alpha_raw)
    mean = alpha[county] + beta[0] * log_uppm + beta[1] * floor
    numpyro.sample("log_radon", dist.Normal(mean, sigma_y), obs=log_radon)


def radon_sites(draw: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The draws hold alpha."""
    return {**draw, "alpha_raw": (draw["alpha"] - draw["mu_alpha"]) / draw["sigma_alpha"]}


def radon_arguments(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "county": np.asarray(data["county_idx"]) - 1,
        "log_uppm": np.asarray(data["log_uppm"], np.float64),
        "floor": np.asarray(data["floor_measure"], np.float64),
        "log_radon": np.asarray(data["log_radon"], np.float64),
        "num_counties": int(data["J"]),
    }
