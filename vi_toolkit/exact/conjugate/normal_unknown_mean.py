"""The mean of normal observations whose standard deviation is known."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from vi_toolkit._checks import check_positive
from vi_toolkit.exact._inputs import as_array, check_number
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import from_numpyro


def normal_unknown_mean_model(y: Any = None, *, sd: Any, prior_mean: Any, prior_sd: Any) -> None:
    """mean ~ Normal(prior_mean, prior_sd);  y_i ~ Normal(mean, sd)."""
    mean = numpyro.sample("mean", dist.Normal(prior_mean, prior_sd))
    numpyro.sample("y", dist.Normal(mean, sd), obs=y)


def normal_unknown_mean(y: Any, *, sd: float, prior_mean: float, prior_sd: float) -> ExactPosterior:
    r"""The posterior of mu ~ N(m, s^2) given y_i ~ N(mu, sigma^2), i = 1..n, with sigma known.

    With the average y_bar of the observations and the share K = s^2 / (s^2 + sigma^2 / n) that is given to it,
    mu given y is N(m + K (y_bar - m), K sigma^2 / n), and a further observation is normal with that mean and with
    variance K sigma^2 / n + sigma^2. The evidence:

        log Z = -(n/2) log(2 pi sigma^2) - (1/2) log(1 + n s^2 / sigma^2)
                - (1/2) (sum_i (y_i - y_bar)^2 / sigma^2 + (y_bar - m)^2 / (s^2 + sigma^2 / n))

    Args:
        y: the observations, of shape (n,).
        sd: sigma, the standard deviation of an observation, in units of y; above 0.
        prior_mean: m, in units of y.
        prior_sd: s, the prior standard deviation of mu, in units of y; above 0.

    Returns:
        The posterior of the site "mean", of dim 1; log evidence in nats. ``predictive()`` is the distribution of a
        further observation.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if y is empty or has another number of axes, NaN or infinite entries, ``prior_mean`` is not finite,
            or an sd is not positive.

    Example:
        >>> from vi_toolkit import exact
        >>> posterior = exact.normal_unknown_mean([1.0, 3.0], sd=1.0, prior_mean=0.0, prior_sd=1.0)
        >>> posterior.mean.round(4), posterior.sd.round(4), round(posterior.log_evidence, 4)  # 4/3 and 3^(-1/2)
        (array([1.3333]), array([0.5774]), -4.7205)

    Source: Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013), Bayesian Data Analysis, 3rd edition, section 2.5,
    doi:10.1201/b16018.
    """
    y = as_array(y, "y", 1)
    sigma, m, s = check_positive(sd, "sd"), check_number(prior_mean, "prior_mean"), check_positive(prior_sd, "prior_sd")
    n, average = len(y), y.mean()
    share = s**2 / (s**2 + sigma**2 / n)
    mean, posterior_sd = m + share * (average - m), np.sqrt(share / n) * sigma
    normaliser = -0.5 * n * np.log(2.0 * np.pi * sigma**2) - 0.5 * np.log1p(n * s**2 / sigma**2)
    squares = np.sum((y - average) ** 2) / sigma**2 + (average - m) ** 2 / (s**2 + sigma**2 / n)
    log_evidence = float(normaliser - 0.5 * squares)
    args, kwargs = (y,), {"sd": np.asarray(sigma), "prior_mean": np.asarray(m), "prior_sd": np.asarray(s)}
    return ExactPosterior(
        name="normal with unknown mean",
        target=replace(from_numpyro(normal_unknown_mean_model, *args, **kwargs), log_evidence=log_evidence),
        how="closed form",
        sampler=partial(_draw, mean, posterior_sd),
        log_evidence=log_evidence,
        mean=np.array([mean]),
        covariance=np.array([[posterior_sd**2]]),
        modes=np.array([[mean]]),
        mode_weights=np.ones(1),
        constrained_moments={"mean": (mean, posterior_sd)},
        marginals={"mean": dist.Normal(jnp.asarray(mean), jnp.asarray(posterior_sd))},
        predictive=partial(dist.Normal, mean, np.hypot(posterior_sd, sigma)),
        model=normal_unknown_mean_model,
        args=args,
        kwargs=kwargs,
    )


def _draw(mean: float, sd: float, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    return mean + sd * generator.standard_normal((num_draws, 1))
