"""Logistic regression with up to three coefficients."""

from __future__ import annotations

from typing import Any

import numpyro
import numpyro.distributions as dist
from scipy.special import expit

from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.exact.quadrature._binary_regression import binary_regression


def logistic_regression_model(X: Any, y: Any = None, *, trials: Any, prior_sd: Any) -> None:
    """beta_j ~ Normal(0, prior_sd_j);  y_i ~ Binomial(trials_i, 1 / (1 + exp(-x_i . beta)))."""
    beta = numpyro.sample("beta", dist.Normal(0.0, prior_sd).to_event(1))
    numpyro.sample("y", dist.Binomial(trials, logits=X @ beta), obs=y)


def logistic_regression(X: Any, y: Any, *, prior_sd: Any, trials: Any = 1) -> ExactPosterior:
    r"""The posterior of beta in y_i ~ Binomial(n_i, g(x_i . beta)), g(t) = 1 / (1 + e^-t), with beta_j ~ N(0, s_j^2).

        Z = integral of prod_i C(n_i, y_i) g(x_i . beta)^y_i (1 - g(x_i . beta))^(n_i - y_i)  prod_j N(beta_j; 0, s_j^2)

    has no closed form: Z, the moments and the predictive probabilities are integrals over beta by the quadrature of
    `grid`, to its tolerance. The density is log-concave: it has one mode, also where the data are separable, which the
    prior then keeps from infinity. There is no intercept unless ``X`` has a column of ones.

    Args:
        X: the design, of shape (n, d), with d of 1, 2 or 3.
        y: the response, of shape (n,): 0 or 1, or numbers of successes.
        prior_sd: s, the prior sd of the coefficients, above 0: one number, or one for each.
        trials: the numbers of trials n_i: one number, or an array of shape (n,).

    Returns:
        The posterior of z = "beta", of dim d; log evidence in nats. ``predictive(X)`` is, for rows X of shape
        (rows, d), the Bernoulli distribution of a further trial at each row on its own, whose probability is the
        posterior mean of g(x . beta).

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if shapes do not fit, d is above 3, a count is negative, not whole or above its number of trials,
            data are empty, NaN or infinite, or a prior sd is not positive.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import datasets, exact
        >>> warmth = (datasets.O_RINGS_FAHRENHEIT - 70.0) / 10.0
        >>> X = np.stack([np.ones(23), warmth], axis=1)
        >>> posterior = exact.logistic_regression(X, datasets.O_RINGS_FAILED, prior_sd=2.5)
        >>> posterior.mean.round(3), round(posterior.log_evidence, 3)
        (array([-1.186, -2.285]), -13.181)
        >>> round(float(posterior.predictive([[1.0, -3.9]]).mean[0]), 3)  # at 31 degrees Fahrenheit
        0.981

    Source: Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013), Bayesian Data Analysis, 3rd edition, section 3.7,
    doi:10.1201/b16018.
    """
    return binary_regression(
        "logistic regression", logistic_regression_model, expit, X, y, trials=trials, prior_sd=prior_sd
    )
