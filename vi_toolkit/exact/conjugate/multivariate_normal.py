"""Mean vector and covariance of multivariate normal observations, under the normal-inverse-Wishart prior."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from vi_toolkit._checks import check_positive
from vi_toolkit.exact._inputs import as_array
from vi_toolkit.exact.conjugate._arguments import as_positive_definite
from vi_toolkit.exact.conjugate._least_squares import inverse_root
from vi_toolkit.exact.conjugate._normal_inverse_wishart import (
    NormalInverseWishart,
    constrained_moments,
    draw,
    log_mass,
    mode,
    unconstrained_covariance,
    unconstrained_mean,
    update,
)
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import from_numpyro


def multivariate_normal_model(
    y: Any = None, *, prior_mean: Any, prior_count: Any, degrees_of_freedom: Any, scale: Any
) -> None:
    """precision_root ~ WishartCholesky, so that covariance ~ InverseWishart(degrees_of_freedom, scale).

    Then mean ~ N(prior_mean, covariance / prior_count) and y_i ~ N(mean, covariance).
    """
    root = numpyro.sample("precision_root", dist.WishartCholesky(degrees_of_freedom, rate_matrix=scale))
    noise = dist.MultivariateNormal(precision_matrix=root @ root.T)
    numpyro.deterministic("covariance", noise.covariance_matrix)
    of_mean = dist.MultivariateNormal(prior_mean, scale_tril=noise.scale_tril / jnp.sqrt(prior_count))
    mean = numpyro.sample("mean", of_mean)
    numpyro.sample("y", dist.MultivariateNormal(mean, scale_tril=noise.scale_tril), obs=y)


def multivariate_normal(
    y: Any, *, prior_mean: Any, prior_count: float, degrees_of_freedom: float, scale: Any
) -> ExactPosterior:
    r"""The posterior of mu and S in y_i ~ N(mu, S), mu ~ N(m0, S / k0), S ~ InverseWishart(nu0, P0), i = 1..n.

    With the average y_bar of the rows, k = k0 + n, nu = nu0 + n, m = (k0 m0 + n y_bar) / k and
    P = P0 + sum_i (y_i - y_bar)(y_i - y_bar)' + (k0 n / k) (y_bar - m0)(y_bar - m0)': S given y is
    InverseWishart(nu, P), mu given S and y is N(m, S / k), and so mu given y is a multivariate Student-t of nu - d + 1
    degrees of freedom, location m and scale matrix P / (k (nu - d + 1)); a further observation has k + 1 times that
    scale matrix. The evidence, where G_d is the multivariate gamma function:

        log Z = -(n d / 2) log pi + log G_d(nu / 2) - log G_d(nu0 / 2)
                + (nu0 / 2) log|P0| - (nu / 2) log|P| + (d / 2) log(k0 / k)

    The model's first site is the lower Cholesky factor L of the precision, L L' = S^-1, and S is a deterministic site.
    On the unconstrained space z holds the entries of L below its diagonal (row by row), the logarithms of its
    diagonal, and mu. By Bartlett's decomposition L = T B, where T T' = P^-1 and B, like T, is lower triangular, with
    independent entries: chi of nu - j degrees of freedom on the diagonal, j = 0..d-1, standard normal below it. So all
    means and covariances of z are in closed form, with E[log L_jj] = log T_jj + (log 2 + digamma((nu - j) / 2)) / 2.

    Args:
        y: the observations, of shape (n, d), one a row.
        prior_mean: m0, of shape (d,).
        prior_count: k0, above 0: how many observations the prior of mu is worth.
        degrees_of_freedom: nu0, above d - 1.
        scale: P0, of shape (d, d), symmetric positive definite, in units of y squared; the prior mean of S is
            P0 / (nu0 - d - 1) for nu0 > d + 1.

    Returns:
        The posterior of z = ("precision_root", "mean"), of dim d (d + 1) / 2 + d; log evidence in nats. Moments and
        marginals are given of "covariance" as well. Moments that do not exist are left out: the covariance of z and
        the sd of "mean" for nu <= d + 1, the sd of "covariance" for nu <= d + 3. ``predictive()`` is the distribution
        of a further observation.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if shapes do not fit, the data are empty, NaN or infinite, ``prior_count`` is not positive,
            ``degrees_of_freedom`` is d - 1 or less, or ``scale`` is not symmetric positive definite.

    Example:
        >>> from vi_toolkit import exact
        >>> posterior = exact.multivariate_normal(
        ...     [[1.0, 2.0], [3.0, 2.0], [2.0, 5.0]], prior_mean=[0.0, 0.0], prior_count=1.0, degrees_of_freedom=4.0,
        ...     scale=[[1.0, 0.0], [0.0, 1.0]])
        >>> mean, sd = posterior.constrained_moments["covariance"]
        >>> mean.round(4)
        array([[1.5   , 1.125 ],
               [1.125 , 3.4375]])

    Source: Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013), Bayesian Data Analysis, 3rd edition, section 3.6,
    doi:10.1201/b16018; Anderson (2003), An Introduction to Multivariate Statistical Analysis, 3rd edition, section 7.2.
    """
    y, prior = _check(y, prior_mean, prior_count, degrees_of_freedom, scale)
    n, d = y.shape
    joint = update(prior, y)
    log_evidence = -0.5 * n * d * float(np.log(np.pi)) + log_mass(joint) - log_mass(prior)
    hyperparameters = {
        "prior_mean": prior.mean,
        "prior_count": np.asarray(prior.mean_count),
        "degrees_of_freedom": np.asarray(prior.degrees),
        "scale": prior.scale,
    }
    args, kwargs = (y,), hyperparameters
    return ExactPosterior(
        name="multivariate normal",
        target=replace(from_numpyro(multivariate_normal_model, *args, **kwargs), log_evidence=log_evidence),
        how="closed form",
        sampler=partial(draw, joint),
        log_evidence=log_evidence,
        mean=unconstrained_mean(joint),
        covariance=unconstrained_covariance(joint),
        modes=mode(joint)[None],
        mode_weights=np.ones(1),
        constrained_moments=constrained_moments(joint),
        marginals=_marginals(joint),
        predictive=partial(_student_t, joint, joint.mean_count + 1.0),
        model=multivariate_normal_model,
        args=args,
        kwargs=kwargs,
    )


def _check(
    y: Any, prior_mean: Any, prior_count: Any, degrees: Any, scale: Any
) -> tuple[np.ndarray, NormalInverseWishart]:
    """The observations, and the prior."""
    y = as_array(y, "y", 2)
    d = y.shape[1]
    m = as_array(prior_mean, "prior_mean", 1)
    if len(m) != d:
        raise ValueError(f"prior_mean: expected {d} numbers, one for each column of y, got {len(m)}.")
    k, nu = check_positive(prior_count, "prior_count"), check_positive(degrees, "degrees_of_freedom")
    if nu <= d - 1:
        raise ValueError(f"degrees_of_freedom: expected more than d - 1 = {d - 1} for y of {d} columns, got {nu}.")
    P = as_positive_definite(scale, "scale", d)
    return y, NormalInverseWishart(m, k, nu, P, inverse_root(np.linalg.cholesky(P).T))


def _student_t(joint: NormalInverseWishart, factor: float = 1.0) -> dist.MultivariateStudentT:
    """Student-t of nu - d + 1 degrees of freedom, location m and scale matrix factor P / (k (nu - d + 1))."""
    degrees = joint.degrees - len(joint.mean) + 1.0
    scale_tril = np.sqrt(factor / (joint.mean_count * degrees)) * np.linalg.cholesky(joint.scale)
    return dist.MultivariateStudentT(jnp.asarray(degrees), jnp.asarray(joint.mean), jnp.asarray(scale_tril))


def _marginals(joint: NormalInverseWishart) -> dict[str, dist.Distribution]:
    # The `variance` of NumPyro 0.22's InverseWishart is not right off the diagonal; `constrained_moments` is.
    degrees = jnp.asarray(joint.degrees)
    return {
        "precision_root": dist.WishartCholesky(degrees, scale_tril=jnp.asarray(joint.root)),
        "mean": _student_t(joint),
        "covariance": dist.InverseWishart(degrees, scale_matrix=jnp.asarray(joint.scale)),
    }
