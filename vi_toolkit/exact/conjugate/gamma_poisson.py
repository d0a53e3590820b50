"""An intensity with a gamma prior, and Poisson counts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from scipy.special import digamma, gammaln, polygamma

from vi_toolkit._checks import check_positive
from vi_toolkit.exact._inputs import as_counts
from vi_toolkit.exact.conjugate._gamma import log_gamma_draws
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import from_numpyro


def gamma_poisson_model(counts: Any = None, *, shape: Any, rate: Any) -> None:
    """intensity ~ Gamma(shape, rate);  counts_i ~ Poisson(intensity)."""
    intensity = numpyro.sample("intensity", dist.Gamma(shape, rate))
    numpyro.sample("counts", dist.Poisson(intensity), obs=counts)


def gamma_poisson(counts: Any, *, shape: float, rate: float) -> ExactPosterior:
    r"""The posterior of an intensity lambda ~ Gamma(shape, rate) given counts y_i ~ Poisson(lambda), i = 1..n.

    With a = shape + sum_i y_i and r = rate + n, lambda given the counts is Gamma(a, r), and on R the coordinate is
    z = log lambda, with E[z] = digamma(a) - log r and Var[z] = trigamma(a). The evidence:

        log Z = shape log rate - log G(shape) + log G(a) - a log r - sum_i log y_i!        (G is the gamma function)

    Args:
        counts: the counts y_i: one whole number, or an array of shape (n,).
        shape: shape of the prior, above 0.
        rate: rate of the prior, above 0, in units of one over lambda; the prior mean is shape / rate.

    Returns:
        The posterior of z = log "intensity", of dim 1; log evidence in nats. ``predictive()`` is the distribution of a
        further count, a negative binomial.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if a count is negative or not whole, or ``shape`` or ``rate`` is not positive.

    Example:
        >>> from vi_toolkit import exact
        >>> posterior = exact.gamma_poisson([2, 4, 3], shape=1.0, rate=1.0)
        >>> mean, sd = posterior.constrained_moments["intensity"]
        >>> round(float(mean), 4), round(float(sd), 4)  # Gamma(10, 4)
        (2.5, 0.7906)

    Source: Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013), Bayesian Data Analysis, 3rd edition, section 2.6,
    doi:10.1201/b16018.
    """
    y = as_counts(counts, "counts")
    shape, rate = check_positive(shape, "shape"), check_positive(rate, "rate")
    a, r = shape + y.sum(), rate + len(y)
    prior_constant = shape * np.log(rate) - gammaln(shape)
    log_evidence = float(prior_constant + gammaln(a) - a * np.log(r) - gammaln(y + 1).sum())
    args, kwargs = (y,), {"shape": np.asarray(shape), "rate": np.asarray(rate)}
    return ExactPosterior(
        name="gamma-Poisson",
        target=replace(from_numpyro(gamma_poisson_model, *args, **kwargs), log_evidence=log_evidence),
        how="closed form",
        sampler=partial(_draw_log_intensity, a, r),
        log_evidence=log_evidence,
        mean=np.array([digamma(a) - np.log(r)]),
        covariance=np.array([[polygamma(1, a)]]),
        modes=np.array([[np.log(a / r)]]),
        mode_weights=np.ones(1),
        constrained_moments={"intensity": (a / r, np.sqrt(a) / r)},
        marginals={"intensity": dist.Gamma(jnp.asarray(a), jnp.asarray(r))},
        predictive=partial(dist.NegativeBinomialLogits, a, -np.log(r)),
        model=gamma_poisson_model,
        args=args,
        kwargs=kwargs,
    )


def _draw_log_intensity(a: float, r: float, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    return (log_gamma_draws(generator, a, num_draws) - np.log(r))[:, None]
