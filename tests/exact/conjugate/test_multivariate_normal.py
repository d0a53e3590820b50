"""Multivariate normal of unknown mean and covariance, against SciPy's densities, quadrature, draws and NUTS."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.compilations import count_compilations
from tests.exact.checks import check_constrained_density, check_density, check_draws, check_mean, check_modes
from tests.exact.conjugate.conjugate_checks import check_marginal_draws, check_pickle, check_predictive
from tests.typecheck import as_users_call_it
from vi_toolkit import exact
from vi_toolkit.exact.conjugate._normal_inverse_wishart import chi_mean, chi_variance
from vi_toolkit.targets.target import constrain_draws, log_densities

COUNT, DEGREES = 0.7, 4.5
M0 = np.array([0.5, -1.0, 2.0])
P0 = np.array([[2.0, 0.6, -0.3], [0.6, 1.5, 0.2], [-0.3, 0.2, 1.0]])
MIXING = np.array([[1.0, 0.0, 0.0], [0.8, 0.7, 0.0], [-0.5, 0.3, 1.2]])


def data(n, d):
    return np.random.default_rng(3).normal(size=(n, 3))[:, :d] @ MIXING[:d, :d].T


def posterior(n=6, d=3, y=None, **change):
    settings = {"prior_mean": M0[:d], "prior_count": COUNT, "degrees_of_freedom": DEGREES, "scale": P0[:d, :d]}
    return exact.multivariate_normal(data(n, d) if y is None else y, **(settings | change))


def after(y):
    """k, nu, m and P, row by row."""
    d = y.shape[1]
    k, nu, m, P = COUNT, DEGREES, M0[:d], P0[:d, :d]
    for row in y:
        P = P + k / (k + 1) * np.outer(row - m, row - m)
        m = (k * m + row) / (k + 1)
        k, nu = k + 1, nu + 1
    return k, nu, m, P


def student_t(k, nu, m, P, factor=1.0):
    degrees = nu - len(m) + 1
    return stats.multivariate_t(m, factor * P / (k * degrees), df=degrees)


@pytest.mark.parametrize(("n", "d"), [(6, 3), (1, 2), (4, 1), (2, 3)])
def test_evidence_row_by_row(n, d):
    """Each row is a Student-t given the rows before it."""
    y = data(n, d)
    parts = []
    for i in range(n):
        k, *rest = after(y[:i])
        parts.append(student_t(k, *rest, factor=k + 1).logpdf(y[i]))
    np.testing.assert_allclose(posterior(n, d).log_evidence, np.sum(parts), rtol=1e-11)


def test_evidence_in_other_units():
    """In y A' the density of the data is divided by |A| for each row."""
    A = np.array([[2.0, 0.3, 0.0], [0.0, 0.5, -1.0], [1.0, 0.0, 3.0]])
    other = posterior(y=data(6, 3) @ A.T, prior_mean=A @ M0, scale=A @ P0 @ A.T)
    expected = posterior().log_evidence - 6 * np.linalg.slogdet(A)[1]
    np.testing.assert_allclose(other.log_evidence, expected, rtol=1e-11)


def test_one_column_is_normal_inverse_gamma():
    y = data(4, 1)
    found = posterior(4, 1)
    one = exact.normal_unknown_mean_and_variance(
        y[:, 0], prior_mean=M0[0], prior_count=COUNT, shape=DEGREES / 2, rate=P0[0, 0] / 2
    )
    np.testing.assert_allclose(found.log_evidence, one.log_evidence, rtol=1e-12)
    # z = (log of the precision's root, mean) instead of (log variance, mean)
    np.testing.assert_allclose(found.mean, one.mean * [-0.5, 1.0], rtol=1e-12)
    np.testing.assert_allclose(found.covariance, one.covariance * np.outer([-0.5, 1.0], [-0.5, 1.0]), rtol=1e-12)
    for moments in zip(found.constrained_moments["covariance"], one.constrained_moments["variance"], strict=True):
        np.testing.assert_allclose(np.squeeze(moments[0]), moments[1], rtol=1e-12)
    check_constrained_density(found, 2)
    check_draws(found)


def log_joint(y, L, mu):
    """log p(L, mu | y) in the model's own space: Q = L L' is Wishart, with |dQ / dL| = 2^d prod_j L_jj^(d-j)."""
    k, nu, m, P = after(y)
    d = len(mu)
    volume = d * np.log(2.0) + np.sum((d - np.arange(d)) * np.log(np.diag(L)))
    of_mean = stats.multivariate_normal(m, np.linalg.inv(k * L @ L.T)).logpdf(mu)
    return stats.wishart(nu, np.linalg.inv(P)).logpdf(L @ L.T) + volume + of_mean


def test_density_is_a_wishart_and_a_normal():
    found = posterior()
    points = found.sample(jax.random.key(1), 3)
    expected = []
    for z in points:
        sites = found.target.constrain(z)
        L, mu = np.asarray(sites["precision_root"]), np.asarray(sites["mean"])
        log_p = log_joint(data(6, 3), L, mu)
        np.testing.assert_allclose(found.log_prob_constrained(sites), log_p, atol=1e-8)
        np.testing.assert_allclose(sites["covariance"], np.linalg.inv(L @ L.T), rtol=1e-8)
        expected.append(log_p + np.log(np.diag(L)).sum())
    check_density(found, np.asarray(points), np.array(expected), atol=1e-8)


def test_draws_and_modes():
    check_draws(posterior())
    check_modes(posterior())


def test_covariance_of_two_columns_by_quadrature():
    """z = (L_10, log L_00, log L_11, mu), where L = T B: integrals over the chi distributions of B_00 and B_11."""
    found = posterior(5, 2)
    _, nu, m, P = after(data(5, 2))
    T = np.linalg.cholesky(np.linalg.inv(P))
    chi = [stats.chi(nu), stats.chi(nu - 1)]

    def expect(j, function):
        nodes, weights = np.polynomial.legendre.leggauss(400)
        b = 8.0 * (nodes + 1.0)
        return 8.0 * weights @ (chi[j].pdf(b) * function(b))

    b, b2, log_b = expect(0, lambda b: b), expect(0, lambda b: b**2), expect(0, np.log)
    mean = [T[1, 0] * b, np.log(T[0, 0]) + log_b, np.log(T[1, 1]) + expect(1, np.log), *m]
    np.testing.assert_allclose(found.mean, mean, rtol=1e-9)
    covariance = np.zeros((3, 3))
    covariance[0, 0] = T[1, 0] ** 2 * (b2 - b**2) + T[1, 1] ** 2
    covariance[0, 1] = covariance[1, 0] = T[1, 0] * (expect(0, lambda b: b * np.log(b)) - b * log_b)
    covariance[1, 1] = expect(0, lambda b: np.log(b) ** 2) - log_b**2
    covariance[2, 2] = expect(1, lambda b: np.log(b) ** 2) - expect(1, np.log) ** 2
    np.testing.assert_allclose(found.covariance[:3, :3], covariance, rtol=1e-8, atol=1e-12)


def test_the_variance_of_chi_keeps_its_digits():
    """It is 1/2 - 1/(8k) + O(k^-2); the difference k - E[chi]^2 would have lost them."""
    k = np.array([1.0, 2.0, 1e8, 1e12])
    expected = [1.0 - 2.0 / np.pi, 2.0 - np.pi / 2.0, 0.5 - 1.0 / 8e8, 0.5]
    np.testing.assert_allclose(chi_variance(k), expected, rtol=1e-12)
    near = np.array([80.0, 80.0 + 1e-9])  # on both sides of where the series begins
    np.testing.assert_allclose(*chi_variance(near), rtol=1e-10)
    np.testing.assert_allclose(chi_mean(k[:2]), np.sqrt([2.0 / np.pi, np.pi / 2.0]), rtol=1e-13)


@pytest.mark.slow
def test_by_nuts():
    found = posterior(8, 2)
    run = exact.reference(jax.random.key(5), found.target, num_warmup=500, num_draws=1500)
    assert np.all(np.abs(run.mean - found.mean) < 5.0 * run.mcse)
    np.testing.assert_allclose(np.sqrt(np.diag(run.covariance)), found.sd, rtol=0.08)


def test_marginals():
    found = posterior()
    k, nu, m, P = after(data(6, 3))
    point = np.array([0.1, -0.4, 1.0])
    np.testing.assert_allclose(
        found.marginals["mean"].log_prob(point), student_t(k, nu, m, P).logpdf(point), rtol=1e-10
    )
    S = P / 5.0 + 0.1
    np.testing.assert_allclose(found.marginals["covariance"].log_prob(S), stats.invwishart(nu, P).logpdf(S), rtol=1e-10)
    L = np.linalg.cholesky(np.linalg.inv(S))
    # p(L) p(mu | L) = p(L, mu)
    of_mean = stats.multivariate_normal(m, S / k).logpdf(point)
    np.testing.assert_allclose(
        found.marginals["precision_root"].log_prob(L), log_joint(data(6, 3), L, point) - of_mean, rtol=1e-10
    )
    for j in range(3):
        t = stats.t(nu - 2, m[j], np.sqrt(P[j, j] / (k * (nu - 2))))
        check_marginal_draws(found, "mean", (j,), t.cdf)
        check_marginal_draws(found, "covariance", (j, j), stats.invgamma((nu - 2) / 2, scale=P[j, j] / 2).cdf)


def test_constrained_moments():
    found = posterior(10, 3)
    draws = constrain_draws(found.target, np.asarray(found.sample(jax.random.key(2), 40_000)))
    for site in ("precision_root", "mean", "covariance"):
        mean, sd = found.constrained_moments[site]
        values = np.asarray(draws[site]).reshape(40_000, -1)
        check_mean(values, np.ravel(mean))
        check_mean((values - np.ravel(mean)) ** 2, np.ravel(sd) ** 2)
    _, nu, _, P = after(data(10, 3))
    of_covariance, sd = found.constrained_moments["covariance"]
    np.testing.assert_allclose(of_covariance, P / (nu - 4), rtol=1e-12)
    np.testing.assert_allclose(sd**2, stats.invwishart(nu, P).var(), rtol=1e-11)


def test_predictive():
    found = posterior()
    for new in (np.zeros(3), np.array([2.0, -3.0, 1.0])):
        check_predictive(found.predictive(), found, posterior(y=np.vstack([data(6, 3), new])), new)
    again = check_pickle(found)
    assert again.predictive().log_prob(np.ones(3)) == found.predictive().log_prob(np.ones(3))


def test_moments_that_do_not_exist_are_left_out():
    few = posterior(1, 3, degrees_of_freedom=3.0)  # nu = d + 1
    assert few.covariance is None
    assert set(few.constrained_moments) == {"precision_root"}
    some = posterior(2, 3, degrees_of_freedom=3.0)  # nu = d + 2
    assert set(some.constrained_moments) == {"precision_root", "mean"}
    check_draws(posterior(4, 3, degrees_of_freedom=2.5), 20_000)


def test_nearly_collinear_columns_keep_their_digits():
    """The third column is the sum of the others but for 1e-5; the factor T is that of the stacked rows."""
    y = data(12, 2)
    y = np.column_stack([y, y.sum(axis=1) + 1e-5 * np.random.default_rng(0).normal(size=12)])
    found = posterior(y=y, scale=1e-12 * np.eye(3), prior_mean=np.zeros(3))
    to_difference = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, -1.0, 1.0]])
    other = posterior(
        y=y @ to_difference.T, scale=1e-12 * to_difference @ to_difference.T, prior_mean=np.zeros(3)
    )  # |to_difference| = 1
    np.testing.assert_allclose(found.log_evidence, other.log_evidence, rtol=1e-9)
    assert np.isfinite(found.log_prob(jnp.asarray(found.modes[0])))


@pytest.mark.no_compilation_cache
def test_other_data_and_hyperparameters_compile_nothing():
    z = np.zeros((4, 2))
    log_densities(posterior(4, 1).target, z).block_until_ready()
    other = posterior(y=data(4, 1) + 1.0, d=1, prior_count=2.0, scale=[[3.0]])
    count, values = count_compilations(lambda: log_densities(other.target, z).block_until_ready())
    assert count == 0
    assert np.all(values != log_densities(posterior(4, 1).target, z))


@pytest.mark.any_precision
def test_either_precision():
    atol = 1e-8 if jax.config.jax_enable_x64 else 2e-3
    found = posterior(6, 2)
    z = found.sample(jax.random.key(0), 1)[0]
    sites = found.target.constrain(z)
    L, mu = np.asarray(sites["precision_root"], np.float64), np.asarray(sites["mean"], np.float64)
    expected = log_joint(data(6, 2), L, mu) + np.log(np.diag(L)).sum()
    np.testing.assert_allclose(found.log_prob(z), expected, atol=atol)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y": [1.0, 2.0]}, ValueError, "y: expected 2 axes"),
        ({"y": np.zeros((0, 2))}, ValueError, "y: it is empty"),
        ({"y": [[1.0, np.inf]]}, ValueError, "y: 1 of 2 entries are NaN or infinite"),
        ({"y": [["a", "b"]]}, TypeError, "y: expected numbers"),
        ({"prior_mean": [0.0]}, ValueError, "prior_mean: expected 2 numbers, one for each column of y, got 1"),
        ({"prior_count": 0.0}, ValueError, "prior_count: expected a finite number above 0"),
        ({"degrees_of_freedom": 1.0}, ValueError, "degrees_of_freedom: expected more than d - 1 = 1"),
        ({"scale": 1.0}, ValueError, "scale: expected 2 axes"),
        ({"scale": np.eye(3)}, ValueError, r"scale: expected shape \(2, 2\)"),
        ({"scale": [[1.0, 0.5], [0.0, 1.0]]}, ValueError, "scale: expected a symmetric matrix"),
        ({"scale": [[1.0, 2.0], [2.0, 1.0]]}, ValueError, "scale: expected a positive definite matrix"),
    ],
)
def test_bad_input(change, error, message):
    arguments = {
        "y": [[1.0, 2.0], [3.0, 4.0]],
        "prior_mean": [0.0, 0.0],
        "prior_count": 1.0,
        "degrees_of_freedom": 3.0,
        "scale": np.eye(2),
    } | change
    with pytest.raises(error, match=message):
        as_users_call_it(exact.multivariate_normal)(arguments.pop("y"), **arguments)
