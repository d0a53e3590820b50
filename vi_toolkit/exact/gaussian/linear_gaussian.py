"""A Gaussian vector seen through a linear map with Gaussian noise."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpyro
import numpyro.distributions as dist

from vi_toolkit.exact._inputs import as_array
from vi_toolkit.exact.gaussian._algebra import Gaussian, condition, observe
from vi_toolkit.exact.gaussian._arguments import as_covariance_root, as_matrix, as_offset, as_vector
from vi_toolkit.exact.gaussian._entry import as_distribution, gaussian_entry
from vi_toolkit.exact.posterior import ExactPosterior


def linear_gaussian_model(
    A: Any, y: Any = None, *, prior_mean: Any, prior_root: Any, noise_root: Any, offset: Any
) -> None:
    """z ~ N(prior_mean, prior_root prior_root');  y ~ N(A z + offset, noise_root noise_root')."""
    z = numpyro.sample("z", dist.MultivariateNormal(prior_mean, scale_tril=prior_root))
    numpyro.sample("y", dist.MultivariateNormal(A @ z + offset, scale_tril=noise_root), obs=y)


def linear_gaussian(
    A: Any, y: Any, *, prior_mean: Any, prior_covariance: Any, noise_covariance: Any, offset: Any = 0.0
) -> ExactPosterior:
    r"""The posterior of z ~ N(m, S) given y ~ N(A z + b, R), with any covariances S and R.

    With the gain K = S A' (A S A' + R)^-1, the posterior is Gaussian, and so is the evidence:

        E[z | y] = m + K (y - A m - b),   Cov[z | y] = S - K A S,   log Z = log N(y; A m + b, A S A' + R)

    All are computed from one orthogonal triangularisation of Cholesky factors of S and R, without inverses and without
    differences of covariances. There may be more observations than unknowns or fewer.

    Args:
        A: the linear map, of shape (n, d).
        y: the observations, of shape (n,).
        prior_mean: m, of shape (d,).
        prior_covariance: S, of shape (d, d), symmetric positive definite.
        noise_covariance: R, of shape (n, n), symmetric positive definite; s^2 times the identity for independent noise
            of standard deviation s.
        offset: b, of shape (n,), or one number.

    Returns:
        The posterior of the site "z", of dim d; log evidence in nats. ``predictive(A, noise_covariance, offset=0.0)``
        is the multivariate normal of new observations, of shape (rows of A,), whose noise is independent of that of y.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if shapes do not fit, an argument is empty, NaN or infinite, or a covariance is not symmetric
            positive definite.

    Example:
        >>> from vi_toolkit import exact
        >>> posterior = exact.linear_gaussian(  # the sum of two unknowns is seen
        ...     [[1.0, 1.0]], [3.0], prior_mean=[0.0, 0.0], prior_covariance=[[1.0, 0.0], [0.0, 1.0]],
        ...     noise_covariance=[[1.0]])
        >>> posterior.mean, posterior.covariance.round(4)  # 1 and 1; 2/3 and -1/3
        (array([1., 1.]), array([[ 0.6667, -0.3333],
               [-0.3333,  0.6667]]))
        >>> posterior.predictive([[1.0, 0.0]], [[1.0]]).covariance_matrix.round(4)  # 2/3 + 1
        Array([[1.6667]], dtype=...)

    Source: Bishop (2006), Pattern Recognition and Machine Learning, equations 2.113 to 2.117.
    """
    A, y = as_array(A, "A", 2), as_array(y, "y", 1)
    n, d = A.shape
    y = as_vector(y, "y", n, "rows of A")
    prior_mean = as_vector(prior_mean, "prior_mean", d, "columns of A")
    prior_root = as_covariance_root(prior_covariance, "prior_covariance", d)
    noise_root, offset = as_covariance_root(noise_covariance, "noise_covariance", n), as_offset(offset, n)
    posterior, log_evidence = condition(Gaussian(prior_mean, prior_root), A, y - offset, noise_root)
    return gaussian_entry(
        "linear Gaussian",
        posterior,
        log_evidence,
        model=linear_gaussian_model,
        args=(A,),
        kwargs={
            "y": y,
            "prior_mean": prior_mean,
            "prior_root": prior_root,
            "noise_root": noise_root,
            "offset": offset,
        },
        predictive=partial(_predict, posterior),
    )


def _predict(posterior: Gaussian, A: Any, noise_covariance: Any, offset: Any = 0.0) -> dist.MultivariateNormal:
    d = len(posterior.mean)
    A = as_matrix(A, "A", None, d, f"(new observations, {d})")
    noise_root = as_covariance_root(noise_covariance, "noise_covariance", len(A))
    new = observe(posterior, A, as_offset(offset, len(A)), noise_root)
    return as_distribution(new, new.mean.shape)
