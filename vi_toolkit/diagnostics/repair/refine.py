"""The last resort: draws of p by a few steps of a sampler that begins at q, with what they cost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import check_continuous, check_instance, check_key, check_positive_int
from vi_toolkit._types import Key
from vi_toolkit.diagnostics.repair import _smc
from vi_toolkit.diagnostics.repair._nuts import run_chains
from vi_toolkit.diagnostics.scores._scores import draw_and_score
from vi_toolkit.diagnostics.shape._curvatures import curvatures
from vi_toolkit.diagnostics.shape.shape import curved
from vi_toolkit.diagnostics.weights.evidence import Estimate
from vi_toolkit.diagnostics.weights.psis import smooth
from vi_toolkit.fit import Fit
from vi_toolkit.sources._whitening import root_of_points
from vi_toolkit.targets.coordinates import coordinate_names
from vi_toolkit.targets.target import constrain_draws

LOOKED_AT = 2000  # draws of q, from which chains begin and take their covariance
AGREE = 1.05  # R-hat, up to which chains are said to agree
FEW_LINEAGES = 50.0  # below which particles are said to come from too few


@dataclass(frozen=True, eq=False)
class Refined:
    """Draws of p that began at q, and what they cost.

    Attributes:
        draws: on the unconstrained space, of shape (draws, dim); equally weighted, chain after chain for NUTS.
        sites: {site: (draws, ...)} in the model's own space, deterministic sites included.
        mean: of the unconstrained coordinates, of shape (dim,).
        sd: of shape (dim,).
        mean_se: the Monte-Carlo error of ``mean``, correlation of the draws included, of shape (dim,).
        sd_se: that of ``sd``.
        rhat: of every coordinate, of shape (dim,), by NUTS; None by SMC.
        ess: effective draws for each mean, of shape (dim,).
        log_evidence: log Z in nats with its error, by SMC; None by NUTS.
        num_gradients: log-density gradients spent; a bare density counts a third.
        seconds: wall time on this machine, compiling included.
        sentence: what came of it, in words.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> fit = vi.fit(jax.random.key(0), vi.zoo.banana().target)
        >>> vi.refine_by_smc(jax.random.key(1), fit, num_particles=200).draws.shape
        (200, 2)
    """

    draws: np.ndarray
    sites: dict[str, np.ndarray] = field(repr=False)
    mean: np.ndarray
    sd: np.ndarray
    mean_se: np.ndarray
    sd_se: np.ndarray
    rhat: np.ndarray | None
    ess: np.ndarray
    log_evidence: Estimate | None
    num_gradients: float
    seconds: float
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def refine_by_nuts(key: Key, fit: Fit, *, num_draws: int = 1000, num_chains: int = 4, num_warmup: int = 200) -> Refined:
    """A few steps of the no-U-turn sampler, begun at draws of q that were picked by their weights.

    The chains run side by side with q's covariance as their first inverse mass matrix, so that a short warm-up is
    enough. They begin at different draws of q; what q does not reach, they reach only by walking there. Where
    they agree (R-hat) and are many, this is the posterior, up to the errors that are given; NumPyro's NUTS does it. It
    does not enter the neck of a funnel, and says so where the curvature shows one.

    Args:
        key: a JAX random key.
        fit: from `vi.fit`, on R^dim.
        num_draws: to keep, of all chains together, rounded up to a multiple of them.
        num_chains: at least 2, so that R-hat has something to compare.
        num_warmup: steps that are not kept.

    Returns:
        `Refined`, without a log evidence.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if there are fewer than 2 chains or 4 draws a chain, or p is zero at nearly all draws of q.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> fit = vi.fit(jax.random.key(0), vi.zoo.banana().target)
        >>> refined = vi.refine_by_nuts(jax.random.key(1), fit)
        >>> bool(abs(refined.sd[0] - 2.0) < 5 * refined.sd_se[0])  # q's own is 0.94
        True

    Source: Hoffman & Gelman (2014), The No-U-Turn sampler, arXiv:1111.4246; Zhang, Carpenter, Gelman & Vehtari (2022),
    Pathfinder: parallel quasi-Newton variational inference, arXiv:2108.03782 (chains begun at an approximation).
    """
    num_draws, num_warmup = check_positive_int(num_draws, "num_draws"), check_positive_int(num_warmup, "num_warmup")
    num_chains = check_positive_int(num_chains, "num_chains")
    if num_chains < 2 or num_draws < 4 * num_chains:
        raise ValueError(f"num_chains: expected at least 2, with 4 draws each, got {num_chains} for {num_draws} draws.")
    _check(key, fit)
    began = time.perf_counter()
    key_q, key_pick, key_run = jax.random.split(key, 3)
    starts, covariance = _starts(key_q, key_pick, fit, num_chains)
    each = -(-num_draws // num_chains)
    chains = run_chains(key_run, fit.target, starts, covariance, num_warmup, each)
    draws = np.asarray(chains.draws, np.float64)
    statistics = _of_chains(draws)
    spent = float(np.sum(chains.steps)) + LOOKED_AT / 3
    divergent = int(np.sum(chains.divergences))
    words = _words_of_chains(fit, statistics["rhat"], statistics["ess"], divergent, num_chains * each)
    return _refined(key, fit, draws.reshape(-1, draws.shape[-1]), statistics, _Told(began, spent, words))


def refine_by_smc(key: Key, fit: Fit, *, num_particles: int = 1000) -> Refined:
    """Particles that go from about q to p by way of tempered densities; they give the evidence, too.

        pi_beta proportional to r^(1 - beta) p~^beta,   beta from 0 to 1 as far at a time as 80 % of the particles count

    r is a Student-t with 4 degrees of freedom, the mean of q and three times its standard deviations, so that the
    particles begin on the far side of q's edges as well. At each stage they are weighed by (p~/r)^(change of beta),
    resampled, and moved five times by HMC in coordinates of their own covariance. log Z is the sum of the logs of the
    mean weights. Its error, and those of the means, come from how many of the first particles have descendants, and
    how those differ: nothing is known of what no descendant reached, such as the neck of a funnel, which is told of
    where the curvature shows one.

    Args:
        key: a JAX random key.
        fit: from `vi.fit`, on R^dim.
        num_particles: how many, at least 50.

    Returns:
        `Refined`, without R-hat.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if there are fewer than 50 particles.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> fit = vi.fit(jax.random.key(0), vi.zoo.banana().target)
        >>> found = vi.refine_by_smc(jax.random.key(1), fit).log_evidence
        >>> abs(found.value) < 5 * found.se < 0.5  # log Z is 0
        True

    Source: Del Moral, Doucet & Jasra (2006), Sequential Monte Carlo samplers, doi:10.1111/j.1467-9868.2006.00553.x; Lee
    & Whiteley (2018), Variance estimation in the particle filter, arXiv:1509.00394 (the errors).
    """
    num_particles = check_positive_int(num_particles, "num_particles")
    if num_particles < 50:
        raise ValueError(f"num_particles: expected at least 50, to know errors by their lineages, got {num_particles}.")
    _check(key, fit)
    began = time.perf_counter()
    walk = _smc.run_particles(key, fit.method, fit.target, fit.params, num_particles)
    draws, lineages = np.asarray(walk.points, np.float64), np.asarray(walk.lineages)
    stages = int(walk.stages)
    shares = np.bincount(lineages, minlength=num_particles) / num_particles
    # systematic resampling adds next to no noise of its own, so that a stage costs what its weights do
    relative = max((shares**2).sum() - 1 / num_particles, 0.0) * num_particles / (num_particles - 1)
    centred = draws - draws.mean(axis=0)
    variance = (centred**2).mean(axis=0)
    squares = centred**2 - variance
    mean_se = _by_lineage(centred, lineages)
    sd_se = 0.5 * _by_lineage(squares, lineages) / np.sqrt(variance)
    statistics: dict[str, Any] = {"mean_se": mean_se, "sd_se": sd_se, "ess": variance / mean_se**2, "rhat": None}
    evidence = Estimate(float(walk.log_evidence), float(np.sqrt(relative)))
    words = _words_of_particles(float(walk.beta), stages, 1 / (shares**2).sum(), num_particles, evidence)
    spent = _smc.num_gradients(num_particles, stages)
    return _refined(key, fit, draws, statistics | {"log_evidence": evidence}, _Told(began, spent, words))


def _check(key: Any, fit: Any) -> None:
    check_key(key)
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    check_continuous(fit.target, "a sampler")


def _starts(key: Key, key_pick: Key, fit: Fit, num_chains: int) -> tuple[Any, Any]:
    """Different draws of q, picked by their weights, and q's covariance."""
    scores = draw_and_score(key, fit, LOOKED_AT)
    log_weights = smooth(scores.log_weights, rounding=scores.rounding).log_weights
    usable = int(np.isfinite(scores.log_weights).sum())
    if usable < num_chains:
        raise ValueError(
            f"fit: p is finite and not zero at {usable} of {LOOKED_AT} draws of q: there is nowhere for {num_chains} "
            "chains to begin. See vi.diagnose."
        )
    ranked = np.where(np.isfinite(scores.log_weights), np.maximum(log_weights, -1e4), -np.inf)
    noise = np.asarray(jax.random.gumbel(key_pick, ranked.shape))
    picked = np.argsort(-(ranked + noise))[:num_chains]
    points = jnp.asarray(scores.draws, jnp.result_type(float))
    root = root_of_points(points)
    return points[picked], root @ root.T


def _by_lineage(values: np.ndarray, lineages: np.ndarray) -> np.ndarray:
    """The standard errors of the means of values (particles, dim) that sum to zero; a lineage counts as one.

    They are not below those of independent particles, as they would be where nearly all come from one.
    """
    sums = np.zeros((int(lineages.max()) + 1, values.shape[1]))
    np.add.at(sums, lineages, values)
    return np.asarray(np.sqrt(np.maximum((sums**2).sum(axis=0), (values**2).sum(axis=0))) / len(values))


def _of_chains(draws: np.ndarray) -> dict[str, Any]:
    """What ArviZ says of chains (chains, draws, dim)."""
    from arviz_stats.base.array import array_stats  # it takes a second to import

    by_coordinate = draws.transpose(2, 0, 1)
    found = {
        "rhat": array_stats.rhat(by_coordinate),  # type: ignore[no-untyped-call]
        "ess": array_stats.ess(by_coordinate, method="mean"),  # type: ignore[no-untyped-call]
        "mean_se": array_stats.mcse(by_coordinate, method="mean"),  # type: ignore[no-untyped-call]
        "sd_se": array_stats.mcse(by_coordinate, method="sd"),  # type: ignore[no-untyped-call]
    }
    return {name: np.atleast_1d(value) for name, value in found.items()} | {"log_evidence": None}


class _Told(NamedTuple):
    began: float  # when
    spent: float  # gradients
    words: str


def _refined(key: Key, fit: Fit, draws: np.ndarray, statistics: dict[str, Any], told: _Told) -> Refined:
    """The record, with a look at whether the draws lie in a funnel."""
    sites = constrain_draws(fit.target, jnp.asarray(draws, jnp.result_type(float)))
    look = curvatures(jax.random.fold_in(key, 1), fit.target, draws, np.zeros(len(draws)))
    funnels = [found for found in curved(fit.target, look) if found.kind == "funnel"]
    words = [told.words, *(f"{found.words} Samplers miss its neck. {found.advice}" for found in funnels[:1])]
    spent, seconds = told.spent + look.num_gradients, time.perf_counter() - told.began
    return Refined(
        draws=draws,
        sites={name: np.asarray(values) for name, values in sites.items()},
        mean=draws.mean(axis=0),
        sd=draws.std(axis=0),
        num_gradients=spent,
        seconds=seconds,
        sentence=" ".join([*words, f"It took {spent:,.0f} gradients and {seconds:.1f} s."]),
        **statistics,
    )


def _words_of_chains(fit: Fit, rhat: np.ndarray, ess: np.ndarray, divergent: int, num_draws: int) -> str:
    names = coordinate_names(fit.target)
    worst = int(np.argmax(np.where(np.isnan(rhat), np.inf, rhat)))
    agree = rhat[worst] <= AGREE
    told = "The chains agree" if agree else "The chains do not agree, and are not to be trusted"
    words = (
        f"{told}: R-hat is at most {rhat[worst]:.3f} ({names[worst]}), with {ess.min():.0f} effective draws or more."
    )
    if divergent:
        words += f" {divergent} of {num_draws} trajectories diverged: there are places that the chains cannot enter."
    return words


def _words_of_particles(beta: float, stages: int, lineages: float, count: int, evidence: Estimate) -> str:
    if beta < 1:
        return f"The particles came to p^{beta:.2g} only in {stages} stages: these are no draws of p."
    few = " Too few to trust: raise num_particles." if lineages < FEW_LINEAGES else ""
    return (
        f"{count} particles came from about q to p in {stages} stages, and descend from {lineages:.0f} of them in "
        f"effect; log evidence {evidence.value:.2f} ± {evidence.se:.2g} nats.{few}"
    )
