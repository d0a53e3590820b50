"""No contender but a yardstick: the best full-rank Gaussian, found from the reference draws by a long run."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from benchmarks.posteriordb.contender import Contender, Fitted, fitted_distribution
from benchmarks.posteriordb.problems import Problem
from vi_toolkit.targets import Target

NUM_STEPS, NUM_PAIRS = 600, 128
FIRST_RATE, DECAY, MAX_CHANGE = 0.3, 0.6, 0.5


@partial(jax.jit, static_argnames="num_steps")
def climb(target: Target, mean: Any, factor: Any, key: Any, num_steps: int = NUM_STEPS) -> tuple[Any, Any]:
    r"""Natural-gradient ascent of the ELBO of N(m, A A'), with gains that fall; the average of its second half.

    z = m + A e, e ~ N(0, I) in antithetic pairs
    r = A' grad log p~(z) + e                                     whitened scores: zero where q = p
    m <- m + rho A E[r],    A <- A expm(rho sym(E[e r']) / 2)     to second order in rho
    """

    def step(state: Any, inputs: Any) -> Any:
        mean, factor = state
        index, key = inputs
        rate = FIRST_RATE * (1.0 + index / 20.0) ** -DECAY
        half = jax.random.normal(key, (NUM_PAIRS, target.dim))
        noise = jnp.concatenate([half, -half])
        scores = jax.vmap(jax.grad(target.log_density))(mean + noise @ factor.T) @ factor + noise
        curvature = noise.T @ scores / len(noise)
        turn = _bounded(0.5 * rate * 0.5 * (curvature + curvature.T))
        mean = mean + factor @ _bounded(rate * scores.mean(axis=0))
        factor = factor + factor @ (turn + 0.5 * turn @ turn)
        return (mean, factor), (mean, factor @ factor.T, index >= num_steps / 2)

    def averaging(carry: Any, inputs: Any) -> Any:
        state, sums = carry
        state, (mean, covariance, counts) = step(state, inputs)
        return (state, (sums[0] + counts * mean, sums[1] + counts * covariance, sums[2] + counts)), None

    inputs = jnp.arange(num_steps, dtype=mean.dtype), jax.random.split(key, num_steps)
    nothing = jnp.zeros_like(mean), jnp.zeros_like(factor), jnp.zeros(())
    (_, (means, covariances, count)), _ = jax.lax.scan(averaging, ((mean, factor), nothing), inputs)
    return means / count, covariances / count


def _bounded(change: Any) -> Any:
    """Shrunk to a Frobenius norm of at most MAX_CHANGE."""
    return change * jnp.minimum(1.0, MAX_CHANGE / jnp.linalg.norm(change))


def _fit(problem: Problem, seed: int) -> Fitted:
    start = jnp.asarray(problem.mean), jnp.asarray(np.linalg.cholesky(problem.covariance))
    mean, covariance = climb(problem.target, *start, jax.random.key(seed))
    spent = 2.0 * NUM_PAIRS * NUM_STEPS
    return fitted_distribution(dist.MultivariateNormal(mean, covariance), gradients=spent)


CONTENDERS = {
    "yardstick/full-rank optimum": Contender(
        f"not a method: natural-gradient ascent from the mean and covariance of the reference draws, {NUM_STEPS} steps "
        f"of {2 * NUM_PAIRS} draws with falling gains, second half averaged. No full-rank Gaussian has a much smaller "
        "D(q‖p).",
        _fit,
    )
}
