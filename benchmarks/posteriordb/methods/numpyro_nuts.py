"""NumPyro's NUTS: what the cost of exactness is."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.infer import MCMC, NUTS

from benchmarks.posteriordb.contender import Contender, Fitted, sampled_only
from benchmarks.posteriordb.problems import Problem
from vi_toolkit.targets import Target

NUM_CHAINS, NUM_WARMUP, NUM_DRAWS = 4, 1_000, 1_000


@cache
def _sampler(model: Any, sizes: tuple[tuple[str, int], ...]) -> MCMC:
    """One sampler a model, with its data as arguments; whole numbers, which shapes may depend on, are built in."""
    return MCMC(
        NUTS(partial(model, **dict(sizes))),
        num_warmup=NUM_WARMUP,
        num_samples=NUM_DRAWS,
        num_chains=NUM_CHAINS,
        chain_method="sequential",
        progress_bar=False,
        jit_model_args=True,
    )


def _fit(problem: Problem, seed: int) -> Fitted:
    sizes = {name: value for name, value in problem.arguments.items() if isinstance(value, int)}
    arrays = {name: value for name, value in problem.arguments.items() if name not in sizes}
    sampler = _sampler(problem.model, tuple(sizes.items()))
    fields = ("num_steps", "diverging")
    sampler.warmup(jax.random.key(seed), extra_fields=fields, collect_warmup=True, **arrays)
    spent = int(jnp.sum(sampler.get_extra_fields()["num_steps"]))
    sampler.run(jax.random.fold_in(jax.random.key(seed), 1), extra_fields=fields, **arrays)
    extra = sampler.get_extra_fields()
    spent += int(jnp.sum(extra["num_steps"]))
    sites = {site.name: sampler.get_samples()[site.name] for site in problem.target.sites}
    draws = _unconstrain(problem.target, jax.block_until_ready(sites))
    divergent = int(jnp.sum(extra["diverging"]))
    return sampled_only(draws, gradients=float(spent), ended=f"{divergent} divergent transitions")


@jax.jit
def _unconstrain(target: Target, sites: Any) -> Any:
    return jax.vmap(lambda draw: target.unconstrain(draw)[0])(sites)


CONTENDERS = {
    "numpyro/NUTS": Contender(
        f"{NUM_CHAINS} chains, one after the other, of {NUM_WARMUP:,} steps of warm-up and {NUM_DRAWS:,} draws, NUTS's "
        "own defaults. Its errors are those of its draws; gradients are leapfrog steps, warm-up included.",
        _fit,
    )
}
