"""The variance of normal observations whose mean is known."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from scipy.special import digamma, polygamma

from vi_toolkit._checks import check_positive
from vi_toolkit.exact._inputs import as_array, check_number
from vi_toolkit.exact.conjugate._gamma import log_gamma_draws
from vi_toolkit.exact.conjugate._normal_inverse_gamma import log_ratio
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import from_numpyro


def normal_unknown_variance_model(y: Any = None, *, mean: Any, shape: Any, rate: Any) -> None:
    """variance ~ InverseGamma(shape, rate);  y_i ~ Normal(mean, sd)."""
    variance = numpyro.sample("variance", dist.InverseGamma(shape, rate))
    numpyro.sample("y", dist.Normal(mean, jnp.sqrt(variance)), obs=y)


def normal_unknown_variance(y: Any, *, mean: float, shape: float, rate: float) -> ExactPosterior:
    r"""The posterior of a variance v ~ InverseGamma(shape, rate) given y_i ~ N(mu, v), i = 1..n, with mu known.

    With a = shape + n/2 and b = rate + sum_i (y_i - mu)^2 / 2, v given y is InverseGamma(a, b), and on R the coordinate
    is z = log v, with E[z] = log b - digamma(a) and Var[z] = trigamma(a). A further observation is a Student-t of 2a
    degrees of freedom, location mu and scale (b / a)^(1/2). The evidence, where G is the gamma function:

        log Z = -(n/2) log(2 pi) + shape log rate - log G(shape) + log G(a) - a log b

    Args:
        y: the observations, of shape (n,).
        mean: mu, in units of y.
        shape: shape of the prior of v, above 0.
        rate: rate of the prior of v (also called its scale), above 0, in units of y squared.

    Returns:
        The posterior of z = log "variance", of dim 1; log evidence in nats. Moments of "variance" that do not exist are
        left out (its sd needs a > 2). ``predictive()`` is the distribution of a further observation.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if y is empty or has another number of axes, NaN or infinite entries, ``mean`` is not finite, or
            ``shape`` or ``rate`` is not positive.

    Example:
        >>> from vi_toolkit import exact
        >>> posterior = exact.normal_unknown_variance([1.0, -1.0, 2.0, 0.0], mean=0.0, shape=2.0, rate=1.0)
        >>> mean, sd = posterior.constrained_moments["variance"]
        >>> round(float(mean), 4), round(float(sd), 4)  # InverseGamma(4, 4)
        (1.3333, 0.9428)

    Source: Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013), Bayesian Data Analysis, 3rd edition, section 2.6,
    doi:10.1201/b16018.
    """
    y, mu = as_array(y, "y", 1), check_number(mean, "mean")
    shape, rate = check_positive(shape, "shape"), check_positive(rate, "rate")
    n = len(y)
    a, b = shape + 0.5 * n, float(rate + 0.5 * np.sum((y - mu) ** 2))
    log_evidence = -0.5 * n * float(np.log(2.0 * np.pi)) + log_ratio(shape, rate, a, b)
    args, kwargs = (y,), {"mean": np.asarray(mu), "shape": np.asarray(shape), "rate": np.asarray(rate)}
    moments = {"variance": (b / (a - 1.0), b / ((a - 1.0) * np.sqrt(a - 2.0)))} if a > 2.0 else {}
    return ExactPosterior(
        name="normal with unknown variance",
        target=replace(from_numpyro(normal_unknown_variance_model, *args, **kwargs), log_evidence=log_evidence),
        how="closed form",
        sampler=partial(_draw_log_variance, a, b),
        log_evidence=log_evidence,
        mean=np.array([np.log(b) - digamma(a)]),
        covariance=np.array([[polygamma(1, a)]]),
        modes=np.array([[np.log(b / a)]]),
        mode_weights=np.ones(1),
        constrained_moments=moments,
        marginals={"variance": dist.InverseGamma(jnp.asarray(a), jnp.asarray(b))},
        predictive=partial(dist.StudentT, 2.0 * a, mu, np.sqrt(b / a)),
        model=normal_unknown_variance_model,
        args=args,
        kwargs=kwargs,
    )


def _draw_log_variance(a: float, b: float, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    return np.log(b) - log_gamma_draws(generator, a, num_draws)[:, None]
