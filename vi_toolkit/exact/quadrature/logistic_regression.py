"""Logistic regression with a few coefficients."""

from __future__ import annotations

from typing import Any

import numpyro
import numpyro.distributions as dist
from scipy.special import expit

from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.exact.quadrature._binary import binary_regression


def logistic_regression_model(X: Any, y: Any = None, *, prior_sd: Any) -> None:
    """beta_j ~ Normal(0, prior_sd);  y_i ~ Bernoulli(1 / (1 + exp(-x_i . beta)))."""
    beta = numpyro.sample("beta", dist.Normal(0.0, prior_sd).expand([X.shape[1]]).to_event(1))
    numpyro.sample("y", dist.BernoulliLogits(X @ beta), obs=y)


def logistic_regression(X: Any, y: Any, *, prior_sd: float) -> ExactPosterior:
    r"""The posterior of the coefficients of P(y_i = 1) = 1 / (1 + exp(-x_i . beta)) under the prior beta ~ N(0, s^2 I).

    It has no closed form. The integrals over beta are those of `grid`, so that they are exact to its tolerance also
    where the classes can be separated. There is no intercept unless ``X`` has a column of ones.

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
        >>> posterior = exact.logistic_regression([[1.0]], [1.0], prior_sd=2.0)
        >>> round(posterior.log_evidence, 4)  # by symmetry a single response is 0 or 1 with probability 1/2
        -0.6931
        >>> round(float(posterior.predictive(np.ones((1, 1))).probs[0]), 4)
        0.6971

    Source: Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013), Bayesian Data Analysis, 3rd edition, chapter 16,
    doi:10.1201/b16018.
    """
    return binary_regression("logistic regression", logistic_regression_model, expit, X, y, prior_sd)
