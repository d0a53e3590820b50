"""An intensity with a gamma prior, and exponential durations."""

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
from vi_toolkit.exact.conjugate._arguments import as_positive
from vi_toolkit.exact.conjugate._gamma import log_gamma_draws
from vi_toolkit.exact.conjugate._lomax import Lomax
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import from_numpyro


def gamma_exponential_model(durations: Any = None, *, shape: Any, rate: Any) -> None:
    """intensity ~ Gamma(shape, rate);  durations_i ~ Exponential(intensity)."""
    intensity = numpyro.sample("intensity", dist.Gamma(shape, rate))
    numpyro.sample("durations", dist.Exponential(intensity), obs=durations)


def gamma_exponential(durations: Any, *, shape: float, rate: float) -> ExactPosterior:
    r"""The posterior of an intensity lambda ~ Gamma(shape, rate) given durations t_i ~ Exponential(lambda), i = 1..n.

    With a = shape + n and r = rate + sum_i t_i, lambda given the durations is Gamma(a, r), and on R the coordinate is
    z = log lambda, with E[z] = digamma(a) - log r and Var[z] = trigamma(a). The evidence:

        log Z = shape log rate - log G(shape) + log G(a) - a log r        (G is the gamma function)

    A further duration t has the density a r^a / (r + t)^(a + 1), the Lomax distribution.

    Args:
        durations: the durations t_i above 0, of shape (n,).
        shape: shape of the prior, above 0.
        rate: rate of the prior, above 0, in units of t; the prior mean of lambda is shape / rate.

    Returns:
        The posterior of z = log "intensity", of dim 1; log evidence in nats. ``predictive()`` is the distribution of a
        further duration.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if a duration is not positive and finite, or ``shape`` or ``rate`` is not positive.

    Example:
        >>> from vi_toolkit import exact
        >>> posterior = exact.gamma_exponential([2.0, 5.0, 1.0], shape=1.0, rate=2.0)
        >>> mean, sd = posterior.constrained_moments["intensity"]
        >>> round(float(mean), 4), round(float(sd), 4)  # Gamma(4, 10)
        (0.4, 0.2)
        >>> round(float(posterior.predictive().mean), 4)  # 10 / (4 - 1)
        3.3333

    Source: Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013), Bayesian Data Analysis, 3rd edition, section 2.6,
    doi:10.1201/b16018.
    """
    t = as_positive(durations, "durations")
    shape, rate = check_positive(shape, "shape"), check_positive(rate, "rate")
    a, r = shape + len(t), rate + t.sum()
    log_evidence = float(shape * np.log(rate) - gammaln(shape) + gammaln(a) - a * np.log(r))
    args, kwargs = (t,), {"shape": np.asarray(shape), "rate": np.asarray(rate)}
    return ExactPosterior(
        name="gamma-exponential",
        target=replace(from_numpyro(gamma_exponential_model, *args, **kwargs), log_evidence=log_evidence),
        how="closed form",
        sampler=partial(_draw_log_intensity, a, r),
        log_evidence=log_evidence,
        mean=np.array([digamma(a) - np.log(r)]),
        covariance=np.array([[polygamma(1, a)]]),
        modes=np.array([[np.log(a / r)]]),
        mode_weights=np.ones(1),
        constrained_moments={"intensity": (a / r, np.sqrt(a) / r)},
        marginals={"intensity": dist.Gamma(jnp.asarray(a), jnp.asarray(r))},
        predictive=partial(Lomax, a, r),
        model=gamma_exponential_model,
        args=args,
        kwargs=kwargs,
    )


def _draw_log_intensity(a: float, r: float, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    return (log_gamma_draws(generator, a, num_draws) - np.log(r))[:, None]
