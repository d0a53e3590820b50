"""Probit regression with a few coefficients."""

from __future__ import annotations

from typing import Any

import numpyro
import numpyro.distributions as dist
from jax.scipy.special import log_ndtr
from scipy.special import ndtr

from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.exact.quadrature._binary import binary_regression


def probit_regression_model(X: Any, y: Any = None, *, prior_sd: Any) -> None:
    """beta_j ~ Normal(0, prior_sd);  y_i ~ Bernoulli(Phi(x_i . beta))."""
    beta = numpyro.sample("beta", dist.Normal(0.0, prior_sd).expand([X.shape[1]]).to_event(1))
    score = X @ beta
    # The logit of Phi(score), from the logarithms of both tails: far out, Phi(score) is 0 or 1 to every digit.
    numpyro.sample("y", dist.BernoulliLogits(log_ndtr(score) - log_ndtr(-score)), obs=y)


def probit_regression(X: Any, y: Any, *, prior_sd: float) -> ExactPosterior:
    r"""The posterior of the coefficients of P(y_i = 1) = Phi(x_i . beta) under the prior beta ~ N(0, s^2 I).

    Phi is the distribution function of the standard normal. The integrals over beta are those of `grid`. There is no
    intercept unless ``X`` has a column of ones.

    Args:
        X: the design, of shape (n, d), with d at most 3.
        y: the responses, zeros and ones, of shape (n,).
        prior_sd: s, the prior standard deviation of every coefficient; above 0.

    Returns:
        The posterior of the site "beta", of dim d; log evidence in nats. ``predictive(X)`` is the distribution of new
        responses at the rows of X, each on its own, of batch shape (new rows,).

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if shapes do not fit, there are more than three columns, the data are empty, NaN or infinite, a
            response is neither 0 nor 1, or ``prior_sd`` is not positive.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import exact
        >>> posterior = exact.probit_regression([[1.0]], [1.0], prior_sd=1.0)
        >>> round(float(posterior.predictive(np.ones((1, 1))).probs[0]), 4)  # 2/3: 1/2 + asin(1/2) / pi
        0.6667

    Source: Albert and Chib (1993), Bayesian analysis of binary and polychotomous response data,
    doi:10.1080/01621459.1993.10476321.
    """
    return binary_regression("probit regression", probit_regression_model, ndtr, X, y, prior_sd)
