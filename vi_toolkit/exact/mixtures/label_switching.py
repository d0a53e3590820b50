"""The means of a normal mixture whose components are exchangeable: one posterior, K! times over."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import combinations_with_replacement, permutations
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from scipy.sparse import csr_array

from vi_toolkit._checks import check_positive, check_positive_int
from vi_toolkit.exact._inputs import as_array
from vi_toolkit.exact.mixtures._allocations import (
    Allocations,
    allocation_probabilities,
    enumerate_allocations,
    heaviest,
    nearest_modes,
)
from vi_toolkit.exact.mixtures._maxima import find_maxima
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import from_numpyro

MAX_ALLOCATIONS = 2**17
MAX_COMPONENTS = 4
EM_STEPS = 200
SHARES_AT_ONCE = 2**22


def label_switching_model(y: Any = None, *, num_components: int, sd: Any, prior_sd: Any) -> None:
    """means_k ~ Normal(0, prior_sd);  y_i ~ (1/K) sum_k Normal(means_k, sd), K = num_components."""
    means = numpyro.sample("means", dist.Normal(0.0, prior_sd).expand([num_components]).to_event(1))
    equal = dist.Categorical(probs=jnp.full(num_components, 1.0 / num_components))
    numpyro.sample("y", dist.MixtureSameFamily(equal, dist.Normal(means, sd)), obs=y)


def label_switching(y: Any, *, num_components: int, sd: float, prior_sd: float) -> ExactPosterior:
    r"""The posterior of the K means of y_i ~ (1/K) sum_k N(mu_k, sd^2) under mu_k ~ N(0, prior_sd^2).

    It is a mixture of K^n Gaussians, one for each allocation c of the n observations to components: with l_k the number
    of observations that c gives to component k, s_k their sum, and p_ck = 1 / prior_sd^2 + l_k / sd^2,

        mu_k | c, y ~ N(m_ck, 1 / p_ck),   m_ck = s_k / (sd^2 p_ck)
        P(c | y) proportional to prod_k exp(p_ck m_ck^2 / 2) / sqrt(p_ck)

    and log Z is the logarithm of the sum over c. Draws, ``marginals`` and ``predictive`` leave out the allocations of
    least weight, which together have less than 2^-53 of it. Exchanging components changes nothing, so that every
    maximum comes with all its permutations, of equal weight.

    ``modes`` are the local maxima reached by climbing from every choice of K values among 0 and the observations, and
    their permutations, each maximum's in a row, the highest first. A draw is shared out by the probabilities
    P(c | mu, y), each of which goes to the mode nearest to m_c; so ``mode_weights`` are sums of P(c | y).

    Args:
        y: the observations, of shape (n,). K^n is at most 2^17: n at most 17 for K = 2, 10 for 3, 8 for 4.
        num_components: K, from 2 to 4: with more there can be thousands of modes.
        sd: the sd of every component, above 0.
        prior_sd: the prior sd of every mean, above 0.

    Returns:
        The posterior of z = "means", of dim K; log evidence in nats. ``predictive()`` is the distribution of a further
        observation.

    Raises:
        TypeError: if an argument is not numeric, or ``num_components`` is not a whole number.
        ValueError: if y is empty or has another number of axes, NaN or infinite entries, ``sd`` or ``prior_sd`` is not
            positive, or there are too many components or allocations.

    Example:
        >>> from vi_toolkit import exact
        >>> posterior = exact.label_switching([-2.1, -1.8, 1.9, 2.3, 2.0], num_components=2, sd=0.5, prior_sd=3.0)
        >>> posterior.modes.round(2), posterior.mode_weights.round(2)
        (array([[-1.92,  2.05],
               [ 2.05, -1.92]]), array([0.5, 0.5]))

    Source: Jasra, Holmes and Stephens (2005), Markov chain Monte Carlo methods and the label switching problem in
    Bayesian mixture modeling, doi:10.1214/088342305000000016.
    """
    y = as_array(y, "y", 1)
    K = _check_size(y, num_components)
    sd, prior_sd = check_positive(sd, "sd"), check_positive(prior_sd, "prior_sd")
    every = enumerate_allocations(y, K, sd, prior_sd)
    kept = heaviest(every)
    mean, covariance = _moments(every)
    modes = _modes(y, K, sd, prior_sd)
    mode_of = nearest_modes(every.m, modes, prior_sd)
    args, kwargs = (y,), {"num_components": K, "sd": np.asarray(sd), "prior_sd": np.asarray(prior_sd)}
    return ExactPosterior(
        name=f"means of {K} exchangeable components",
        target=replace(from_numpyro(label_switching_model, *args, **kwargs), log_evidence=every.log_evidence),
        how=f"sum over all {K ** len(y)} allocations",
        sampler=partial(_draw, kept),
        log_evidence=every.log_evidence,
        mean=mean,
        covariance=covariance,
        modes=modes,
        mode_weights=every.weights @ mode_of,
        shares=partial(_shares, y, sd, mode_of),
        constrained_moments={"means": (mean, np.sqrt(np.diag(covariance)))},
        marginals={"means": _mixture(kept, kept.m, kept.p**-0.5, event_dim=1)},
        predictive=partial(_predictive, kept, sd),
        model=label_switching_model,
        args=args,
        kwargs=kwargs,
    )


def _check_size(y: np.ndarray, num_components: Any) -> int:
    K, n = check_positive_int(num_components, "num_components"), len(y)
    if not 2 <= K <= MAX_COMPONENTS:
        raise ValueError(f"num_components: expected 2 to {MAX_COMPONENTS}, got {K}.")
    if K**n > MAX_ALLOCATIONS:
        raise ValueError(
            f"y: {n} observations can be allocated to {K} components in {K}^{n} ways, and at most 2^17 = "
            f"{MAX_ALLOCATIONS} are summed over. Take fewer observations, or for 2 components vi.exact.grid."
        )
    return K


def _moments(allocations: Allocations) -> tuple[np.ndarray, np.ndarray]:
    m, p, weights, _ = allocations
    mean = weights @ m
    return mean, np.diag(weights @ (1.0 / p)) + (weights[:, None] * (m - mean)).T @ (m - mean)


def _mixture(allocations: Allocations, means: Any, sds: Any, event_dim: int) -> dist.MixtureSameFamily:
    normals = dist.Normal(jnp.asarray(means), jnp.asarray(sds)).to_event(event_dim)
    return dist.MixtureSameFamily(dist.Categorical(probs=jnp.asarray(allocations.weights)), normals)


def _predictive(allocations: Allocations, sd: float) -> dist.MixtureSameFamily:
    """Every mean has the same distribution: that of the first, with the noise of an observation."""
    m, p = allocations.m[:, 0], allocations.p[:, 0]
    return _mixture(allocations, m, np.sqrt(sd**2 + 1.0 / p), event_dim=0)


def _responsibilities(y: np.ndarray, sd: float, mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P(c_i = k | mu, y), of shape (..., n, K), and the log likelihood of each y_i but for a constant, (..., n)."""
    log_terms = -0.5 * ((y[:, None] - mu[..., None, :]) / sd) ** 2
    log_sum = np.logaddexp.reduce(log_terms, axis=-1)
    return np.exp(log_terms - log_sum[..., None]), log_sum


def _derivatives(y: np.ndarray, sd: float, prior_sd: float, mu: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """log p(mu | y) but for a constant, its gradient and Hessian."""
    probs, log_sum = _responsibilities(y, sd, mu)
    slopes = (y[:, None] - mu) / sd**2  # of log N(y_i; mu_k, sd)
    pull = probs * slopes
    value = log_sum.sum() - 0.5 * np.sum((mu / prior_sd) ** 2)
    diagonal = np.sum(pull * slopes - probs / sd**2, axis=0) - prior_sd**-2
    return float(value), pull.sum(axis=0) - mu / prior_sd**2, np.diag(diagonal) - pull.T @ pull


def _modes(y: np.ndarray, K: int, sd: float, prior_sd: float) -> np.ndarray:
    """All permutations of the maxima whose means ascend: EM from many starts, then Newton."""
    values = np.unique(np.append(0.0, y))
    mu = np.array(list(combinations_with_replacement(values, K)))
    for _ in range(EM_STEPS):
        probs, _ = _responsibilities(y, sd, mu)
        mu = np.einsum("snk,n->sk", probs, y) / (probs.sum(axis=1) + (sd / prior_sd) ** 2)
    scale = np.full(K, min(sd, prior_sd))
    mu = np.sort(mu, axis=1)
    _, distinct = np.unique((mu / scale).round(3), axis=0, return_index=True)
    maxima = np.sort(find_maxima(partial(_derivatives, y, sd, prior_sd), mu[distinct], scale), axis=1)
    modes: list[np.ndarray] = []
    for maximum in maxima:
        for order in permutations(range(K)):
            mode = maximum[list(order)]
            if all(np.abs((mode - other) / scale).max() > 1e-4 for other in modes):
                modes.append(mode)
    return np.stack(modes)


def _shares(y: np.ndarray, sd: float, mode_of: csr_array, mu: np.ndarray) -> np.ndarray:
    parts = []
    for some in np.array_split(mu, 1 + len(mu) * mode_of.shape[0] // SHARES_AT_ONCE):
        probs = allocation_probabilities(_responsibilities(y, sd, some)[0])
        parts.append((mode_of.T @ probs.T).T)
    return np.concatenate(parts)


def _draw(allocations: Allocations, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    c = generator.choice(len(allocations.weights), size=num_draws, p=allocations.weights)
    return allocations.m[c] + generator.standard_normal((num_draws, allocations.m.shape[1])) / np.sqrt(allocations.p[c])
