"""Linear regression under Zellner's g-prior, against SciPy's Student-t, the ridge prior and quadrature."""

import jax
import numpy as np
import pytest
from scipy import stats

from tests.compilations import count_compilations
from tests.exact.checks import (
    check_agreement,
    check_constrained_density,
    check_density,
    check_draws,
    check_modes,
)
from tests.exact.conjugate.conjugate_checks import check_marginal_draws, check_pickle
from tests.typecheck import as_users_call_it
from vi_toolkit import exact
from vi_toolkit.targets.target import log_densities

HYPER = {"g": 5.0, "shape": 2.0, "rate": 3.0}


def data(n=9, d=3):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d)) * [1.0, 5.0, 0.3][:d] + 1.0
    return X, X @ np.array([1.0, -2.0, 0.5])[:d] + rng.normal(size=n)


def posterior(n=9, d=3):
    return exact.linear_regression_g_prior(*data(n, d), **HYPER)


@pytest.mark.parametrize(("n", "d"), [(9, 3), (3, 3), (1, 1)])
def test_evidence_is_a_student_t(n, d):
    X, y = data(n, d)
    hat = X @ np.linalg.solve(X.T @ X, X.T)
    scale = HYPER["rate"] / HYPER["shape"] * (np.eye(n) + HYPER["g"] * hat)
    expected = stats.multivariate_t(np.zeros(n), scale, df=2 * HYPER["shape"]).logpdf(y)
    np.testing.assert_allclose(posterior(n, d).log_evidence, expected, rtol=1e-10)


def test_it_is_the_ridge_prior_in_orthonormal_columns():
    """For X'X = I the prior is beta ~ N(0, g v I), which linear_regression_unknown_noise has too."""
    X, y = data()
    X = np.linalg.qr(X)[0]
    found = exact.linear_regression_g_prior(X, y, **HYPER)
    ridge = exact.linear_regression_unknown_noise(X, y, prior_sd=5.0**0.5, shape=2.0, rate=3.0)
    check_agreement(found, ridge, 1e-10)
    np.testing.assert_allclose(found.modes, ridge.modes, rtol=1e-10, atol=1e-12)
    new = np.array([[0.3, -1.0, 2.0]])
    np.testing.assert_allclose(found.predictive(new).log_prob(1.0), ridge.predictive(new).log_prob(1.0), rtol=1e-10)


def test_other_units_of_the_columns_change_nothing():
    """The prior goes with the design: only the coefficients are in other units."""
    X, y = data()
    A = np.array([[1.0, 2.0, 0.0], [0.0, 1e4, 1.0], [3.0, 0.0, 1e-3]])
    other = exact.linear_regression_g_prior(X @ A, y, **HYPER)
    np.testing.assert_allclose(other.log_evidence, posterior().log_evidence, rtol=1e-11)
    np.testing.assert_allclose(A @ other.mean[1:], posterior().mean[1:], rtol=1e-8)


def test_density_factorises():
    X, y = data()
    found = posterior()
    estimate = np.linalg.lstsq(X, y, rcond=None)[0]
    a = HYPER["shape"] + len(y) / 2
    b = HYPER["rate"] + 0.5 * (np.sum((y - X @ estimate) ** 2) + np.sum((X @ estimate) ** 2) / 6.0)
    inverse = 5.0 / 6.0 * np.linalg.inv(X.T @ X)
    variance = stats.invgamma(a, scale=b)
    points = found.mean + np.random.default_rng(1).normal(size=(6, 4)) * found.sd
    expected = [
        variance.logpdf(np.exp(log_v))
        + log_v
        + stats.multivariate_normal(5.0 / 6.0 * estimate, np.exp(log_v) * inverse).logpdf(beta)
        for log_v, *beta in points
    ]
    check_density(found, points, np.array(expected), atol=1e-7)
    check_constrained_density(found, 2)
    check_draws(found)
    check_modes(found)
    np.testing.assert_allclose(found.constrained_moments["variance"], [variance.mean(), variance.std()])
    np.testing.assert_allclose(found.constrained_moments["beta"][1], np.sqrt(b / (a - 1) * np.diag(inverse)))
    t = stats.multivariate_t(5.0 / 6.0 * estimate, b / a * inverse, df=2 * a)
    beta = estimate + 0.1
    np.testing.assert_allclose(found.marginals["beta"].log_prob(beta), t.logpdf(beta), rtol=1e-9)
    np.testing.assert_allclose(found.marginals["variance"].log_prob(1.3), variance.logpdf(1.3), rtol=1e-11)
    one = stats.t(2 * a, 5.0 / 6.0 * estimate[1], np.sqrt(b / a * inverse[1, 1]))
    check_marginal_draws(found, "beta", (1,), one.cdf)
    check_marginal_draws(found, "variance", (), variance.cdf)


def test_on_the_grid():
    check_agreement(posterior(6, 1), exact.grid(posterior(6, 1).target), 1e-7)


def test_predictive_by_simulation():
    """The g-prior depends on the design, so that a further row is no further datum: its density is over draws."""
    found = posterior()
    rows = np.array([[1.0, 2.0, 0.5], [0.0, 0.0, 0.0]])
    predictive = found.predictive(rows)
    draws = np.asarray(found.sample(jax.random.key(6), 20_000))
    noise = np.random.default_rng(2).normal(size=(20_000, 2)) * np.exp(0.5 * draws[:, :1])
    new = draws[:, 1:] @ rows.T + noise
    for i in range(2):
        t = stats.t(13.0, float(predictive.loc[i]), float(predictive.scale[i]))
        assert stats.kstest(new[:, i], t.cdf).pvalue > 1e-4
    alone = found.predictive(rows[1:])  # of a row of zeros there is only the noise
    np.testing.assert_allclose(alone.loc, [0.0])
    a = HYPER["shape"] + 4.5
    rate = found.constrained_moments["variance"][0] * (a - 1.0)
    np.testing.assert_allclose(alone.scale, [np.sqrt(rate / a)])
    again = check_pickle(found)
    np.testing.assert_array_equal(again.predictive(rows).log_prob(0.5), predictive.log_prob(0.5))


@pytest.mark.no_compilation_cache
def test_other_data_and_hyperparameters_compile_nothing():
    z = np.zeros((4, 4))
    log_densities(posterior().target, z).block_until_ready()
    X, y = data()
    other = exact.linear_regression_g_prior(X + 1.0, 2.0 * y, g=2.0, shape=1.0, rate=1.0)
    count, values = count_compilations(lambda: log_densities(other.target, z).block_until_ready())
    assert count == 0
    assert np.all(values != log_densities(posterior().target, z))


@pytest.mark.any_precision
def test_either_precision():
    """A column that is nearly constant, such as the year, has X'X of condition 1e12; its QR factor has 1e6."""
    year = np.arange(1990.0, 2020.0)
    X = np.column_stack([np.ones(30), year])
    y = 0.1 * (year - 2005.0) + np.random.default_rng(0).normal(size=30)
    found = exact.linear_regression_g_prior(X, y, g=30.0, shape=2.0, rate=1.0)
    centred = exact.linear_regression_g_prior(
        np.column_stack([np.ones(30), year - 2005.0]), y, g=30.0, shape=2.0, rate=1.0
    )
    np.testing.assert_allclose(found.log_evidence, centred.log_evidence, rtol=1e-9)
    np.testing.assert_allclose(found.mean[2], centred.mean[2], rtol=1e-8)
    z = found.sample(jax.random.key(0), 1)[0]
    log_v, *beta = np.asarray(z, np.float64)
    a = 2.0 + 15.0
    b = centred.constrained_moments["variance"][0] * (a - 1.0)
    of_beta = stats.multivariate_normal(centred.mean[1:], np.exp(log_v) * centred.covariance[1:, 1:] * (a - 1.0) / b)
    expected = stats.invgamma.logpdf(np.exp(log_v), a, scale=b) + log_v
    expected += of_beta.logpdf([beta[0] + 2005.0 * beta[1], beta[1]])
    np.testing.assert_allclose(found.log_prob(z), expected, atol=1e-6 if jax.config.jax_enable_x64 else 1e-2)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"X": [1.0, 2.0]}, ValueError, "X: expected 2 axes"),
        ({"y": [1.0]}, ValueError, "y: expected one value for each of the 3 rows of X, got 1"),
        ({"X": np.ones((3, 4))}, ValueError, "X: the g-prior needs at least as many rows as columns, got 3 rows of 4"),
        ({"X": [[1.0, 1e6], [2.0, 2e6], [4.0, 4e6]]}, ValueError, r"got rank 1 of 2: columns \[\d\]"),
        ({"X": [[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]]}, ValueError, r"got rank 1 of 2: columns \[1\] are zero or"),
        ({"g": 0.0}, ValueError, "g: expected a finite number above 0"),
        ({"shape": -1.0}, ValueError, "shape: expected a finite number above 0"),
        ({"rate": "x"}, TypeError, "rate: expected a positive number"),
    ],
)
def test_bad_input(change, error, message):
    arguments = {"X": [[1.0], [2.0], [4.0]], "y": [1.0, 2.0, 2.5]} | HYPER | change
    with pytest.raises(error, match=message):
        as_users_call_it(exact.linear_regression_g_prior)(arguments.pop("X"), arguments.pop("y"), **arguments)


def test_bad_new_rows():
    with pytest.raises(ValueError, match="X: expected rows of 3 entries, as many as the design had columns, got 2"):
        posterior().predictive(np.ones((1, 2)))
    with pytest.raises(ValueError, match="X: expected 2 axes"):
        posterior().predictive(np.ones(3))


def test_columns_in_tiny_units_are_independent():
    X, y = data()
    found = exact.linear_regression_g_prior(X * [1e-12, 1.0, 1e12], y, **HYPER)
    np.testing.assert_allclose(found.log_evidence, posterior().log_evidence, rtol=1e-11)
    rows = np.array([[1.0, 2.0, 0.5]])
    in_units = found.predictive(rows * [1e-12, 1.0, 1e12])
    np.testing.assert_allclose(in_units.log_prob(0.5), posterior().predictive(rows).log_prob(0.5), rtol=1e-9)
