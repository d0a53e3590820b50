"""Gaussian processes, against the formulas with inverses, scikit-learn, and ratios of evidences."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.gaussian_process import GaussianProcessRegressor, kernels

from tests.exact.checks import check_density
from tests.exact.gaussian.gaussian_checks import check_gaussian, check_moments, check_predictive
from tests.typecheck import as_users_call_it
from vi_toolkit import exact

X, Y = np.array([0.0, 0.4, 1.1, 2.5]), np.array([0.3, 0.9, 1.0, -0.8])
NOISE_SD, JITTER = 0.2, 1e-4
SMOOTH = exact.SquaredExponential(length_scale=0.8, amplitude=1.3)
ROUGH = exact.Matern52(length_scale=0.8, amplitude=1.3)


def brownian(x, other):
    """A user's own kernel: min(x, x') of Brownian motion, at inputs above -1."""
    return np.minimum(x, other.T) + 1.0


def textbook(kernel, x, y, noise_sd, jitter):
    """Mean and covariance of f, and log Z, with inverses."""
    K = kernel(x, x) + jitter * np.eye(len(x))
    noisy = K + noise_sd**2 * np.eye(len(x))
    solved = K @ np.linalg.inv(noisy)
    return solved @ y, K - solved @ K, stats.multivariate_normal(np.zeros(len(x)), noisy).logpdf(y)


def test_centred():
    posterior = exact.gaussian_process(X, Y, kernel=brownian, noise_sd=NOISE_SD, jitter=JITTER, centred=True)
    check_gaussian(posterior, *textbook(brownian, X[:, None], Y, NOISE_SD, JITTER))
    assert [site.name for site in posterior.target.sites] == ["f"]


@pytest.mark.parametrize("kernel", [SMOOTH, ROUGH])
def test_kernels(kernel):
    posterior = exact.gaussian_process(X, Y, kernel=kernel, noise_sd=NOISE_SD, jitter=JITTER, centred=True)
    check_moments(posterior, *textbook(kernel, X[:, None], Y, NOISE_SD, JITTER))


def test_non_centred():
    """f = L e, so that e = L^-1 f."""
    mean, covariance, log_evidence = textbook(SMOOTH, X[:, None], Y, NOISE_SD, JITTER)
    back = np.linalg.inv(np.linalg.cholesky(SMOOTH(X[:, None], X[:, None]) + JITTER * np.eye(4)))
    posterior = exact.gaussian_process(X, Y, kernel=SMOOTH, noise_sd=NOISE_SD, jitter=JITTER)
    check_gaussian(posterior, back @ mean, back @ covariance @ back.T, log_evidence)
    found_mean, found_sd = posterior.constrained_moments["f"]
    np.testing.assert_allclose(found_mean, mean, rtol=1e-9)
    np.testing.assert_allclose(found_sd, np.sqrt(np.diag(covariance)), rtol=1e-9)
    np.testing.assert_allclose(posterior.marginals["f"].covariance_matrix, covariance, atol=1e-12)
    np.testing.assert_allclose(posterior.target.constrain(jnp.asarray(posterior.mean))["f"], mean, rtol=1e-9)


@pytest.mark.parametrize(("kernel", "theirs"), [(SMOOTH, kernels.RBF(0.8)), (ROUGH, kernels.Matern(0.8, nu=2.5))])
def test_against_scikit_learn_in_the_plane(kernel, theirs):
    generator = np.random.default_rng(0)
    x, y, x_new = generator.normal(size=(7, 2)), generator.normal(size=7), generator.normal(size=(3, 2))
    posterior = exact.gaussian_process(x, y, kernel=kernel, noise_sd=NOISE_SD, jitter=JITTER)
    regressor = GaussianProcessRegressor(
        kernels.ConstantKernel(1.3**2) * theirs, alpha=NOISE_SD**2 + JITTER, optimizer=None
    ).fit(x, y)
    np.testing.assert_allclose(posterior.log_evidence, regressor.log_marginal_likelihood_value_, rtol=1e-10)
    mean, covariance = regressor.predict(x_new, return_cov=True)
    new = posterior.predictive(x_new, observed=False)
    np.testing.assert_allclose(new.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(new.covariance_matrix, covariance + JITTER * np.eye(3), rtol=1e-9, atol=1e-12)


def test_predictive_is_a_ratio_of_evidences():
    """Also at an input that was there before."""
    x_new, y_new = np.array([0.4, 3.0]), np.array([0.7, 0.1])
    model = {"kernel": ROUGH, "noise_sd": NOISE_SD, "jitter": JITTER}
    posterior = exact.gaussian_process(X, Y, **model)
    joint = exact.gaussian_process(np.append(X, x_new), np.append(Y, y_new), **model)
    check_predictive(posterior.predictive(x_new), y_new, joint.log_evidence, posterior.log_evidence)


def test_jitter_is_a_share_of_the_variance_by_default():
    posterior = exact.gaussian_process(X, Y, kernel=SMOOTH, noise_sd=NOISE_SD)
    explicit = exact.gaussian_process(X, Y, kernel=SMOOTH, noise_sd=NOISE_SD, jitter=1e-6 * 1.3**2)
    assert posterior.log_evidence == explicit.log_evidence
    without = exact.gaussian_process(X, Y, kernel=SMOOTH, noise_sd=NOISE_SD, jitter=0.0)
    np.testing.assert_allclose(without.log_evidence, textbook(SMOOTH, X[:, None], Y, NOISE_SD, 0.0)[2], rtol=1e-10)
    assert 0 < abs(without.log_evidence - posterior.log_evidence) < 1e-3


def test_one_observation():
    posterior = exact.gaussian_process([1.0], [2.0], kernel=SMOOTH, noise_sd=1.0, jitter=0.0, centred=True)
    np.testing.assert_allclose(posterior.mean, [2.0 * 1.69 / 2.69])
    np.testing.assert_allclose(posterior.covariance, [[1.69 / 2.69]])


def test_many_close_inputs():
    """80 inputs whose kernel matrix is singular to working precision."""
    x = np.linspace(0.0, 1.0, 80)
    y = np.sin(6.0 * x)
    posterior = exact.gaussian_process(x, y, kernel=SMOOTH, noise_sd=0.1)
    jitter = 1e-6 * 1.3**2
    mean, covariance, log_evidence = textbook(SMOOTH, x[:, None], y, 0.1, jitter)
    np.testing.assert_allclose(posterior.log_evidence, log_evidence, rtol=1e-9)
    np.testing.assert_allclose(posterior.constrained_moments["f"][0], mean, atol=1e-9)
    np.testing.assert_allclose(posterior.constrained_moments["f"][1], np.sqrt(np.diag(covariance)), rtol=1e-6)


@pytest.mark.any_precision
@pytest.mark.parametrize("centred", [False, True])
def test_density_in_any_precision(centred):
    posterior = exact.gaussian_process(X, Y, kernel=ROUGH, noise_sd=NOISE_SD, centred=centred)
    points = posterior.mean + 0.1 * np.random.default_rng(1).normal(size=(4, 4))
    exactness = 1e-9 if jnp.result_type(float) == jnp.float64 else 1e-3
    normal = stats.multivariate_normal(posterior.mean, posterior.covariance)
    check_density(posterior, points, normal.logpdf(points), atol=exactness)


def zero_kernel(x, other):
    return np.zeros((len(x), len(other)))


def lopsided_kernel(x, other):
    return np.tril(np.ones((len(x), len(other))))


def narrow_kernel(x, other):
    return np.ones(len(x))


def negative_kernel(x, other):
    return -np.eye(len(x))


def undefined_kernel(x, other):
    return np.full((len(x), len(other)), np.nan)


def call(**changes):
    given = {"x": X, "y": Y, "kernel": SMOOTH, "noise_sd": NOISE_SD, **changes}
    return as_users_call_it(exact.gaussian_process)(**given)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": [[[1.0]]]}, ValueError, "x: expected 1 axis"),
        ({"x": "x"}, TypeError, "x: expected numbers"),
        ({"x": []}, ValueError, "x: it is empty"),
        ({"y": [1.0]}, ValueError, "y: expected one value for each of the 4 inputs, got 1"),
        ({"y": [1.0, 2.0, np.inf, 3.0]}, ValueError, "y: 1 of 4 entries are NaN or infinite"),
        ({"kernel": 1.0}, TypeError, "kernel: expected a function of two arrays"),
        ({"kernel": zero_kernel, "jitter": 0.0}, ValueError, "plus the jitter 0 is not positive definite"),
        ({"kernel": negative_kernel, "jitter": 0.1}, ValueError, "smallest eigenvalue -0.9"),
        ({"kernel": lopsided_kernel}, ValueError, "kernel: expected k"),
        (
            {"kernel": narrow_kernel},
            ValueError,
            "kernel: expected the covariances of 4 and 4 inputs, got an array of shape .4,.",
        ),
        ({"kernel": undefined_kernel}, ValueError, "kernel: 16 of 16 entries are NaN"),
        ({"noise_sd": 0.0}, ValueError, "noise_sd: expected a finite number above 0"),
        ({"jitter": -1.0}, ValueError, "jitter: expected a finite number of at least 0"),
        ({"jitter": "x"}, TypeError, "jitter: expected a number"),
    ],
)
def test_bad_input(changes, error, message):
    with pytest.raises(error, match=message):
        call(**changes)


def test_bad_kernels_and_new_inputs():
    for kernel in (exact.SquaredExponential, exact.Matern52):
        with pytest.raises(ValueError, match="length_scale: expected a finite number above 0"):
            kernel(length_scale=0.0, amplitude=1.0)
        with pytest.raises(ValueError, match="amplitude: expected a finite number above 0"):
            kernel(length_scale=1.0, amplitude=-1.0)
    with pytest.raises(ValueError, match=r"x_new: expected shape \(new inputs, 1\)"):
        call().predictive([[1.0, 2.0]])
