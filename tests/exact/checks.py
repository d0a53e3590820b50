"""What every exact posterior is held against."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.compilations import jit
from vi_toolkit import Target
from vi_toolkit.exact import ExactPosterior
from vi_toolkit.targets.target import log_densities


def check_draws(posterior: ExactPosterior, num_draws: int = 40_000) -> np.ndarray:
    """Means and covariances of draws lie within five of their own standard errors of what is stated."""
    draws = np.asarray(posterior.sample(jax.random.key(7), num_draws), np.float64)
    assert draws.shape == (num_draws, posterior.dim)
    centred = draws - posterior.mean
    check_mean(centred, np.zeros(posterior.dim))
    if posterior.covariance is not None:
        products = np.einsum("ni,nj->nij", centred, centred).reshape(num_draws, -1)
        check_mean(products, posterior.covariance.ravel())
    if posterior.mode_weights is not None and len(posterior.mode_weights) > 1:
        check_mean(posterior.mode_shares(draws), posterior.mode_weights)
    return draws


def check_mean(values: np.ndarray, expected: np.ndarray) -> None:
    """The mean over rows is ``expected``, within five standard errors."""
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    assert np.all(np.abs(values.mean(axis=0) - expected) <= 5.0 * error)


def check_density(posterior: ExactPosterior, points: np.ndarray, expected: np.ndarray, atol: float = 1e-9) -> None:
    """log p, by ``log_prob`` and by the target and its log evidence, is ``expected`` at points (points, dim)."""
    points = jnp.asarray(points)
    np.testing.assert_allclose(jax.vmap(posterior.log_prob)(points), expected, rtol=0, atol=atol)
    normalised = log_densities(posterior.target, points) - posterior.target.log_evidence
    np.testing.assert_allclose(normalised, expected, rtol=0, atol=atol)


def check_modes(posterior: ExactPosterior) -> None:
    """At every mode the gradient vanishes and the Hessian has negative eigenvalues only."""
    for gradient, hessian in zip(*_slopes(posterior.target, jnp.asarray(posterior.modes)), strict=True):
        np.testing.assert_allclose(np.linalg.solve(hessian, gradient), 0.0, atol=1e-7)
        assert np.linalg.eigvalsh(hessian).max() < 0


@jit
def _slopes(target: Target, points: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gradients (points, dim) and Hessians (points, dim, dim) of the log density."""
    return jax.vmap(lambda z: (jax.grad(target.log_density)(z), jax.hessian(target.log_density)(z)))(points)


def check_agreement(first: ExactPosterior, second: ExactPosterior, tolerance: float) -> None:
    """Two ways to the same posterior give one log evidence, mean and covariance, in units of the sds."""
    scale = first.sd
    assert abs(first.log_evidence - second.log_evidence) < tolerance
    np.testing.assert_allclose((second.mean - first.mean) / scale, 0.0, atol=tolerance)
    np.testing.assert_allclose((second.covariance - first.covariance) / np.outer(scale, scale), 0.0, atol=tolerance)


def check_constrained_density(posterior: ExactPosterior, num_points: int = 5) -> None:
    """log p on both spaces differs by the log Jacobian of the map between them, taken by automatic differentiation.

    For sites whose constrained values have as many coordinates as z; on the simplex the last one is left out.
    """
    jacobian_at = jit(jax.jacfwd(lambda z: _free_coordinates(posterior, z)))
    for z in posterior.sample(jax.random.key(3), num_points):
        jacobian = jacobian_at(z)
        log_volume = np.linalg.slogdet(np.asarray(jacobian))[1]
        sites = posterior.target.constrain(z)
        np.testing.assert_allclose(posterior.log_prob(z) - log_volume, posterior.log_prob_constrained(sites), atol=1e-7)


def _free_coordinates(posterior: ExactPosterior, z):
    sites = posterior.target.constrain(z)
    parts = []
    for site in posterior.target.sites:
        value = jnp.ravel(sites[site.name])
        parts.append(value[: site.stop - site.start] if value.size == site.stop - site.start + 1 else value)
    return jnp.concatenate(parts)
