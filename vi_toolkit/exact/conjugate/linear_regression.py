"""Gaussian linear regression whose noise is known."""

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
from vi_toolkit.exact.conjugate._arguments import as_new_rows
from vi_toolkit.exact.conjugate._least_squares import LeastSquares, least_squares, lower_root
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import from_numpyro


def linear_regression_model(X: Any, y: Any = None, *, noise_sd: Any, prior_sd: Any) -> None:
    """beta_j ~ Normal(0, prior_sd);  y_i ~ Normal(x_i . beta, noise_sd)."""
    beta = numpyro.sample("beta", dist.Normal(0.0, prior_sd).expand([X.shape[1]]).to_event(1))
    numpyro.sample("y", dist.Normal(X @ beta, noise_sd), obs=y)


def linear_regression(X: Any, y: Any, *, noise_sd: float, prior_sd: float) -> ExactPosterior:
    r"""The posterior of the coefficients of y ~ N(X beta, sigma^2 I) under the prior beta ~ N(0, s^2 I).

    It is Gaussian on R^d, with precision A = X'X / sigma^2 + I / s^2, covariance A^-1 and mean m = A^-1 X'y / sigma^2.
    The evidence, log N(y; 0, sigma^2 I + s^2 X X'), is computed as

        log Z = -(n/2) log(2 pi sigma^2) - d log s - (1/2) log|A| - (1/2) (|y - X m|^2 / sigma^2 + |m|^2 / s^2)

    There is no intercept unless ``X`` has a column of ones.

    Args:
        X: the design, of shape (n, d).
        y: the response, of shape (n,).
        noise_sd: sigma, the standard deviation of the noise, in units of y; above 0.
        prior_sd: s, the prior standard deviation of every coefficient; above 0.

    Returns:
        The posterior of the site "beta", of dim d; log evidence in nats. ``predictive(X)`` is the distribution of the
        response at each new row, of shape (new rows,), each row on its own.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if shapes do not fit, the data are empty, NaN or infinite, or an sd is not positive.

    Example:
        >>> from vi_toolkit import exact
        >>> posterior = exact.linear_regression([[1.0], [2.0]], [1.0, 3.0], noise_sd=1.0, prior_sd=1.0)
        >>> posterior.mean.round(4), posterior.sd.round(4), round(posterior.log_evidence, 4)  # 7/6 and 6^(-1/2)
        (array([1.1667]), array([0.4082]), -3.6504)

    Source: Bishop (2006), Pattern Recognition and Machine Learning, equations 3.49 to 3.51 and 3.86.
    """
    X, y = as_regression(X, y)
    sigma, s = check_positive(noise_sd, "noise_sd"), check_positive(prior_sd, "prior_sd")
    n, d = X.shape
    square = least_squares(X / sigma, y / sigma, s)
    normaliser = -0.5 * n * np.log(2.0 * np.pi * sigma**2) - d * np.log(s)
    log_evidence = float(normaliser - 0.5 * square.log_det - 0.5 * square.minimum)
    covariance = square.root @ square.root.T
    args, kwargs = (X,), {"y": y, "noise_sd": np.asarray(sigma), "prior_sd": np.asarray(s)}
    return ExactPosterior(
        name="linear regression",
        target=replace(from_numpyro(linear_regression_model, *args, **kwargs), log_evidence=log_evidence),
        how="closed form",
        sampler=partial(_draw_beta, square.mean, square.root),
        log_evidence=log_evidence,
        mean=square.mean,
        covariance=covariance,
        modes=square.mean[None],
        mode_weights=np.ones(1),
        constrained_moments={"beta": (square.mean, np.sqrt(np.diag(covariance)))},
        marginals={"beta": dist.MultivariateNormal(square.mean, scale_tril=jnp.asarray(lower_root(square.root)))},
        predictive=partial(_predict, square, sigma),
        model=linear_regression_model,
        args=args,
        kwargs=kwargs,
    )


def _draw_beta(mean: np.ndarray, root: np.ndarray, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    return mean + generator.standard_normal((num_draws, len(mean))) @ root.T


def _predict(square: LeastSquares, sigma: float, X: Any) -> dist.Normal:
    """y_i of new rows x_i, each alone: N(x_i . m, sigma^2 + x_i A^-1 x_i')."""
    X = as_new_rows(X, len(square.mean))
    return dist.Normal(
        jnp.asarray(X @ square.mean), jnp.asarray(np.hypot(sigma, np.linalg.norm(X @ square.root, axis=1)))
    )
