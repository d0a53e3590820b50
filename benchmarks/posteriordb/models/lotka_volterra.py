"""Hare and lynx: a predator-prey equation, observed with multiplicative noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

STEPS_PER_YEAR = 50
LOST = -1000.0  # nats, for an orbit that these steps cannot follow


def lotka_volterra(y_init: Any, y: Any) -> None:
    """log y_tk ~ N(log z_k(t), sigma_k) for t = 0, 1, ..., with z the solution of `derivative`.

    ``y_init`` (2,) are the counts at time 0 and ``y`` (years, 2) those at the years 1, 2, ...: prey, then predator.
    """
    mean, sd = jnp.array([1.0, 0.05, 1.0, 0.05]), jnp.array([0.5, 0.05, 0.5, 0.05])
    theta = numpyro.sample("theta", dist.TruncatedNormal(mean, sd, low=0.0).to_event(1))
    sigma = numpyro.sample("sigma", dist.LogNormal(-1.0, 1.0).expand([2]).to_event(1))
    z_init = numpyro.sample("z_init", dist.LogNormal(jnp.log(10.0), 1.0).expand([2]).to_event(1))
    orbit, followed = solve(theta, jnp.log(z_init), len(y))
    numpyro.factor("followed", jnp.where(followed, 0.0, LOST))
    numpyro.sample("y_init", dist.LogNormal(jnp.log(z_init), sigma).to_event(1), obs=y_init)
    numpyro.sample("y", dist.LogNormal(orbit, sigma).to_event(1), obs=y)


def derivative(theta: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """x = log u, y = log v:   dx/dt = theta_1 - theta_2 exp(y),   dy/dt = -theta_3 + theta_4 exp(x)."""
    return theta[0] - theta[1] * jnp.exp(y), theta[3] * jnp.exp(x) - theta[2]


def solve(theta: Any, log_z: Any, num_years: int) -> tuple[Any, Any]:
    """log z after 1, 2, ... years (num_years, 2) by Runge and Kutta's fourth order, and whether it could be followed.

    An orbit that would move by more than a factor e in one step stands still from there, so that nothing overflows,
    neither the density nor its gradient, however far from the posterior.
    """
    h = 1.0 / STEPS_PER_YEAR

    def step(state: Any, _: None) -> tuple[Any, None]:
        x, y, followed = state
        speed = theta[0] + theta[1] * jnp.exp(y) + theta[2] + theta[3] * jnp.exp(x)
        followed = followed & (h * speed < 1.0)
        rates = [jnp.where(followed, rate, 0.0) for rate in theta]
        k1, l1 = derivative(rates, x, y)
        k2, l2 = derivative(rates, x + h / 2 * k1, y + h / 2 * l1)
        k3, l3 = derivative(rates, x + h / 2 * k2, y + h / 2 * l2)
        k4, l4 = derivative(rates, x + h * k3, y + h * l3)
        return (x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), y + h / 6 * (l1 + 2 * l2 + 2 * l3 + l4), followed), None

    def year(state: Any, _: None) -> tuple[Any, Any]:
        state, _ = jax.lax.scan(step, state, None, length=STEPS_PER_YEAR)
        return state, jnp.stack(state[:2])

    (_, _, followed), orbit = jax.lax.scan(year, (log_z[0], log_z[1], jnp.asarray(True)), None, length=num_years)
    return orbit, followed


def lotka_volterra_arguments(data: Mapping[str, Any]) -> dict[str, Any]:
    """The years are 1, 2, ..., N."""
    if not np.array_equal(data["ts"], np.arange(1, len(data["ts"]) + 1)):
        raise ValueError("data: expected the times 1, 2, ..., N, got others.")
    return {name: np.asarray(data[name], np.float64) for name in ("y_init", "y")}
