"""One mode: a Gaussian of any condition number, a Student-t, a skew normal."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln
from scipy.stats import norm

from vi_toolkit._checks import check_positive, check_positive_int, describe
from vi_toolkit._types import Scalar, Vector
from vi_toolkit.exact import ExactPosterior, gaussian_mixture
from vi_toolkit.targets import from_log_density


def correlated_gaussian(dim: int = 10, *, condition_number: float = 100.0, seed: int = 0) -> ExactPosterior:
    r"""A Gaussian N(0, Q diag(l) Q') whose covariance has a chosen condition number.

    The eigenvalues l_i lie evenly on a log scale from condition_number^(-1/2) to condition_number^(1/2), so that their
    product is 1; the rotation Q is uniform over rotations and reflections.

    Args:
        dim: the number of coordinates.
        condition_number: the largest eigenvalue of the covariance over the smallest, at least 1; unused if dim is 1.
        seed: of the rotation, in NumPy's default generator.

    Returns:
        The posterior, normalised: log evidence 0.

    Raises:
        TypeError: if an argument is not a number.
        ValueError: if ``dim`` is below 1 or ``condition_number`` below 1.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import zoo
        >>> gaussian = zoo.correlated_gaussian(3, condition_number=25.0)
        >>> np.linalg.eigvalsh(gaussian.covariance).round(4)
        array([0.2, 1. , 5. ])

    Source: the rotation is drawn as in Mezzadri (2007), How to generate random matrices from the classical compact
    groups, arXiv:math-ph/0609050.
    """
    dim = check_positive_int(dim, "dim")
    if check_positive(condition_number, "condition_number") < 1.0:
        raise ValueError(f"condition_number: expected at least 1, got {condition_number}. Is it inverted?")
    reach = 0.5 * np.log(condition_number) if dim > 1 else 0.0
    eigenvalues = np.exp(np.linspace(-reach, reach, dim))
    Q, R = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))
    Q = Q * np.sign(np.diag(R))
    covariance = (Q * eigenvalues) @ Q.T
    gaussian = gaussian_mixture([1.0], np.zeros((1, dim)), 0.5 * (covariance + covariance.T)[None])
    return replace(gaussian, name=f"Gaussian, condition number {condition_number:g}")


def student_t(dim: int = 2, *, degrees_of_freedom: float = 4.0) -> ExactPosterior:
    r"""The standard multivariate Student-t of nu degrees of freedom on R^d.

        log p(z) = log G((nu + d) / 2) - log G(nu / 2) - (d/2) log(nu pi) - ((nu + d) / 2) log(1 + |z|^2 / nu)

    where G is the gamma function. The mean is 0 for nu > 1, the covariance nu / (nu - 2) I for nu > 2; otherwise they
    do not exist, and are None.

    Args:
        dim: d, the number of coordinates.
        degrees_of_freedom: nu, above 0.

    Returns:
        The posterior, normalised: log evidence 0.

    Raises:
        TypeError: if an argument is not a number.
        ValueError: if ``dim`` is below 1 or ``degrees_of_freedom`` is not positive.

    Example:
        >>> from vi_toolkit import zoo
        >>> zoo.student_t(2, degrees_of_freedom=4.0).sd.round(4), zoo.student_t(2, degrees_of_freedom=2.0).sd
        (array([1.4142, 1.4142]), None)

    Source: Kotz and Nadarajah (2004), Multivariate t Distributions and Their Applications,
    doi:10.1017/CBO9780511550683.
    """
    dim, nu = check_positive_int(dim, "dim"), check_positive(degrees_of_freedom, "degrees_of_freedom")
    log_normaliser = gammaln(0.5 * (nu + dim)) - gammaln(0.5 * nu) - 0.5 * dim * np.log(nu * np.pi)
    density = jax.tree_util.Partial(_log_student_t, jnp.asarray(nu), jnp.asarray(log_normaliser))
    return ExactPosterior(
        name=f"Student-t, {nu:g} degrees of freedom",
        target=from_log_density(density, dim=dim, log_evidence=0.0),
        how="closed form",
        sampler=partial(_draw_student_t, dim, nu),
        log_evidence=0.0,
        mean=np.zeros(dim) if nu > 1.0 else None,
        covariance=nu / (nu - 2.0) * np.eye(dim) if nu > 2.0 else None,
        modes=np.zeros((1, dim)),
        mode_weights=np.ones(1),
    )


def _log_student_t(nu: Any, log_normaliser: Any, z: Vector) -> Scalar:
    return log_normaliser - 0.5 * (nu + z.size) * jnp.log1p(jnp.sum(z**2) / nu)


def _draw_student_t(dim: int, nu: float, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    chi_squared = generator.chisquare(nu, size=(num_draws, 1))
    return generator.standard_normal((num_draws, dim)) / np.sqrt(chi_squared / nu)


def skewed(dim: int = 2, *, slant: Any = 5.0) -> ExactPosterior:
    r"""The multivariate skew normal p(z) = 2 N(z; 0, I) Phi(a . z) on R^d.

    With delta = a / sqrt(1 + |a|^2), its mean is sqrt(2 / pi) delta and its covariance I - (2 / pi) delta delta'. Its
    mode is t a / |a| with t = |a| N(|a| t; 0, 1) / Phi(|a| t). A draw is x or -x for x ~ N(0, I): x with probability
    Phi(a . x).

    Args:
        dim: d, the number of coordinates.
        slant: a, of shape (dim,), or one number |a| > 0 that is shared out evenly, a_i = |a| / sqrt(d).

    Returns:
        The posterior, normalised: log evidence 0.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if ``dim`` is below 1, or ``slant`` has another shape, is zero, NaN or infinite.

    Example:
        >>> from vi_toolkit import zoo
        >>> posterior = zoo.skewed(1, slant=1.0)
        >>> posterior.mean.round(4), posterior.sd.round(4)  # pi^(-1/2) and sqrt(1 - 1/pi)
        (array([0.5642]), array([0.8256]))

    Source: Azzalini and Dalla Valle (1996), The multivariate skew-normal distribution, doi:10.1093/biomet/83.4.715.
    """
    dim = check_positive_int(dim, "dim")
    a = np.asarray(slant, dtype=np.float64)
    a = np.full(dim, a / np.sqrt(dim)) if a.ndim == 0 else a
    size = float(np.linalg.norm(a)) if a.shape == (dim,) else 0.0
    if not (np.isfinite(size) and size > 0):
        raise ValueError(f"slant: expected a finite number other than 0, or shape ({dim},), got {describe(slant)}.")
    delta = a / np.sqrt(1.0 + size**2)
    t = brentq(lambda t: t - size * np.exp(norm.logpdf(size * t) - norm.logcdf(size * t)), 0.0, 1.0, xtol=1e-15)
    return ExactPosterior(
        name=f"skew normal, slant {size:g}",
        target=from_log_density(jax.tree_util.Partial(_log_skew_normal, jnp.asarray(a)), dim=dim, log_evidence=0.0),
        how="closed form",
        sampler=partial(_draw_skew_normal, a),
        log_evidence=0.0,
        mean=np.sqrt(2.0 / np.pi) * delta,
        covariance=np.eye(dim) - 2.0 / np.pi * np.outer(delta, delta),
        modes=(t * a / size)[None],
        mode_weights=np.ones(1),
    )


def _log_skew_normal(a: Any, z: Vector) -> Scalar:
    log_normal = -0.5 * jnp.sum(z**2) - 0.5 * z.size * jnp.log(2.0 * jnp.pi)
    return jnp.log(2.0) + log_normal + jax.scipy.stats.norm.logcdf(a @ z)


def _draw_skew_normal(a: np.ndarray, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    x = generator.standard_normal((num_draws, len(a)))
    keeps = generator.standard_normal(num_draws) < x @ a
    return np.where(keeps[:, None], x, -x)
