"""The intensities of Poisson counts before and after a change whose place is unknown."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import gammaln
from numpyro.distributions import Distribution
from scipy.special import digamma, gammaln as log_gamma, polygamma

from vi_toolkit.exact.conjugate._gamma import log_gamma_draws
from vi_toolkit.exact.discrete._regimes import Regimes, find_regimes, next_count
from vi_toolkit.exact.discrete._states import draw_states
from vi_toolkit.exact.mixtures._maxima import find_maxima
from vi_toolkit.exact.posterior import ExactPosterior, nearest_mode
from vi_toolkit.targets import from_numpyro

NEGLIGIBLE = 1e-8


def change_point_model(counts: Any, *, shape: Any, rate: Any) -> None:
    """early, late ~ Gamma(shape, rate);  y_t ~ Poisson(early) for t < tau, else Poisson(late);  tau is summed out."""
    early = numpyro.sample("early", dist.Gamma(shape, rate))
    late = numpyro.sample("late", dist.Gamma(shape, rate))
    n, total = len(counts), jnp.cumsum(counts)
    tau, s = jnp.arange(1, n), total[:-1]
    of_early, of_late = s * jnp.log(early) - tau * early, (total[-1] - s) * jnp.log(late) - (n - tau) * late
    log_likelihoods = of_early + of_late - jnp.sum(gammaln(counts + 1.0))  # (n - 1,), given tau
    numpyro.factor("counts", jax.nn.logsumexp(log_likelihoods) - jnp.log(n - 1))


def change_point(counts: Any, *, shape: float, rate: float) -> ExactPosterior:
    r"""The posterior of the intensities of Poisson counts before and after a change, its place tau summed out.

    y_t ~ Poisson(early) for t < tau and Poisson(late) for t >= tau, t = 0..n-1; early and late ~ Gamma(shape, rate),
    tau uniform on 1..n-1. With S_tau the sum of the first tau counts, given tau the intensities are independent,

        early ~ Gamma(shape + S_tau, rate + tau),   late ~ Gamma(shape + S_n - S_tau, rate + n - tau),

    so that the posterior is their mixture with the weights P(tau | y), which `change_point_location` has. On R^2 the
    point is z = (log early, log late), whose moments are those of a mixture of log gammas: digamma and trigamma.

    ``modes`` are the local maxima reached by climbing from the modes given tau, for every tau whose weight is at least
    1e-8 of the largest. A draw z is shared out by the probabilities P(tau | z, y), each of which goes to the maximum
    that lies nearest to the mode given tau; so ``mode_weights`` are sums of P(tau | y).

    Args:
        counts: the counts y_t in order of time, of shape (n,), n at least 2.
        shape: shape of the prior of both intensities, above 0.
        rate: rate of this prior, above 0: the prior mean is shape / rate.

    Returns:
        The posterior of z = (log "early", log "late"), of dim 2; log evidence in nats. ``predictive()`` is the
        distribution of the count after the last.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if there are fewer than 2 counts, one is negative or not whole, or ``shape`` or ``rate`` is not
            positive.

    Example:
        >>> from vi_toolkit import datasets, exact
        >>> posterior = exact.change_point(datasets.COAL_MINING_DISASTERS, shape=1.0, rate=1.0)
        >>> {site: round(float(mean), 2) for site, (mean, sd) in posterior.constrained_moments.items()}
        {'early': 3.06, 'late': 0.92}

    Source: Carlin, Gelfand and Smith (1992), Hierarchical Bayesian analysis of changepoint problems,
    doi:10.2307/2347570.
    """
    y, shape, rate, regimes = find_regimes(counts, shape, rate)
    a, r, log_evidence, weights, _ = regimes
    mean, covariance = _mixed(weights, digamma(a) - np.log(r), polygamma(1, a))
    natural_mean, natural_covariance = _mixed(weights, a / r, a / r**2)
    natural_sd = np.sqrt(np.diag(natural_covariance))
    heavy = weights >= NEGLIGIBLE * weights.max()
    centres = np.log(a / r)
    modes = find_maxima(partial(_derivatives, regimes), centres[heavy], np.sqrt(np.diag(covariance)))
    mode_of = nearest_mode(modes, centres)
    args, kwargs = (y,), {"shape": np.asarray(shape), "rate": np.asarray(rate)}
    return ExactPosterior(
        name="change point of Poisson counts",
        target=replace(from_numpyro(change_point_model, *args, **kwargs), log_evidence=log_evidence),
        how=f"sum over {len(y) - 1} places of the change",
        sampler=partial(_draw, regimes),
        log_evidence=log_evidence,
        mean=mean,
        covariance=covariance,
        modes=modes,
        mode_weights=weights @ mode_of,
        shares=partial(_shares, regimes, mode_of),
        constrained_moments={site: (natural_mean[k], natural_sd[k]) for k, site in enumerate(("early", "late"))},
        marginals={site: _marginal(regimes, k) for k, site in enumerate(("early", "late"))},
        predictive=partial(next_count, regimes),
        model=change_point_model,
        args=args,
        kwargs=kwargs,
    )


def _mixed(weights: np.ndarray, means: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a mixture whose components have independent coordinates."""
    mean = weights @ means
    centred = means - mean
    return mean, np.diag(weights @ variances) + (weights[:, None] * centred).T @ centred


def _marginal(regimes: Regimes, k: int) -> Distribution:
    components = dist.Gamma(jnp.asarray(regimes.a[:, k]), jnp.asarray(regimes.r[:, k]))
    return dist.MixtureSameFamily(dist.Categorical(probs=jnp.asarray(regimes.weights)), components)


def _log_terms(regimes: Regimes, z: np.ndarray) -> np.ndarray:
    """log of P(tau | y) times the density of z (..., 2) given tau: (..., n - 1)."""
    a, r, _, _, log_weights = regimes
    of_regimes = a * (np.log(r) + z[..., None, :]) - r * np.exp(z[..., None, :]) - log_gamma(a)
    return log_weights + of_regimes.sum(axis=-1)


def _responsibilities(log_terms: np.ndarray) -> np.ndarray:
    """P(tau | z, y) along the last axis."""
    return np.exp(log_terms - np.logaddexp.reduce(log_terms, axis=-1, keepdims=True))


def _derivatives(regimes: Regimes, z: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """log p(z), its gradient and Hessian."""
    log_terms = _log_terms(regimes, z)
    probs = _responsibilities(log_terms)
    decay = regimes.r * np.exp(z)
    gradient, covariance = _mixed(probs, regimes.a - decay, -decay)
    return float(np.logaddexp.reduce(log_terms)), gradient, covariance


def _shares(regimes: Regimes, mode_of: np.ndarray, z: np.ndarray) -> np.ndarray:
    return _responsibilities(_log_terms(regimes, z)) @ mode_of


def _draw(regimes: Regimes, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    place = draw_states(generator, regimes.weights, (num_draws,))
    draws = np.empty((num_draws, 2))
    for t in np.unique(place):
        chosen = np.flatnonzero(place == t)
        for k in range(2):
            log_g = log_gamma_draws(generator, float(regimes.a[t, k]), len(chosen))
            draws[chosen, k] = log_g - np.log(regimes.r[t, k])
    return draws
