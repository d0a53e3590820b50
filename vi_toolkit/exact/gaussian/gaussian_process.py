"""Regression with a Gaussian process as the prior of the function."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from vi_toolkit._checks import check_finite, check_positive, describe
from vi_toolkit.exact._inputs import SYMMETRY, as_array
from vi_toolkit.exact.gaussian._algebra import Gaussian, condition, observe
from vi_toolkit.exact.gaussian._arguments import as_matrix, as_vector, check_not_negative
from vi_toolkit.exact.gaussian._entry import as_distribution, gaussian_entry
from vi_toolkit.exact.posterior import ExactPosterior

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (n, d), (m, d) -> (n, m)
JITTER = 1e-6  # of the mean prior variance


def gaussian_process_model(root: Any, y: Any = None, *, noise_sd: Any, centred: bool = False) -> None:
    """f ~ N(0, root root'), itself a site or as f = root standardised;  y_i ~ Normal(f_i, noise_sd)."""
    n = root.shape[0]
    if centred:
        f = numpyro.sample("f", dist.MultivariateNormal(jnp.zeros(n), scale_tril=root))
    else:
        standardised = numpyro.sample("standardised", dist.Normal(0.0, 1.0).expand([n]).to_event(1))
        f = numpyro.deterministic("f", root @ standardised)
    numpyro.sample("y", dist.Normal(f, noise_sd), obs=y)


def gaussian_process(
    x: Any, y: Any, *, kernel: Kernel, noise_sd: float, jitter: float | None = None, centred: bool = False
) -> ExactPosterior:
    r"""The posterior of a function's values f_i = f(x_i) given y_i ~ N(f_i, s^2), under f ~ GP(0, k).

    With K_ij = k(x_i, x_j) + jitter [i = j] = (L L')_ij, f ~ N(0, K), and given y it is Gaussian:

        E[f | y] = K (K + s^2 I)^-1 y,   Cov[f | y] = K - K (K + s^2 I)^-1 K,   log Z = log N(y; 0, K + s^2 I)

    The jitter is part of the model: f is a smooth function plus independent noise of that variance, at new inputs too.

    The unknowns are e ~ N(0, I) in f = L e by default, since the covariance K of smooth functions is close to singular
    and that of e is not; f is then a deterministic site. With ``centred=True`` the unknowns are f itself.

    Args:
        x: the inputs, of shape (n,), or (n, d) for inputs of d coordinates.
        y: the observations, of shape (n,); the prior mean of f is 0, so subtract y's mean first if that is far off.
        kernel: the covariance function k: `SquaredExponential`, `Matern52`, or any function of two NumPy arrays of
            inputs, (n, d) and (m, d), that returns the covariances (n, m).
        noise_sd: s, the standard deviation of the noise, in units of y; above 0.
        jitter: in units of f squared, at least 0; by default 1e-6 of the mean of k(x_i, x_i).
        centred: whether f itself is the site; else e is, called "standardised".

    Returns:
        The posterior of "standardised" or of "f", of dim n; log evidence in nats. Moments and marginal of "f" are there
        either way. ``predictive(x_new, observed=True)`` is the multivariate normal of new observations at x_new, or
        with ``observed=False`` of the function's values there.

    Raises:
        TypeError: if an argument is not numeric, or ``kernel`` is not a function.
        ValueError: if shapes do not fit, the data are empty, NaN or infinite, ``noise_sd`` is not positive, ``jitter``
            is negative, or the kernel's matrix is not symmetric positive definite.

    Example:
        >>> from vi_toolkit import exact
        >>> kernel = exact.SquaredExponential(length_scale=1.0, amplitude=1.0)
        >>> posterior = exact.gaussian_process([0.0, 1.0, 2.0], [0.0, 1.0, 0.5], kernel=kernel, noise_sd=0.1)
        >>> mean, sd = posterior.constrained_moments["f"]
        >>> mean.round(3), sd.round(3)
        (array([0.011, 0.98 , 0.506]), array([0.099, 0.099, 0.099]))
        >>> posterior.predictive([1.5], observed=False).mean.round(3)
        Array([0.9], dtype=...)

    Source: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, equations 2.22 to 2.24 and 2.30.
    """
    x = as_inputs(x, "x")
    y = as_vector(y, "y", len(x), "inputs")
    if not callable(kernel):
        raise TypeError(f"kernel: expected a function of two arrays of inputs, got {describe(kernel)}.")
    noise_sd = check_positive(noise_sd, "noise_sd")
    K = kernel_matrix(kernel, x)
    jitter = JITTER * float(np.mean(np.diag(K))) if jitter is None else check_not_negative(jitter, "jitter")
    root = kernel_root(K, jitter)
    prior = Gaussian(np.zeros(len(x)), np.eye(len(x)))
    standardised, log_evidence = condition(prior, root, y, noise_sd * np.eye(len(x)))
    f = Gaussian(root @ standardised.mean, root @ standardised.root)
    return gaussian_entry(
        "Gaussian process",
        f if centred else standardised,
        log_evidence,
        model=gaussian_process_model,
        args=(root,),
        kwargs={"y": y, "noise_sd": np.asarray(noise_sd), "centred": bool(centred)},
        predictive=partial(_predict, standardised, x, kernel, jitter, noise_sd),
        deterministic=None if centred else {"f": f},
    )


def as_inputs(value: Any, name: str) -> np.ndarray:
    """Inputs as (n, d): one coordinate each where there is one axis."""
    has_rows = len(np.shape(np.asarray(value, dtype=object))) == 2
    inputs = as_array(value, name, 2 if has_rows else 1)
    return inputs.reshape(len(inputs), -1)


def kernel_matrix(kernel: Kernel, x: np.ndarray) -> np.ndarray:
    """k of every pair of rows of x, checked."""
    K = np.asarray(kernel(x, x), dtype=np.float64)
    if K.shape != (len(x), len(x)):
        raise ValueError(f"kernel: expected the covariances of {len(x)} and {len(x)} inputs, got {describe(K)}.")
    check_finite(K, "kernel")
    if np.abs(K - K.T).max() > SYMMETRY * np.abs(K).max():
        raise ValueError("kernel: expected k(x, x') = k(x', x), got a matrix that is not symmetric.")
    return K


def kernel_root(K: np.ndarray, jitter: float) -> np.ndarray:
    """L with L L' = K + jitter I."""
    try:
        return np.linalg.cholesky(K + jitter * np.eye(len(K)))
    except np.linalg.LinAlgError:
        smallest = np.linalg.eigvalsh(K)[0]
        raise ValueError(
            f"kernel: its matrix plus the jitter {jitter:.3g} is not positive definite to working precision (smallest "
            f"eigenvalue {smallest + jitter:.3g}). Raise jitter, or check that the function is a covariance."
        ) from None


def _predict(
    standardised: Gaussian,
    x: np.ndarray,
    kernel: Kernel,
    jitter: float,
    noise_sd: float,
    x_new: Any,
    observed: bool = True,
) -> dist.MultivariateNormal:
    """By the root of all inputs together: f_new = L_21 e + L_22 e_new, with e_new ~ N(0, I) by the prior."""
    n, d = x.shape
    x_new = as_matrix(as_inputs(x_new, "x_new"), "x_new", None, d, f"(new inputs, {d})")
    root = kernel_root(kernel_matrix(kernel, np.vstack([x, x_new])), jitter)
    f_new = observe(standardised, root[n:, :n], np.zeros(len(x_new)), root[n:, n:])
    new = observe(f_new, np.eye(len(x_new)), np.zeros(len(x_new)), noise_sd * np.eye(len(x_new))) if observed else f_new
    return as_distribution(new, new.mean.shape)
