"""A probability with a beta prior, and binomial counts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from scipy.special import betaln, digamma, gammaln, polygamma

from vi_toolkit._checks import check_positive, check_positive_int
from vi_toolkit.exact._inputs import as_counts, as_trials
from vi_toolkit.exact.conjugate._gamma import log_gamma_draws
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import from_numpyro


def beta_binomial_model(trials: Any, successes: Any = None, *, a: Any, b: Any) -> None:
    """probability ~ Beta(a, b);  successes_i ~ Binomial(trials_i, probability)."""
    probability = numpyro.sample("probability", dist.Beta(a, b))
    numpyro.sample("successes", dist.Binomial(trials, probs=probability), obs=successes)


def beta_binomial(successes: Any, trials: Any, *, a: float, b: float) -> ExactPosterior:
    r"""The posterior of a probability theta ~ Beta(a, b) given counts k_i ~ Binomial(n_i, theta).

    With k = sum_i k_i and n = sum_i n_i, theta given the counts is Beta(a + k, b + n - k), and on R the coordinate is
    z = logit theta, with E[z] = digamma(a + k) - digamma(b + n - k) and Var[z] the sum of the trigammas. The evidence:

        log Z = sum_i log C(n_i, k_i) + log B(a + k, b + n - k) - log B(a, b)        (B is the beta function)

    Args:
        successes: the counts k_i: one whole number, or an array of shape (groups,).
        trials: the numbers of trials n_i, of the same shape; or one number for all groups.
        a: first shape of the prior, above 0: prior successes.
        b: second shape of the prior, above 0: prior failures.

    Returns:
        The posterior of z = logit "probability", of dim 1; log evidence in nats. ``predictive(trials=1)`` is the
        distribution of the successes among further trials.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if a count is negative, not whole, or above its number of trials, or ``a`` or ``b`` is not positive.

    Example:
        >>> from vi_toolkit import exact
        >>> posterior = exact.beta_binomial([3, 5], [10, 10], a=2.0, b=2.0)
        >>> mean, sd = posterior.constrained_moments["probability"]
        >>> round(float(mean), 4), round(float(sd), 4)  # Beta(10, 14)
        (0.4167, 0.0986)

    Source: Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013), Bayesian Data Analysis, 3rd edition, section 2.4,
    doi:10.1201/b16018.
    """
    k = as_counts(successes, "successes")
    n = as_trials(trials, k, "successes", "Are successes and trials exchanged?")
    a, b = check_positive(a, "a"), check_positive(b, "b")
    alpha, beta = a + k.sum(), b + (n - k).sum()
    combinations = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    log_evidence = float(combinations.sum() + betaln(alpha, beta) - betaln(a, b))
    args, kwargs = (n,), {"successes": k, "a": np.asarray(a), "b": np.asarray(b)}
    mean, total = alpha / (alpha + beta), alpha + beta
    return ExactPosterior(
        name="beta-binomial",
        target=replace(from_numpyro(beta_binomial_model, *args, **kwargs), log_evidence=log_evidence),
        how="closed form",
        sampler=partial(_draw_logit, alpha, beta),
        log_evidence=log_evidence,
        mean=np.array([digamma(alpha) - digamma(beta)]),
        covariance=np.array([[polygamma(1, alpha) + polygamma(1, beta)]]),
        modes=np.array([[np.log(alpha) - np.log(beta)]]),
        mode_weights=np.ones(1),
        constrained_moments={"probability": (mean, np.sqrt(mean * (1 - mean) / (total + 1)))},
        marginals={"probability": dist.Beta(jnp.asarray(alpha), jnp.asarray(beta))},
        predictive=partial(_predict, alpha, beta),
        model=beta_binomial_model,
        args=args,
        kwargs=kwargs,
    )


def _draw_logit(alpha: float, beta: float, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    """logit theta = log g - log h for g ~ Gamma(alpha, 1), h ~ Gamma(beta, 1)."""
    log_g = log_gamma_draws(generator, alpha, num_draws)
    return (log_g - log_gamma_draws(generator, beta, num_draws))[:, None]


def _predict(alpha: float, beta: float, trials: int = 1) -> dist.BetaBinomial:
    return dist.BetaBinomial(jnp.asarray(alpha), jnp.asarray(beta), check_positive_int(trials, "trials"))
