"""A posterior that is known by a long run of NUTS alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro.distributions import ImproperUniform, constraints
from numpyro.handlers import block
from numpyro.infer import MCMC, NUTS

from vi_toolkit._checks import check_continuous, check_instance, check_key, check_positive_int
from vi_toolkit._types import Key
from vi_toolkit.exact._cache import load_chains, path_of_run, save_chains
from vi_toolkit.exact._candidates import candidates
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import Target
from vi_toolkit.targets.target import constrain_draws, log_densities

MAX_RHAT = 1.01
MIN_ESS = 2000.0
ACCEPTANCE = 0.95  # the share of accepted steps that the warm-up aims at


def reference(
    key: Key,
    target: Target,
    *,
    num_warmup: int = 2000,
    num_draws: int = 5000,
    num_chains: int = 4,
    cache: str | Path | None = None,
) -> ExactPosterior:
    r"""Draws from a target by a long run of NUTS, and refuses them unless every check passes.

    The checks, for each coordinate of z: rank-normalised split R-hat below 1.01, bulk and tail effective sample size
    above 2000; and no divergent transition. The mean and covariance are those of the draws, and ``mcse`` and
    ``sd_mcse`` are the Monte-Carlo standard errors of mean and sd. There is no log evidence, and so no ``log_prob``;
    ``sample`` draws from these draws, with replacement. NUTS can agree with itself on one mode of several: these
    checks do not show that no mode was missed.

    With ``cache``, a run that passed is kept in a file whose name is a hash of the model's code, its data, the key, the
    settings, the precision, and the versions of Python, JAX and NumPyro; the same call then returns the same draws
    at once. A model that uses an object that cannot be hashed is run again each time, with a warning.

    Args:
        key: a JAX random key.
        target: the target, of any dim.
        num_warmup: steps of each chain that adapt the sampler, and are thrown away.
        num_draws: draws of each chain that are kept.
        num_chains: chains, from starts of their own, run together.
        cache: a folder for runs that passed, made when it does not exist; by default nothing is kept.

    Returns:
        The posterior, with ``draws`` of shape (num_chains * num_draws, dim), chain after chain.

    Raises:
        TypeError: if ``key`` or ``target`` is something else, or a number is not whole.
        ValueError: if a number is below 1 (below 2 for chains), the log density is not finite at enough starts, or
            ``cache`` is not a folder and cannot be made one.
        RuntimeError: if a check fails; the message names it, with its number.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from vi_toolkit import exact
        >>> from vi_toolkit.targets import from_log_density
        >>> target = from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2)
        >>> posterior = exact.reference(jax.random.key(0), target, num_warmup=300, num_draws=2000)
        >>> posterior.draws.shape, bool((abs(posterior.mean) < 5 * posterior.mcse).all())
        ((8000, 2), True)

    Source: Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021), Rank-normalization, folding, and localization: an
    improved R-hat, arXiv:1903.08008; Hoffman and Gelman (2014), The No-U-Turn Sampler, arXiv:1111.4246.
    """
    check_key(key)
    check_instance(target, Target, "target", "Make one with vi.from_log_density or vi.from_numpyro.")
    check_continuous(target, "vi.exact.reference")
    num_warmup = check_positive_int(num_warmup, "num_warmup")
    num_draws = check_positive_int(num_draws, "num_draws")
    num_chains = check_positive_int(num_chains, "num_chains")
    if num_chains < 2:
        raise ValueError("num_chains: expected at least 2, since chains are held against each other, got 1.")
    settings = {"warmup": num_warmup, "draws": num_draws, "chains": num_chains, "acceptance": ACCEPTANCE}
    path = None if cache is None else path_of_run(Path(cache), key, target, settings)
    chains = None if path is None else load_chains(path, (num_chains, num_draws, target.dim))
    if chains is None:
        key_starts, key_run = jax.random.split(key)
        starts = _starts(key_starts, target, num_chains)
        chains, divergences = _run(key_run, target, starts, num_warmup, num_draws)
        mcse, sd_mcse = _check_chains(chains, divergences)
        if path is not None:
            save_chains(path, chains)
    else:
        mcse, sd_mcse = _check_chains(chains, 0)  # only runs without divergences are kept
    draws = chains.reshape(-1, target.dim)
    return ExactPosterior(
        name="NUTS reference",
        target=target,
        how=f"long NUTS run, {num_chains} chains of {num_draws} draws",
        sampler=partial(_resample, draws),
        mean=draws.mean(axis=0),
        covariance=np.atleast_2d(np.cov(draws.T)),
        constrained_moments=_constrained_moments(target, draws),
        draws=draws,
        mcse=mcse,
        sd_mcse=sd_mcse,
    )


def _starts(key: Key, target: Target, num_chains: int) -> jax.Array:
    """One candidate of finite log density for each chain."""
    points = jnp.asarray(candidates(key, target, 64 * num_chains))
    finite = np.flatnonzero(np.isfinite(log_densities(target, points)))
    if len(finite) < num_chains:
        raise ValueError(
            f"target: the log density is finite at {len(finite)} of {len(points)} candidates; {num_chains} chains "
            f"need as many starts. At the first candidate, {target.explain(points[0])}."
        )
    return points[finite[:num_chains]]


def _model(target: Target) -> None:
    """The target as a model of one flat site, so that its data reach the sampler as arguments."""
    z = numpyro.sample("z", ImproperUniform(constraints.real_vector, (), (target.dim,)))
    with block():  # the sites of the target's own model are not to be seen
        value = target.log_density(z)
    numpyro.factor("log_density", value)


def _run(key: Key, target: Target, starts: jax.Array, num_warmup: int, num_draws: int) -> tuple[np.ndarray, int]:
    """(chains, draws, dim), and the number of divergent transitions."""
    kernel = NUTS(_model, target_accept_prob=ACCEPTANCE)
    sampler = MCMC(
        kernel,
        num_warmup=num_warmup,
        num_samples=num_draws,
        num_chains=len(starts),
        chain_method="vectorized",
        progress_bar=False,
        jit_model_args=True,
    )
    sampler.run(key, target, init_params={"z": starts}, extra_fields=("diverging",))
    chains = np.asarray(sampler.get_samples(group_by_chain=True)["z"], dtype=np.float64)
    return chains, int(jnp.sum(sampler.get_extra_fields()["diverging"]))


def _check_chains(chains: np.ndarray, divergences: int) -> tuple[np.ndarray, np.ndarray]:
    """The Monte-Carlo standard errors of means and sds; raises where a check fails."""
    import arviz  # it takes long to import, and only this needs it

    rhat = np.max(arviz.rhat(chains))
    bulk = np.min(arviz.ess(chains, method="bulk"))
    tail = np.min(arviz.ess(chains, method="tail", prob=(0.05, 0.95)))
    faults = []
    if not rhat < MAX_RHAT:
        faults.append(f"split R-hat is {rhat:.3f}, not below {MAX_RHAT}")
    if not bulk > MIN_ESS:
        faults.append(f"the bulk effective sample size is {bulk:.0f}, not above {MIN_ESS:.0f}")
    if not tail > MIN_ESS:
        faults.append(f"the tail effective sample size is {tail:.0f}, not above {MIN_ESS:.0f}")
    if divergences:
        faults.append(f"{divergences} transitions diverged")
    if faults:
        raise RuntimeError(
            f"reference: NUTS did not pass: {'; '.join(faults)}. Raise num_warmup or num_draws, or reparametrise the "
            "model (a non-centred one, where there are divergences)."
        )
    errors = [np.asarray(arviz.mcse(chains, method=method), dtype=np.float64) for method in ("mean", "sd")]
    return errors[0], errors[1]


def _constrained_moments(target: Target, draws: np.ndarray) -> dict[str, tuple[Any, Any]]:
    sites = constrain_draws(target, jnp.asarray(draws))
    values = {site.name: np.asarray(sites[site.name], np.float64) for site in target.sites}
    return {name: (value.mean(axis=0), value.std(axis=0, ddof=1)) for name, value in values.items()}


def _resample(draws: np.ndarray, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    return draws[generator.integers(len(draws), size=num_draws)]
