"""Linear regression, noise known and unknown, against SciPy's multivariate densities."""

import jax
import numpy as np
import pytest
from scipy import integrate, stats

from tests.compilations import count_compilations
from tests.exact.checks import check_agreement, check_density, check_draws, check_modes
from tests.typecheck import as_users_call_it
from vi_toolkit import exact, from_numpyro
from vi_toolkit.targets.target import constrain_draws, log_densities

HYPER = {"prior_sd": 1.5, "shape": 2.0, "rate": 3.0}


def data(n=12, d=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * [1.0, 5.0, 0.3][:d] + 1.0
    return X, X @ np.array([1.0, -2.0, 0.5])[:d] + rng.normal(size=n)


def known_noise(n=12, d=3, seed=0):
    return exact.linear_regression(*data(n, d, seed), noise_sd=0.7, prior_sd=1.5)


def unknown_noise(n=12, d=3, seed=0):
    return exact.linear_regression_unknown_noise(*data(n, d, seed), **HYPER)


@pytest.mark.parametrize(("n", "d"), [(12, 3), (2, 3), (1, 1)])
def test_known_noise_is_the_gaussian_of_its_precision(n, d):
    X, y = data(n, d)
    posterior = known_noise(n, d)
    precision = X.T @ X / 0.7**2 + np.eye(d) / 1.5**2
    mean = np.linalg.solve(precision, X.T @ y / 0.7**2)
    np.testing.assert_allclose(posterior.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(posterior.covariance, np.linalg.inv(precision), rtol=1e-9)
    marginal = stats.multivariate_normal(np.zeros(n), 0.7**2 * np.eye(n) + 1.5**2 * X @ X.T)
    np.testing.assert_allclose(posterior.log_evidence, marginal.logpdf(y), rtol=1e-11)
    points = np.random.default_rng(1).normal(size=(5, d))
    expected = stats.multivariate_normal(mean, np.linalg.inv(precision)).logpdf(points)
    check_density(posterior, points, expected, atol=1e-7)


def test_known_noise_by_quadrature():
    X, y = data(5, 1)
    posterior = known_noise(5, 1)

    def joint(beta):
        return np.prod(stats.norm.pdf(y, X[:, 0] * beta, 0.7)) * stats.norm.pdf(beta, 0.0, 1.5)

    evidence, _ = integrate.quad(joint, -5, 5, epsrel=1e-12, epsabs=0.0, points=[posterior.mean[0]])
    np.testing.assert_allclose(posterior.log_evidence, np.log(evidence), rtol=1e-10)


def test_known_noise_draws():
    posterior = known_noise()
    draws = check_draws(posterior)
    sites = constrain_draws(posterior.target, draws)
    mean, sd = posterior.constrained_moments["beta"]
    np.testing.assert_allclose(np.mean(sites["beta"], axis=0), mean, atol=5 * np.max(sd) / np.sqrt(len(draws)))
    np.testing.assert_allclose(sd, posterior.sd)
    check_modes(posterior)


def test_nearly_collinear_columns_keep_their_digits():
    """The normal equations would square the condition number 1e9, and lose everything."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=50)
    X = np.stack([x, x + 1e-9 * rng.normal(size=50)], axis=1)
    posterior = exact.linear_regression(X, x + rng.normal(size=50), noise_sd=1.0, prior_sd=1e6)
    # sum and difference of the coefficients are nearly independent: the difference keeps its prior, sd 1e6 sqrt(2),
    # but for one part in (1e6 1e-9 sqrt(50))^2
    difference = np.array([1.0, -1.0]) @ posterior.covariance @ np.array([1.0, -1.0])
    np.testing.assert_allclose(difference, 2e12, rtol=1e-3)
    total = np.array([1.0, 1.0]) @ posterior.covariance @ np.array([1.0, 1.0])
    np.testing.assert_allclose(total, 1.0 / (x @ x), rtol=0.05)


@pytest.mark.parametrize(("n", "d"), [(12, 3), (2, 3), (1, 1)])
def test_unknown_noise_evidence_is_a_student_t(n, d):
    X, y = data(n, d)
    scale = HYPER["rate"] / HYPER["shape"] * (np.eye(n) + HYPER["prior_sd"] ** 2 * X @ X.T)
    expected = stats.multivariate_t(np.zeros(n), scale, df=2 * HYPER["shape"]).logpdf(y)
    np.testing.assert_allclose(unknown_noise(n, d).log_evidence, expected, rtol=1e-10)


def test_unknown_noise_density_factorises():
    X, y = data()
    posterior = unknown_noise()
    A = X.T @ X + np.eye(3) / HYPER["prior_sd"] ** 2
    mean = np.linalg.solve(A, X.T @ y)
    a, b = HYPER["shape"] + len(y) / 2, HYPER["rate"] + 0.5 * (y @ y - mean @ A @ mean)
    points = posterior.mean + np.random.default_rng(1).normal(size=(6, 4)) * posterior.sd
    expected = [
        stats.invgamma.logpdf(np.exp(log_v), a, scale=b)
        + log_v
        + stats.multivariate_normal(mean, np.exp(log_v) * np.linalg.inv(A)).logpdf(beta)
        for log_v, *beta in points
    ]
    check_density(posterior, points, np.array(expected), atol=1e-7)
    variance = stats.invgamma(a, scale=b)
    np.testing.assert_allclose(posterior.constrained_moments["variance"], [variance.mean(), variance.std()])
    np.testing.assert_allclose(posterior.sd[1:], np.sqrt(b / (a - 1) * np.diag(np.linalg.inv(A))))
    np.testing.assert_allclose(posterior.constrained_moments["beta"][1], posterior.sd[1:])
    draws = check_draws(posterior)
    t = stats.t(2 * a, mean[1], np.sqrt(b / a * np.linalg.inv(A)[1, 1]))
    assert stats.kstest(draws[:, 2], t.cdf).pvalue > 1e-4
    assert stats.kstest(np.exp(draws[:, 0]), variance.cdf).pvalue > 1e-4
    check_modes(posterior)


def test_unknown_noise_by_quadrature():
    posterior = unknown_noise(6, 1)
    check_agreement(posterior, exact.grid(posterior.target), 1e-7)


def test_moments_that_do_not_exist_are_none():
    X, y = data(1, 1)
    barely = exact.linear_regression_unknown_noise(X, y, prior_sd=1.0, shape=0.5, rate=1.0)  # a = 1
    assert barely.covariance is None
    assert barely.constrained_moments == {}
    some = exact.linear_regression_unknown_noise(X, y, prior_sd=1.0, shape=1.5, rate=1.0)  # a = 2
    assert some.covariance is not None
    assert set(some.constrained_moments) == {"beta"}


def test_the_model_gives_the_target():
    posterior = unknown_noise()
    again = from_numpyro(posterior.model, *posterior.args, **posterior.kwargs)
    z = posterior.sample(jax.random.key(0), 3)
    np.testing.assert_array_equal(log_densities(again, z), log_densities(posterior.target, z))


@pytest.mark.no_compilation_cache
@pytest.mark.parametrize("make", [known_noise, unknown_noise])
def test_other_data_and_hyperparameters_compile_nothing(make):
    z = np.zeros((4, make().dim))
    log_densities(make().target, z).block_until_ready()
    count, _ = count_compilations(lambda: log_densities(make(seed=1).target, z).block_until_ready())
    assert count == 0


@pytest.mark.any_precision
def test_moments_are_double_in_either_precision():
    X, _ = data()
    precision = X.T @ X / 0.7**2 + np.eye(3) / 1.5**2
    posterior = known_noise()
    np.testing.assert_allclose(posterior.covariance, np.linalg.inv(precision), rtol=1e-9)
    z = posterior.sample(jax.random.key(0), 1)
    expected = stats.multivariate_normal(posterior.mean, posterior.covariance).logpdf(np.asarray(z))
    atol = 1e-7 if jax.config.jax_enable_x64 else 1e-3
    check_density(posterior, z, np.atleast_1d(expected), atol)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"X": [1.0, 2.0]}, ValueError, "X: expected 2 axes"),
        ({"X": [["a"], ["b"]]}, TypeError, "X: expected numbers"),
        ({"X": np.zeros((0, 2)), "y": []}, ValueError, "X: it is empty"),
        ({"X": [[1.0], [np.nan]]}, ValueError, "X: 1 of 2 entries are NaN"),
        ({"y": [1.0]}, ValueError, "y: expected one value for each of the 2 rows of X, got 1"),
        ({"y": [[1.0], [2.0]]}, ValueError, "y: expected 1 axis"),
        ({"prior_sd": 0.0}, ValueError, "prior_sd: expected a finite number above 0"),
        ({"prior_sd": "wide"}, TypeError, "prior_sd: expected a positive number"),
    ],
)
@pytest.mark.parametrize(
    ("function", "settings"),
    [
        (exact.linear_regression, {"noise_sd": 1.0, "prior_sd": 1.0}),
        (exact.linear_regression_unknown_noise, {"prior_sd": 1.0, "shape": 1.0, "rate": 1.0}),
    ],
)
def test_bad_input(function, settings, change, error, message):
    arguments = {"X": [[1.0], [2.0]], "y": [1.0, 2.0]} | settings | change
    with pytest.raises(error, match=message):
        as_users_call_it(function)(arguments.pop("X"), arguments.pop("y"), **arguments)


@pytest.mark.parametrize("name", ["shape", "rate"])
def test_bad_hyperparameters(name):
    with pytest.raises(ValueError, match=f"{name}: expected a finite number above 0, got -1"):
        exact.linear_regression_unknown_noise([[1.0]], [1.0], **(HYPER | {name: -1.0}))
    with pytest.raises(ValueError, match="noise_sd: expected a finite number above 0"):
        exact.linear_regression([[1.0]], [1.0], noise_sd=np.inf, prior_sd=1.0)
