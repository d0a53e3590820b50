"""What every entry whose posterior is Gaussian is held against."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from tests.exact.checks import check_constrained_density, check_density, check_draws, check_modes
from vi_toolkit.exact import ExactPosterior


def check_gaussian(posterior: ExactPosterior, mean, covariance, log_evidence, tolerance: float = 1e-9) -> None:
    """The entry is N(mean, covariance) with that evidence: in its moments, density, draws, modes and marginals."""
    mean, covariance = np.asarray(mean), np.asarray(covariance)
    check_moments(posterior, mean, covariance, log_evidence, tolerance)
    points = jnp.asarray(check_draws(posterior)[:5])
    normal = stats.multivariate_normal(mean, covariance)
    check_density(posterior, points, np.atleast_1d(normal.logpdf(points)), atol=1e-7)
    check_constrained_density(posterior)
    check_modes(posterior)
    check_sites(posterior, mean, covariance)
    again = pickle.loads(pickle.dumps(posterior))
    np.testing.assert_array_equal(again.sample(jax.random.key(1), 3), posterior.sample(jax.random.key(1), 3))
    np.testing.assert_allclose(again.log_prob(points[0]), posterior.log_prob(points[0]))


def check_moments(posterior: ExactPosterior, mean, covariance, log_evidence, tolerance: float = 1e-9) -> None:
    """Mean and covariance, in units of the sds, mode and log evidence."""
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((posterior.mean - mean) / scale, 0.0, atol=tolerance)
    np.testing.assert_allclose((posterior.covariance - covariance) / np.outer(scale, scale), 0.0, atol=tolerance)
    np.testing.assert_allclose(posterior.log_evidence, log_evidence, rtol=tolerance)
    np.testing.assert_allclose(posterior.modes, [posterior.mean])


def check_sites(posterior: ExactPosterior, mean, covariance) -> None:
    """Moments and marginals of each site are those of its part of the flat vector."""
    for site in posterior.target.sites:
        part = slice(site.start, site.stop)
        site_mean, site_sd = posterior.constrained_moments[site.name]
        assert np.shape(site_mean) == np.shape(site_sd) == site.shape
        np.testing.assert_allclose(np.ravel(site_mean), posterior.mean[part])
        np.testing.assert_allclose(np.ravel(site_sd), posterior.sd[part])
        marginal = posterior.marginals[site.name]
        assert marginal.event_shape == site.shape
        np.testing.assert_allclose(marginal.mean, site_mean)
        np.testing.assert_allclose(marginal.variance, site_sd**2)
        values = marginal.sample(jax.random.key(2), (4,))
        expected = stats.multivariate_normal(mean[part], covariance[part, part]).logpdf(values.reshape(4, -1))
        np.testing.assert_allclose(marginal.log_prob(values), expected, atol=1e-7)


def check_predictive(new, values, joint_log_evidence, log_evidence) -> None:
    """log p(y_new | y) = log p(y, y_new) - log p(y)."""
    np.testing.assert_allclose(new.log_prob(values), joint_log_evidence - log_evidence, rtol=1e-8)
