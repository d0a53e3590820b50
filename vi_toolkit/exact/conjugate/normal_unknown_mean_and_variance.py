"""Mean and variance of normal observations, under the normal-inverse-gamma prior."""

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
from vi_toolkit.exact.conjugate._normal_inverse_gamma import (
    NormalInverseGamma,
    constrained_moments,
    log_ratio,
    on_the_line,
)
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import from_numpyro


def normal_unknown_mean_and_variance_model(
    y: Any = None, *, prior_mean: Any, prior_count: Any, shape: Any, rate: Any
) -> None:
    """variance ~ InverseGamma(shape, rate);  mean ~ N(prior_mean, variance / prior_count);  y_i ~ N(mean, variance)."""
    variance = numpyro.sample("variance", dist.InverseGamma(shape, rate))
    mean = numpyro.sample("mean", dist.Normal(prior_mean, jnp.sqrt(variance / prior_count)))
    numpyro.sample("y", dist.Normal(mean, jnp.sqrt(variance)), obs=y)


def normal_unknown_mean_and_variance(
    y: Any, *, prior_mean: float, prior_count: float, shape: float, rate: float
) -> ExactPosterior:
    r"""The posterior of mu and v in y_i ~ N(mu, v), mu ~ N(m0, v / k0), v ~ InverseGamma(shape, rate), i = 1..n.

    With the average y_bar of the observations, k = k0 + n, m = (k0 m0 + n y_bar) / k, a = shape + n/2 and
    b = rate + (sum_i (y_i - y_bar)^2 + (k0 n / k) (y_bar - m0)^2) / 2: v given y is InverseGamma(a, b), mu given v and
    y is N(m, v / k), and so mu given y is a Student-t of 2a degrees of freedom, location m and squared scale b / (a k);
    a further observation has the squared scale (b / a) (1 + 1 / k). On R^2 the point is z = (log v, mu), with
    E[log v] = log b - digamma(a), Var[log v] = trigamma(a), Var[mu] = b / ((a - 1) k) for a > 1, and no covariance. The
    evidence, where G is the gamma function:

        log Z = -(n/2) log(2 pi) + (1/2) log(k0 / k) + shape log rate - log G(shape) + log G(a) - a log b

    Args:
        y: the observations, of shape (n,).
        prior_mean: m0, in units of y.
        prior_count: k0, above 0: how many observations the prior of mu is worth.
        shape: shape of the prior of v, above 0.
        rate: rate of the prior of v (also called its scale), above 0, in units of y squared.

    Returns:
        The posterior of z = (log "variance", "mean"), of dim 2; log evidence in nats. Moments that do not exist are
        left out: the covariance for a <= 1, the sd of "variance" for a <= 2. ``predictive()`` is the distribution of a
        further observation.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if y is empty or has another number of axes, NaN or infinite entries, ``prior_mean`` is not finite,
            or a hyperparameter is not positive.

    Example:
        >>> from vi_toolkit import exact
        >>> posterior = exact.normal_unknown_mean_and_variance(
        ...     [1.0, 3.0, 2.0], prior_mean=0.0, prior_count=1.0, shape=2.0, rate=1.0)
        >>> [site.name for site in posterior.target.sites], posterior.mean.round(4)
        (['variance', 'mean'], array([0.1496, 1.5   ]))
        >>> mean, sd = posterior.constrained_moments["mean"]
        >>> round(float(mean), 4), round(float(sd), 4)  # (b / ((a - 1) k))^(1/2) for a = b = 3.5, k = 4
        (1.5, 0.5916)

    Source: Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013), Bayesian Data Analysis, 3rd edition, section 3.3,
    doi:10.1201/b16018; Murphy (2007), Conjugate Bayesian analysis of the Gaussian distribution, section 6.
    """
    y, m0 = as_array(y, "y", 1), check_number(prior_mean, "prior_mean")
    k0, shape = check_positive(prior_count, "prior_count"), check_positive(shape, "shape")
    rate = check_positive(rate, "rate")
    n, average = len(y), y.mean()
    k = k0 + n
    squares = np.sum((y - average) ** 2) + k0 * n / k * (average - m0) ** 2
    a, b = shape + 0.5 * n, float(rate + 0.5 * squares)
    of_data = -0.5 * n * np.log(2.0 * np.pi) + 0.5 * np.log(k0 / k)
    log_evidence = float(of_data) + log_ratio(shape, rate, a, b)
    m = (k0 * m0 + n * average) / k
    joint = NormalInverseGamma(mean=np.array([m]), root=np.array([[k**-0.5]]), a=a, b=b)
    hyperparameters = {"prior_mean": m0, "prior_count": k0, "shape": shape, "rate": rate}
    args, kwargs = (y,), {name: np.asarray(value) for name, value in hyperparameters.items()}
    moments = constrained_moments(joint, "mean")
    return ExactPosterior(
        name="normal with unknown mean and variance",
        target=replace(
            from_numpyro(normal_unknown_mean_and_variance_model, *args, **kwargs), log_evidence=log_evidence
        ),
        how="closed form",
        log_evidence=log_evidence,
        constrained_moments={site: (np.squeeze(mean)[()], np.squeeze(sd)[()]) for site, (mean, sd) in moments.items()},
        marginals={
            "variance": dist.InverseGamma(jnp.asarray(a), jnp.asarray(b)),
            "mean": dist.StudentT(2.0 * a, m, np.sqrt(b / (a * k))),
        },
        predictive=partial(dist.StudentT, 2.0 * a, m, np.sqrt(b / a * (1.0 + 1.0 / k))),
        model=normal_unknown_mean_and_variance_model,
        args=args,
        kwargs=kwargs,
        **on_the_line(joint),
    )
