"""The normal-inverse-gamma distribution of a variance and of coefficients, on the unconstrained space."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from scipy.special import digamma, gammaln, polygamma

from vi_toolkit.exact.conjugate._arguments import as_new_rows
from vi_toolkit.exact.conjugate._gamma import log_gamma_draws
from vi_toolkit.exact.conjugate._least_squares import lower_root


class NormalInverseGamma(NamedTuple):
    """v ~ InverseGamma(a, b);  beta given v ~ N(m, v L L').  On R^(1+d) the point is z = (log v, beta)."""

    mean: np.ndarray  # m, (d,)
    root: np.ndarray  # L, (d, d)
    a: float
    b: float


def log_ratio(shape: float, rate: float, a: float, b: float) -> float:
    """log of the ratio of the integrals of v^-(a+1) e^(-b/v) and of v^-(shape+1) e^(-rate/v), in nats."""
    return float(shape * np.log(rate) - gammaln(shape) + gammaln(a) - a * np.log(b))


def on_the_line(p: NormalInverseGamma) -> dict[str, Any]:
    """What an ExactPosterior holds of z, by the names of its fields."""
    return {
        "sampler": partial(_draw, p),
        "mean": np.append(np.log(p.b) - digamma(p.a), p.mean),
        "covariance": _covariance(p),
        "modes": np.append(np.log(p.b / (p.a + 0.5 * len(p.mean))), p.mean)[None],
        "mode_weights": np.ones(1),
    }


def constrained_moments(p: NormalInverseGamma, site: str) -> dict[str, tuple[Any, Any]]:
    """Mean and sd of the Student-t (for a > 1), whose site is named, and of the inverse gamma (for a > 2)."""
    moments: dict[str, tuple[Any, Any]] = {}
    if p.a > 1.0:
        moments[site] = (p.mean, np.sqrt(p.b / (p.a - 1.0) * np.sum(p.root**2, axis=1)))
    if p.a > 2.0:
        moments["variance"] = (p.b / (p.a - 1.0), p.b / ((p.a - 1.0) * np.sqrt(p.a - 2.0)))
    return moments


def marginals(p: NormalInverseGamma, site: str) -> dict[str, dist.Distribution]:
    """An inverse gamma; and for the named site a multivariate Student-t of scale matrix (b / a) L L'."""
    scale_tril = jnp.asarray(np.sqrt(p.b / p.a) * lower_root(p.root))
    return {
        "variance": dist.InverseGamma(jnp.asarray(p.a), jnp.asarray(p.b)),
        site: dist.MultivariateStudentT(jnp.asarray(2.0 * p.a), jnp.asarray(p.mean), scale_tril),
    }


def predict(p: NormalInverseGamma, X: Any) -> dist.StudentT:
    """y_i ~ N(x_i . beta, v) of new rows x_i, each alone: Student-t of squared scale (b / a) (1 + |x_i L|^2)."""
    X = as_new_rows(X, len(p.mean))
    scale = np.sqrt(p.b / p.a * (1.0 + np.sum((X @ p.root) ** 2, axis=1)))
    return dist.StudentT(jnp.asarray(2.0 * p.a), jnp.asarray(X @ p.mean), jnp.asarray(scale))


def _covariance(p: NormalInverseGamma) -> np.ndarray | None:
    """Block-diagonal: beta's mean given v is m whatever v is, so that beta and log v are uncorrelated."""
    if p.a <= 1.0:
        return None
    d = len(p.mean)
    covariance = np.zeros((1 + d, 1 + d))
    covariance[0, 0] = polygamma(1, p.a)
    covariance[1:, 1:] = p.b / (p.a - 1.0) * p.root @ p.root.T
    return covariance


def _draw(p: NormalInverseGamma, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    log_variance = np.log(p.b) - log_gamma_draws(generator, p.a, num_draws)[:, None]
    noise = generator.standard_normal((num_draws, len(p.mean)))
    return np.hstack([log_variance, p.mean + np.exp(0.5 * log_variance) * noise @ p.root.T])
