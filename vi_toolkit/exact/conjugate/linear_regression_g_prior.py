"""Gaussian linear regression whose noise is unknown, under Zellner's g-prior."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.linalg import solve_triangular
from scipy.linalg import qr

from vi_toolkit._checks import check_positive
from vi_toolkit.exact._inputs import as_regression
from vi_toolkit.exact.conjugate._least_squares import inverse_root
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


def g_prior_model(X: Any, y: Any = None, *, g: Any, shape: Any, rate: Any) -> None:
    """variance ~ InverseGamma(shape, rate);  beta ~ N(0, g variance (X'X)^-1);  y_i ~ Normal(x_i . beta, sd)."""
    variance = numpyro.sample("variance", dist.InverseGamma(shape, rate))
    root = jnp.sqrt(g * variance) * _inverse_root(X)
    beta = numpyro.sample("beta", dist.MultivariateNormal(jnp.zeros(X.shape[1]), scale_tril=root))
    numpyro.sample("y", dist.Normal(X @ beta, jnp.sqrt(variance)), obs=y)


def _inverse_root(X: Any) -> Any:
    """The lower Cholesky factor of (X'X)^-1 in JAX, by `vi_toolkit.exact.conjugate._least_squares.inverse_root`."""
    R = jnp.linalg.qr(jnp.asarray(X)[:, ::-1], mode="r")
    root = solve_triangular(R, jnp.eye(X.shape[1]))[::-1, ::-1]
    return root * jnp.sign(jnp.diag(root))


def linear_regression_g_prior(X: Any, y: Any, *, g: float, shape: float, rate: float) -> ExactPosterior:
    r"""The posterior of beta and v in y ~ N(X beta, v I), beta ~ N(0, g v (X'X)^-1), v ~ InverseGamma(shape, rate).

    The prior of beta has the shape that the likelihood has, and is worth n / g observations: g = n is the prior of unit
    information. With the least-squares estimate b_hat, a = shape + n/2 and
    b = rate + (|y - X b_hat|^2 + |X b_hat|^2 / (1 + g)) / 2: v given y is InverseGamma(a, b), beta given v and y is
    N(g / (1 + g) b_hat, v g / (1 + g) (X'X)^-1), and so beta given y is a multivariate Student-t of 2a degrees of
    freedom. On R^(1+d) the point is z = (log v, beta), with E[log v] = log b - digamma(a), Var[log v] = trigamma(a),
    Cov[beta] = b / (a - 1) g / (1 + g) (X'X)^-1 for a > 1. The evidence, where G is the gamma function:

        log Z = -(n/2) log(2 pi) - (d/2) log(1 + g) + shape log rate - log G(shape) + log G(a) - a log b

    There is no intercept unless ``X`` has a column of ones, and then the prior shrinks it as it does the others.

    Args:
        X: the design, of shape (n, d), whose columns are linearly independent.
        y: the response, of shape (n,).
        g: the prior variance in units of the least-squares estimate's; above 0.
        shape: shape of the prior of v, above 0.
        rate: rate of the prior of v (also called its scale), above 0, in units of y squared.

    Returns:
        The posterior of z = (log "variance", "beta"), of dim 1 + d; log evidence in nats. Moments that do not exist
        are left out: the covariance for a <= 1, the sd of "variance" for a <= 2. ``predictive(X)`` is the distribution
        of the response at each new row, of shape (new rows,), each row on its own.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if shapes do not fit, the data are empty, NaN or infinite, columns of ``X`` are linearly dependent,
            or a hyperparameter is not positive.

    Example:
        >>> from vi_toolkit import exact
        >>> posterior = exact.linear_regression_g_prior([[1.0], [2.0]], [1.0, 3.0], g=4.0, shape=2.0, rate=1.0)
        >>> posterior.mean.round(4), round(posterior.log_evidence, 4)  # beta: 4/5 of 7/5
        (array([-0.1904,  1.12  ]), -4.1466)

    Source: Zellner (1986), On assessing prior distributions and Bayesian regression analysis with g-prior
    distributions, in Bayesian Inference and Decision Techniques; Liang, Paulo, Molina, Clyde and Berger (2008),
    Mixtures of g priors for Bayesian variable selection, doi:10.1198/016214507000001337.
    """
    X, y = as_regression(X, y)
    g, shape, rate = check_positive(g, "g"), check_positive(shape, "shape"), check_positive(rate, "rate")
    _check_rank(X)
    n, d = X.shape
    Q, R = qr(X, mode="economic")
    fitted = Q.T @ y  # |fitted| = |X b_hat|
    residual = y - Q @ fitted
    a, b = shape + 0.5 * n, float(rate + 0.5 * (residual @ residual + fitted @ fitted / (1.0 + g)))
    shrinkage = g / (1.0 + g)
    joint = NormalInverseGamma(shrinkage * np.linalg.solve(R, fitted), np.sqrt(shrinkage) * inverse_root(X), a, b)
    of_data = -0.5 * n * np.log(2.0 * np.pi) - 0.5 * d * np.log1p(g)
    log_evidence = float(of_data) + log_ratio(shape, rate, a, b)
    args, kwargs = (X,), {"y": y, "g": np.asarray(g), "shape": np.asarray(shape), "rate": np.asarray(rate)}
    return ExactPosterior(
        name="linear regression under a g-prior",
        target=replace(from_numpyro(g_prior_model, *args, **kwargs), log_evidence=log_evidence),
        how="closed form",
        log_evidence=log_evidence,
        constrained_moments=constrained_moments(joint, "beta"),
        marginals=marginals(joint, "beta"),
        predictive=partial(predict, joint),
        model=g_prior_model,
        args=args,
        kwargs=kwargs,
        **on_the_line(joint),
    )


def _check_rank(X: np.ndarray) -> None:
    """Refuses columns that are linearly dependent to within rounding, whatever their units."""
    n, d = X.shape
    if n < d:
        raise ValueError(
            f"X: the g-prior needs at least as many rows as columns, got {n} rows of {d}. The prior of "
            "linear_regression_unknown_noise does not."
        )
    lengths = np.linalg.norm(X, axis=0)
    _, R, order = qr(X / np.where(lengths > 0, lengths, 1.0), mode="economic", pivoting=True)
    rank = int(np.sum(np.abs(np.diag(R)) > n * np.finfo(np.float64).eps))
    if rank < d:
        raise ValueError(
            f"X: the g-prior needs linearly independent columns, got rank {rank} of {d}: columns "
            f"{sorted(order[rank:].tolist())} are zero or combinations of the others. Drop them, or take the prior of "
            "linear_regression_unknown_noise."
        )
