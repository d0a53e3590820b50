"""The logistic regression that every benchmark fits, and the bare loop that is the yardstick."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax


def logistic_data(num_rows: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """A design matrix and responses, the same for every call."""
    generator = np.random.default_rng(0)
    design = generator.normal(size=(num_rows, dim)).astype(np.float32)
    slopes = generator.normal(size=dim).astype(np.float32) / np.sqrt(dim)
    return design, (generator.uniform(size=num_rows) < 1 / (1 + np.exp(-design @ slopes))).astype(np.float32)


def logistic_model(design: Any, response: Any = None) -> None:
    """Logistic regression with standard normal coefficients."""
    beta = numpyro.sample("beta", dist.Normal(0.0, 1.0).expand([design.shape[1]]).to_event(1))
    numpyro.sample("response", dist.Bernoulli(logits=design @ beta), obs=response)


def log_density(beta: Any, design: Any, response: Any) -> Any:
    """The same posterior by hand."""
    logits = design @ beta
    return jnp.sum(response * logits - jax.nn.softplus(logits)) - 0.5 * beta @ beta


def bare_loop(num_steps: int, num_draws: int) -> Callable[..., Any]:
    """A hand-written mean-field ELBO and Adam in one jitted scan: nothing that a fit could leave out."""
    optimizer = optax.adam(0.01, b2=0.99)

    def loss(params: Any, key: Any, design: Any, response: Any) -> Any:
        location, log_scale = params
        half = jax.random.normal(key, (-(-num_draws // 2), len(location)))
        noise = jnp.concatenate([half, -half])[:num_draws]
        draws = location + jnp.exp(log_scale) * noise
        return -jax.vmap(lambda z: log_density(z, design, response))(draws).mean() - log_scale.sum()

    @jax.jit
    def run(location: Any, key: Any, design: Any, response: Any) -> Any:
        params = (location, jnp.full_like(location, -2.0))

        def step(carry: Any, key: Any) -> Any:
            params, state = carry
            value, gradient = jax.value_and_grad(loss)(params, key, design, response)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, updates), state), value

        return jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(key, num_steps))

    return run
