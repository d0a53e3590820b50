"""Gaussian vectors seen through linear maps, against textbook formulas, SciPy's normals, quadrature and evidences."""

from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.linalg import block_diag

from tests.exact.checks import check_agreement, check_density
from tests.exact.gaussian.gaussian_checks import check_gaussian, check_moments, check_predictive
from tests.typecheck import as_users_call_it
from vi_toolkit import exact
from vi_toolkit.targets.target import log_densities

OFFSET = 0.3


def problem(n, d, seed=0):
    """A map, observations, and a correlated prior and noise."""
    generator = np.random.default_rng(seed)
    A, y, prior_mean = generator.normal(size=(n, d)), generator.normal(size=n), generator.normal(size=d)
    covariances = [M @ M.T + 0.3 * np.eye(len(M)) for M in (generator.normal(size=(k, k)) for k in (d, n))]
    return (
        A,
        y,
        {
            "prior_mean": prior_mean,
            "prior_covariance": covariances[0],
            "noise_covariance": covariances[1],
            "offset": OFFSET * generator.normal(size=n),
        },
    )


def by_precisions(A, y, prior_mean, prior_covariance, noise_covariance, offset):
    """The other form of the textbook, with inverses: (S^-1 + A' R^-1 A)^-1."""
    prior_precision, noise_precision = np.linalg.inv(prior_covariance), np.linalg.inv(noise_covariance)
    covariance = np.linalg.inv(prior_precision + A.T @ noise_precision @ A)
    return covariance @ (prior_precision @ prior_mean + A.T @ noise_precision @ (y - offset)), covariance


def log_evidence(A, y, prior_mean, prior_covariance, noise_covariance, offset):
    covariance = A @ prior_covariance @ A.T + noise_covariance
    return stats.multivariate_normal(A @ prior_mean + offset, covariance).logpdf(y)


@pytest.mark.parametrize(
    ("n", "d", "check"),
    [
        (6, 3, check_gaussian),
        (2, 4, check_gaussian),
        (1, 1, check_moments),
        (1, 3, check_moments),
        (4, 1, check_moments),
    ],
)
def test_closed_form(n, d, check):
    A, y, rest = problem(n, d)
    posterior = exact.linear_gaussian(A, y, **rest)
    check(posterior, *by_precisions(A, y, **rest), log_evidence(A, y, **rest))


def test_against_quadrature():
    """Sums over a grid of the plane, which converge faster than any power of its spacing."""
    A, y, rest = problem(3, 2)
    posterior = exact.linear_gaussian(A, y, **rest)
    u = np.linspace(-9.0, 9.0, 73)
    points = posterior.mean + 1.4 * np.stack(np.meshgrid(u * posterior.sd[0], u * posterior.sd[1]), axis=-1)
    points = points.reshape(-1, 2)
    density = np.exp(np.asarray(log_densities(posterior.target, jnp.asarray(points))))
    cell = (1.4 * 0.25) ** 2 * posterior.sd.prod()
    mean = density @ points / density.sum()
    covariance = (density[:, None] * (points - mean)).T @ (points - mean) / density.sum()
    np.testing.assert_allclose(np.log(density.sum() * cell), posterior.log_evidence, rtol=1e-10)
    np.testing.assert_allclose(posterior.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(posterior.covariance, covariance, rtol=1e-9)


def test_is_linear_regression_for_independent_noise():
    A, y, _ = problem(5, 2)
    regression = exact.linear_regression(A, y, noise_sd=0.7, prior_sd=1.5)
    posterior = exact.linear_gaussian(
        A, y, prior_mean=np.zeros(2), prior_covariance=1.5**2 * np.eye(2), noise_covariance=0.7**2 * np.eye(5)
    )
    check_agreement(regression, posterior, 1e-12)


def test_a_vague_prior_loses_nothing():
    """A prior of sd 10^7 and noise of sd 10^-3 keep 12 digits, against exact fractions."""
    posterior = exact.linear_gaussian(
        [[1.0, 0.0], [1.0, 1.0]],
        [1.0, 3.0],
        prior_mean=[0.0, 0.0],
        prior_covariance=1e14 * np.eye(2),
        noise_covariance=1e-6 * np.eye(2),
    )
    prior, noise = Fraction(1, 10**14), Fraction(10**6)  # precisions
    a, b, c = prior + 2 * noise, noise, prior + noise
    determinant = a * c - b * b
    expected = [[c / determinant, -b / determinant], [-b / determinant, a / determinant]]
    np.testing.assert_allclose(posterior.covariance, np.array(expected, dtype=float), rtol=1e-8)
    mean = [(c * 4 - b * 3) * noise / determinant, (a * 3 - b * 4) * noise / determinant]
    np.testing.assert_allclose(posterior.mean, np.array(mean, dtype=float), rtol=1e-12)


def test_predictive_is_a_ratio_of_evidences():
    A, y, rest = problem(3, 2)
    posterior = exact.linear_gaussian(A, y, **rest)
    A_new, noise_new = np.array([[0.5, -1.0], [2.0, 1.0]]), np.array([[1.0, 0.4], [0.4, 0.6]])
    offset_new, y_new = np.array([0.1, -0.7]), np.array([0.3, 1.9])
    joint = exact.linear_gaussian(
        np.vstack([A, A_new]),
        np.append(y, y_new),
        prior_mean=rest["prior_mean"],
        prior_covariance=rest["prior_covariance"],
        noise_covariance=block_diag(rest["noise_covariance"], noise_new),
        offset=np.append(rest["offset"], offset_new),
    )
    new = posterior.predictive(A_new, noise_new, offset=offset_new)
    check_predictive(new, y_new, joint.log_evidence, posterior.log_evidence)
    np.testing.assert_allclose(new.mean, A_new @ posterior.mean + offset_new)
    np.testing.assert_allclose(new.covariance_matrix, A_new @ posterior.covariance @ A_new.T + noise_new)


@pytest.mark.any_precision
def test_density_in_any_precision():
    A, y, rest = problem(4, 3)
    posterior = exact.linear_gaussian(A, y, **rest)
    mean, covariance = by_precisions(A, y, **rest)
    points = mean + np.random.default_rng(1).normal(size=(4, 3))
    exactness = 1e-9 if jnp.result_type(float) == jnp.float64 else 1e-4
    check_density(posterior, points, stats.multivariate_normal(mean, covariance).logpdf(points), atol=exactness)


def call(**changes):
    A, y, rest = problem(2, 2)
    return as_users_call_it(exact.linear_gaussian)(**{"A": A, "y": y, **rest, **changes})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"A": [1.0, 2.0]}, ValueError, "A: expected 2 axes"),
        ({"A": "x"}, TypeError, "A: expected numbers"),
        ({"A": np.zeros((0, 2)), "y": []}, ValueError, "A: it is empty"),
        ({"y": [1.0]}, ValueError, "y: expected one value for each of the 2 rows of A, got 1"),
        ({"y": [1.0, np.nan]}, ValueError, "y: 1 of 2 entries are NaN"),
        ({"prior_mean": [0.0]}, ValueError, "prior_mean: expected one value for each of the 2 columns of A"),
        ({"prior_covariance": 2.0}, ValueError, "prior_covariance: expected a matrix of shape .2, 2., got 2.0"),
        ({"prior_covariance": np.eye(3)}, ValueError, "prior_covariance: expected shape .2, 2., got"),
        ({"noise_covariance": [[1.0, 2.0], [2.0, 1.0]]}, ValueError, "smallest eigenvalue is -1"),
        ({"noise_covariance": [[1.0, 0.1], [0.2, 1.0]]}, ValueError, "differs from its transpose by up to 0.1"),
        ({"offset": [1.0]}, ValueError, "offset: expected one number, or one for each of the 2 rows"),
        ({"offset": "x"}, TypeError, "offset: expected numbers"),
        ({"offset": np.inf}, ValueError, "offset: 1 of 1 entries are NaN or infinite"),
    ],
)
def test_bad_input(changes, error, message):
    with pytest.raises(error, match=message):
        call(**changes)


def test_bad_predictive_input():
    predictive = call().predictive
    with pytest.raises(ValueError, match=r"A: expected shape \(new observations, 2\)"):
        predictive([[1.0]], [[1.0]])
    with pytest.raises(ValueError, match=r"noise_covariance: expected shape \(1, 1\)"):
        predictive([[1.0, 2.0]], np.eye(2))
