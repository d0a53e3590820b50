"""Probit regression with up to three coefficients."""

from __future__ import annotations

from typing import Any

import numpyro
import numpyro.distributions as dist
from jax.scipy.special import log_ndtr
from scipy.special import ndtr

from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.exact.quadrature._binary_regression import binary_regression


def probit_regression_model(X: Any, y: Any = None, *, trials: Any, prior_sd: Any) -> None:
    """beta_j ~ Normal(0, prior_sd_j);  y_i ~ Binomial(trials_i, Phi(x_i . beta))."""
    beta = numpyro.sample("beta", dist.Normal(0.0, prior_sd).to_event(1))
    t = X @ beta
    logits = log_ndtr(t) - log_ndtr(-t)  # Phi itself rounds to 0 or 1 far from zero
    numpyro.sample("y", dist.Binomial(trials, logits=logits), obs=y)


def probit_regression(X: Any, y: Any, *, prior_sd: Any, trials: Any = 1) -> ExactPosterior:
    r"""The posterior of beta in y_i ~ Binomial(n_i, Phi(x_i . beta)), with beta_j ~ N(0, s_j^2).

        Z = integral of prod_i C(n_i, y_i) Phi(x_i . beta)^y_i Phi(-x_i . beta)^(n_i - y_i)  prod_j N(beta_j; 0, s_j^2)

    by the quadrature of `grid`, to its tolerance, as are the moments and the predictive probabilities. With one trial a
    row, Z is the probability that a normal vector with covariance I + X diag(s^2) X' has the signs 2 y_i - 1: 1/2 for
    one row, and known in closed form for up to three. The density is log-concave, with one mode. There is no intercept
    unless ``X`` has a column of ones.

    Args:
        X: the design, of shape (n, d), with d of 1, 2 or 3.
        y: the response, of shape (n,): 0 or 1, or numbers of successes.
        prior_sd: s, the prior sd of the coefficients, above 0: one number, or one for each.
        trials: the numbers of trials n_i: one number, or an array of shape (n,).

    Returns:
        The posterior of z = "beta", of dim d; log evidence in nats. ``predictive(X)`` is, for rows X of shape
        (rows, d), the Bernoulli distribution of a further trial at each row on its own, whose probability is the
        posterior mean of Phi(x . beta).

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if shapes do not fit, d is above 3, a count is negative, not whole or above its number of trials,
            data are empty, NaN or infinite, or a prior sd is not positive.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import exact
        >>> posterior = exact.probit_regression([[1.0]], [1], prior_sd=1.0)
        >>> round(float(np.exp(posterior.log_evidence)), 6)  # one or zero, equally likely
        0.5
        >>> round(float(posterior.predictive([[1.0]]).mean[0]), 6)  # the same again: 2 in 3
        0.666667

    Source: Albert and Chib (1993), Bayesian analysis of binary and polychotomous response data,
    doi:10.1080/01621459.1993.10476321.
    """
    return binary_regression("probit regression", probit_regression_model, ndtr, X, y, trials=trials, prior_sd=prior_sd)
