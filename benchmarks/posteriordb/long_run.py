"""References of the synthetic posteriors: a long run of NUTS from the generating values, kept in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.handlers import block
from numpyro.infer import MCMC, NUTS

from benchmarks.posteriordb.models._flat import flat
from benchmarks.posteriordb.synthetic import Synthetic
from vi_toolkit.diagnostics.weights.bridge import bridge
from vi_toolkit.targets import Target
from vi_toolkit.targets.target import log_densities

NUM_CHAINS, NUM_WARMUP, NUM_DRAWS, NUM_KEPT = 4, 1_000, 5_000, 2_000
MAX_RHAT, MIN_ESS = 1.01, 2_000.0


class LongRun(NamedTuple):
    """What is known by a long run."""

    draws: np.ndarray  # (NUM_KEPT, dim): every tenth, from all chains
    mean: np.ndarray  # of all draws, (dim,)
    covariance: np.ndarray  # of all draws, (dim, dim)
    log_evidence: float  # by bridge sampling, in nats
    log_evidence_se: float


def long_run(problem: Synthetic, folder: Path) -> LongRun:
    """The kept run, or a new one, which takes minutes and is kept only if it passes the checks."""
    file = folder / f"{problem.name}.npz"
    if not file.is_file():
        chains = run_nuts(problem.target, problem.point)
        check_chains(problem.name, chains)
        draws = chains.reshape(-1, problem.target.dim)
        evidence, error = log_evidence(problem.target, chains)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            file,
            draws=draws[:: len(draws) // NUM_KEPT].astype(np.float32),
            mean=draws.mean(axis=0),
            covariance=np.cov(draws.T),
            log_evidence=evidence,
            log_evidence_se=error,
        )
    with np.load(file) as kept:
        return LongRun(
            kept["draws"].astype(np.float64),
            kept["mean"],
            kept["covariance"],
            float(kept["log_evidence"]),
            float(kept["log_evidence_se"]),
        )


def run_nuts(target: Target, point: np.ndarray) -> np.ndarray:
    """(chains, draws, dim), every chain started at the point."""

    def model(target: Target) -> None:
        z = numpyro.sample("z", flat(target.dim))
        with block():
            value = target.log_density(z)
        numpyro.factor("log_density", value)

    sampler = MCMC(
        NUTS(model, target_accept_prob=0.9),
        num_warmup=NUM_WARMUP,
        num_samples=NUM_DRAWS,
        num_chains=NUM_CHAINS,
        chain_method="vectorized",
        progress_bar=False,
        jit_model_args=True,
    )
    starts = jnp.tile(jnp.asarray(point), (NUM_CHAINS, 1))
    sampler.run(jax.random.key(0), target, init_params={"z": starts}, extra_fields=("diverging",))
    divergent = int(jnp.sum(sampler.get_extra_fields()["diverging"]))
    if divergent > 0.001 * NUM_CHAINS * NUM_DRAWS:
        raise RuntimeError(f"long run: {divergent} of {NUM_CHAINS * NUM_DRAWS} transitions diverged.")
    return np.asarray(sampler.get_samples(group_by_chain=True)["z"], np.float64)


def check_chains(name: str, chains: np.ndarray) -> None:
    """Raises RuntimeError where chains disagree or there are too few effective draws."""
    import arviz  # it takes long to import, and only this needs it

    rhat, ess = float(np.max(arviz.rhat(chains))), float(np.min(arviz.ess(chains)))
    if not (rhat < MAX_RHAT and ess > MIN_ESS):
        raise RuntimeError(f"long run of {name}: R-hat is {rhat:.3f}, the smallest effective sample size {ess:.0f}.")


def log_evidence(target: Target, chains: np.ndarray) -> tuple[float, float]:
    """log Z and its standard error, by the bridge to the Gaussian of one half of the draws, from the other half."""
    half = chains.shape[1] // 2
    first = chains[:, :half].reshape(-1, target.dim)
    second = chains[:, half:].reshape(-1, target.dim)
    gaussian: Any = dist.MultivariateNormal(jnp.asarray(first.mean(axis=0)), jnp.asarray(np.cov(first.T)))
    proposed = gaussian.sample(jax.random.key(1), (len(second),))
    at_p, at_q = (_log_weights(target, gaussian, points) for points in (second, proposed))
    estimate = bridge(at_p, at_q, correlated=True)
    return float(estimate.value), float(estimate.se)


def _log_weights(target: Target, gaussian: Any, points: Any) -> np.ndarray:
    parts = np.array_split(np.asarray(points), 10)
    return np.concatenate([np.asarray(log_densities(target, jnp.asarray(x)) - gaussian.log_prob(x)) for x in parts])
