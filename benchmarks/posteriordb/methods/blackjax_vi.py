"""blackjax's variational methods."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
from blackjax.vi import fullrank_vi, pathfinder

from benchmarks.posteriordb.contender import Contender, Fitted, fitted_distribution
from benchmarks.posteriordb.problems import Problem
from vi_toolkit.targets import Target

NUM_STEPS, NUM_SAMPLES, RATE = 10_000, 5, 1e-2
GRADIENT_SETTINGS = (
    f"optax.adam({RATE}), {NUM_STEPS:,} steps of {NUM_SAMPLES} draws (the default of its step), stick-the-landing, "
    "started at zero as its init does; its manual leaves rate and steps to the user."
)


@partial(jax.jit, static_argnames="algorithm")
def _descend(algorithm: Callable[..., Any], target: Target, key: Any) -> Any:
    """One compiled program for every data set of a shape: blackjax leaves that to the user."""
    method = algorithm(target.log_density)
    start = method.init(jnp.zeros(target.dim))
    keys = jax.random.split(key, NUM_STEPS)
    return jax.lax.scan(lambda state, key: (method.step(key, state)[0], None), start, keys)[0]


def _mean_field(log_density: Callable[[Any], Any]) -> Any:
    return blackjax.meanfield_vi(log_density, optax.adam(RATE), NUM_SAMPLES)


def _full_rank(log_density: Callable[[Any], Any]) -> Any:
    return blackjax.fullrank_vi(log_density, optax.adam(RATE), NUM_SAMPLES)


def _fit_mean_field(problem: Problem, seed: int) -> Fitted:
    state = _descend(_mean_field, problem.target, jax.random.key(seed))
    normal = dist.Normal(state.mu, jnp.exp(state.rho)).to_event(1)
    return fitted_distribution(normal, gradients=NUM_STEPS * NUM_SAMPLES)


def _fit_full_rank(problem: Problem, seed: int) -> Fitted:
    state = _descend(_full_rank, problem.target, jax.random.key(seed))
    factor = fullrank_vi._unflatten_cholesky(state.chol_params, problem.target.dim)
    normal = dist.MultivariateNormal(state.mu, scale_tril=factor)
    return fitted_distribution(normal, gradients=NUM_STEPS * NUM_SAMPLES)


@jax.jit
def _find_path(target: Target, key: Any) -> Any:
    return _path(target.log_density, target.dim, key)


def _path(log_density: Callable[[Any], Any], dim: int, key: Any) -> Any:
    key_start, key_run = jax.random.split(key)
    start = jax.random.uniform(key_start, (dim,), minval=-2.0, maxval=2.0)
    return pathfinder.approximate(key_run, log_density, start)[0]


def _fit_pathfinder(problem: Problem, seed: int) -> Fitted:
    state = _find_path(problem.target, jax.random.key(seed))
    return fitted_distribution(normal_of(state), gradients=None, ended=f"ELBO {float(state.elbo):.4g}")


def normal_of(state: Any) -> dist.MultivariateNormal:
    """N(x + H g, H), H = diag(alpha) + beta gamma beta': what its sampler draws from.

    The method is N(x + H grad log p~(x), H); blackjax 1.7.1 keeps g = -grad log p~(x), and so moves the other way.
    """
    covariance = jnp.diag(state.alpha) + state.beta @ state.gamma @ state.beta.T
    return dist.MultivariateNormal(state.position + covariance @ state.grad_position, covariance)


def _count_pathfinder(problem: Problem, seed: int) -> float:
    """The same run again, with a density that counts its calls."""
    counted, calls = counting(problem.target.log_density)
    key = jax.random.key(seed)
    jax.block_until_ready(jax.jit(lambda key: _path(counted, problem.target.dim, key))(key))
    return calls["gradients"] + calls["densities"] / 3


def counting(log_density: Callable[[Any], Any]) -> tuple[Callable[[Any], Any], dict[str, int]]:
    """A density that counts how often it alone is computed and how often its gradient, draw by draw."""
    calls = {"densities": 0, "gradients": 0}

    def note(kind: str, z: Any) -> Any:
        """A zero that JAX must ask for, with all points of a batch at once."""

        def add(points: Any) -> Any:
            calls[kind] += int(np.prod(points.shape[:-1]))
            return np.zeros(points.shape[:-1], points.dtype)

        return jax.pure_callback(add, jax.ShapeDtypeStruct((), z.dtype), z, vmap_method="broadcast_all")

    @jax.custom_vjp
    def counted(z: Any) -> Any:
        return log_density(z) + note("densities", z)

    def forward(z: Any) -> tuple[Any, Any]:
        value, gradient = jax.value_and_grad(log_density)(z)
        return value, gradient + note("gradients", z)

    counted.defvjp(forward, lambda gradient, cotangent: (cotangent * gradient,))
    return counted, calls


CONTENDERS = {
    "blackjax/meanfield_vi": Contender(GRADIENT_SETTINGS, _fit_mean_field),
    "blackjax/fullrank_vi": Contender(GRADIENT_SETTINGS, _fit_full_rank),
    "blackjax/pathfinder": Contender(
        "one path from a start uniform on (-2, 2), its defaults: 30 iterations, 200 draws for each ELBO. Gradients are "
        "counted in a run of their own, densities of the ELBOs as a third.",
        _fit_pathfinder,
        count=_count_pathfinder,
    ),
}
