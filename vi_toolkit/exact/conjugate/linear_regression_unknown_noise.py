"""Gaussian linear regression whose noise is unknown, under the normal-inverse-gamma prior."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from vi_toolkit._checks import check_positive
from vi_toolkit.exact._inputs import as_regression
from vi_toolkit.exact.conjugate._least_squares import least_squares
from vi_toolkit.exact.conjugate._normal_inverse_gamma import (
    NormalInverseGamma,
    constrained_moments,
    log_ratio,
    marginals,
    on_the_line,
    predict,
)
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import from_numpyro


def unknown_noise_model(X: Any, y: Any = None, *, prior_sd: Any, shape: Any, rate: Any) -> None:
    """variance ~ InverseGamma(shape, rate);  beta_j ~ Normal(0, sd prior_sd);  y_i ~ Normal(x_i . beta, sd)."""
    variance = numpyro.sample("variance", dist.InverseGamma(shape, rate))
    sd = jnp.sqrt(variance)
    beta = numpyro.sample("beta", dist.Normal(0.0, sd * prior_sd).expand([X.shape[1]]).to_event(1))
    numpyro.sample("y", dist.Normal(X @ beta, sd), obs=y)


def linear_regression_unknown_noise(X: Any, y: Any, *, prior_sd: float, shape: float, rate: float) -> ExactPosterior:
    r"""The posterior of beta and v in y ~ N(X beta, v I), beta ~ N(0, v s^2 I), v ~ InverseGamma(shape, rate).

    With A = X'X + I / s^2, m = A^-1 X'y, a = shape + n/2 and b = rate + (|y - X m|^2 + |m|^2 / s^2) / 2:
    v given y is InverseGamma(a, b), beta given v and y is N(m, v A^-1), and so beta given y is a multivariate Student-t
    of 2a degrees of freedom, location m and scale matrix (b / a) A^-1. On R^(1+d) the point is z = (log v, beta), with
    E[log v] = log b - digamma(a), Var[log v] = trigamma(a), Cov[beta] = b / (a - 1) A^-1 for a > 1. The evidence:

        log Z = -(n/2) log(2 pi) - d log s - (1/2) log|A| + shape log rate - a log b + log G(a) - log G(shape)

    where G is the gamma function. There is no intercept unless ``X`` has a column of ones.

    Args:
        X: the design, of shape (n, d).
        y: the response, of shape (n,).
        prior_sd: s, the prior sd of every coefficient in units of the noise sd; above 0.
        shape: shape of the prior of v, above 0.
        rate: rate of the prior of v (also called its scale), above 0, in units of y squared.

    Returns:
        The posterior of z = (log "variance", "beta"), of dim 1 + d; log evidence in nats. Moments that do not exist
        are left out: the covariance for a <= 1, the sd of "variance" for a <= 2. ``predictive(X)`` is the distribution
        of the response at each new row, of shape (new rows,), each row on its own.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if shapes do not fit, the data are empty, NaN or infinite, or a hyperparameter is not positive.

    Example:
        >>> from vi_toolkit import exact
        >>> posterior = exact.linear_regression_unknown_noise(
        ...     [[1.0], [2.0]], [1.0, 3.0], prior_sd=1.0, shape=2.0, rate=1.0)
        >>> [site.name for site in posterior.target.sites], posterior.mean.round(4)
        (['variance', 'beta'], array([-0.2722,  1.1667]))

    Source: Murphy (2012), Machine Learning: a Probabilistic Perspective, section 7.6.3.
    """
    X, y = as_regression(X, y)
    s, shape, rate = check_positive(prior_sd, "prior_sd"), check_positive(shape, "shape"), check_positive(rate, "rate")
    n, d = X.shape
    square = least_squares(X, y, s)
    a, b = shape + 0.5 * n, rate + 0.5 * square.minimum
    of_data = -0.5 * n * np.log(2.0 * np.pi) - d * np.log(s) - 0.5 * square.log_det
    log_evidence = float(of_data) + log_ratio(shape, rate, a, b)
    joint = NormalInverseGamma(square.mean, square.root, a, b)
    hyperparameters = {"prior_sd": np.asarray(s), "shape": np.asarray(shape), "rate": np.asarray(rate)}
    args, kwargs = (X,), {"y": y, **hyperparameters}
    return ExactPosterior(
        name="linear regression with unknown noise",
        target=replace(from_numpyro(unknown_noise_model, *args, **kwargs), log_evidence=log_evidence),
        how="closed form",
        log_evidence=log_evidence,
        constrained_moments=constrained_moments(joint, "beta"),
        marginals=marginals(joint, "beta"),
        predictive=partial(predict, joint),
        model=unknown_noise_model,
        args=args,
        kwargs=kwargs,
        **on_the_line(joint),
    )
