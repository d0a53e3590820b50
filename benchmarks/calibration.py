"""Simulation-based calibration of the eight schools: 500 data sets, a full-rank fit to each, on all cores."""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import vi_toolkit as vi
from vi_toolkit.datasets import EIGHT_SCHOOLS_SES

NUM_SIMULATIONS = 500


def run() -> list[dict[str, Any]]:
    """Seconds, compiling included, and what was found, of either way to write the model."""
    jax.config.update("jax_enable_x64", True)
    rows = []
    for name, model in (("non-centred", non_centred), ("centred", centred)):
        began = time.perf_counter()
        found = vi.sbc(
            jax.random.key(0), model, jnp.asarray(EIGHT_SCHOOLS_SES), observed=("y",), num_simulations=NUM_SIMULATIONS
        )
        rows.append(
            {
                "eight schools": name,
                "seconds": round(time.perf_counter() - began, 1),
                "flagged": ", ".join(str(name) for name in found.table.index[found.table["found"] != ""]),
            }
        )
    return rows


def non_centred(ses: Any, y: Any = None) -> None:
    """theta = mu + tau theta_raw."""
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfNormal(5.0))
    with numpyro.plate("schools", len(ses)):
        raw = numpyro.sample("theta_raw", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(mu + tau * raw, ses), obs=y)


def centred(ses: Any, y: Any = None) -> None:
    """theta given mu and tau, as it is."""
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfNormal(5.0))
    with numpyro.plate("schools", len(ses)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta, ses), obs=y)
