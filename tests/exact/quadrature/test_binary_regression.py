"""Logistic and probit regression by quadrature: against SciPy's quadrature, closed forms, a long run of NUTS."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit, log_expit, log_ndtr, ndtr

from tests.exact.checks import check_constrained_density, check_density, check_draws, check_modes
from tests.typecheck import as_users_call_it
from vi_toolkit import datasets, exact

X = np.stack([np.ones(23), (datasets.O_RINGS_FAHRENHEIT - 70.0) / 10.0], axis=1)
Y = datasets.O_RINGS_FAILED
PRIOR_SD = 3.0
ENTRIES = {
    "logistic": (exact.logistic_regression, expit, log_expit),
    "probit": (exact.probit_regression, ndtr, log_ndtr),
}


@pytest.fixture(scope="module", params=ENTRIES)
def entry(request):
    make, link, log_link = ENTRIES[request.param]
    return make(X, Y, prior_sd=PRIOR_SD), link, log_link


def log_joint(log_link, beta):
    score = X @ beta
    return np.sum(log_link(np.where(Y == 1, score, -score))) + np.sum(stats.norm(0, PRIOR_SD).logpdf(beta))


def moments(log_link):
    """The evidence, mean and covariance by the trapezoidal rule, which converges geometrically for such densities."""
    a, b = np.linspace(-9.0, 8.0, 500), np.linspace(-14.0, 9.0, 500)
    beta = np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1).reshape(-1, 2)
    score = beta @ X.T
    log_p = log_link(np.where(Y == 1, score, -score)).sum(axis=1) + stats.norm(0, PRIOR_SD).logpdf(beta).sum(axis=1)
    weights = np.exp(log_p - log_p.max())
    log_evidence = np.log(weights.sum() * (a[1] - a[0]) * (b[1] - b[0])) + log_p.max()
    mean = weights @ beta / weights.sum()
    return log_evidence, mean, (weights[:, None] * (beta - mean)).T @ (beta - mean) / weights.sum()


def test_evidence_and_moments_by_another_rule(entry):
    posterior, _, log_link = entry
    log_evidence, mean, covariance = moments(log_link)
    np.testing.assert_allclose(posterior.log_evidence, log_evidence, atol=2e-8)
    np.testing.assert_allclose(posterior.mean, mean, rtol=1e-7)
    np.testing.assert_allclose(posterior.covariance, covariance, rtol=1e-7)
    np.testing.assert_allclose(posterior.constrained_moments["beta"], [mean, np.sqrt(np.diag(covariance))], rtol=1e-6)


def test_density_modes_and_draws(entry):
    posterior, _, log_link = entry
    points = np.random.default_rng(0).normal(size=(6, 2)) + posterior.mean
    check_density(posterior, points, [log_joint(log_link, beta) - posterior.log_evidence for beta in points])
    check_constrained_density(posterior)
    check_modes(posterior)
    check_draws(posterior)


def test_far_out_the_density_keeps_its_digits(entry):
    """At scores of 30 Phi is one to every digit; its logarithm is not zero."""
    posterior, _, log_link = entry
    beta = np.array([-30.0, 0.0])
    np.testing.assert_allclose(posterior.target.log_density(jnp.asarray(beta)), log_joint(log_link, beta), rtol=1e-12)


def test_predictive_is_a_ratio_of_evidences(entry):
    posterior, _, _ = entry
    make = exact.logistic_regression if posterior.name.startswith("logistic") else exact.probit_regression
    new = np.array([[1.0, -3.9]])  # 31 degrees, the morning of the accident
    more = make(np.vstack([X, new]), np.append(Y, 1), prior_sd=PRIOR_SD)
    probability = float(posterior.predictive(new).probs[0])
    np.testing.assert_allclose(probability, np.exp(more.log_evidence - posterior.log_evidence), rtol=1e-7)
    assert 0.9 < probability < 1.0


@pytest.mark.slow
def test_agrees_with_a_long_run_of_nuts(key, entry):
    posterior, link, _ = entry
    reference = exact.reference(key, posterior.target, num_warmup=500, num_draws=3000)
    assert np.all(np.abs(reference.mean - posterior.mean) < 5 * reference.mcse)
    rows = np.array([[1.0, -1.0], [1.0, 1.0]])
    simulated = link(reference.draws @ rows.T)
    error = 3 * simulated.std(axis=0) / np.sqrt(2000)  # the chains' effective size is above 2000
    assert np.all(np.abs(simulated.mean(axis=0) - np.asarray(posterior.predictive(rows).probs)) < error)


def test_one_probit_response_has_a_closed_form():
    """P(y = 1) = Phi(0) = 1/2, and E[beta | y = 1] = s^2 x / sqrt(1 + s^2 x^2) sqrt(2 / pi)."""
    s, x = 1.7, 0.6
    posterior = exact.probit_regression([[x]], [1.0], prior_sd=s)
    np.testing.assert_allclose(posterior.log_evidence, np.log(0.5), atol=1e-9)
    np.testing.assert_allclose(posterior.mean, s**2 * x / np.sqrt(1 + s**2 * x**2) * np.sqrt(2 / np.pi), rtol=1e-8)
    orthant = stats.multivariate_normal([0, 0], s**2 * np.outer([x, 2.0], [x, 2.0]) + np.eye(2)).cdf([0, 0])
    np.testing.assert_allclose(posterior.predictive([[2.0]]).probs, [orthant / 0.5], rtol=1e-5)


def test_classes_that_can_be_separated():
    """There is no maximum of the likelihood, but a posterior."""
    x = np.linspace(-2.0, 2.0, 9)
    posterior = exact.logistic_regression(x[:, None], (x > 0.2).astype(float), prior_sd=10.0)

    def joint(b):
        return np.exp(np.sum(log_expit(np.where(x > 0.2, x * b, -x * b))) - 0.005 * b**2) / np.sqrt(200 * np.pi)

    total = integrate.quad(joint, -5, 90, epsrel=1e-11, limit=200)[0]
    np.testing.assert_allclose(posterior.log_evidence, np.log(total), atol=1e-8)


def test_pickles(entry):
    posterior, _, _ = entry
    again = pickle.loads(pickle.dumps(posterior))
    np.testing.assert_array_equal(again.sample(jax.random.key(0), 9), posterior.sample(jax.random.key(0), 9))
    np.testing.assert_array_equal(again.predictive(X).probs, posterior.predictive(X).probs)


def test_counts_are_as_many_zeros_and_ones():
    """Grouped data have the evidence of the single ones times the number of their orders, and the same posterior."""
    grouped = exact.logistic_regression([[1.0, -1.0], [1.0, 2.0]], [1, 3], trials=[3, 4], prior_sd=[2.0, 1.0])
    rows, ones = np.repeat([[1.0, -1.0], [1.0, 2.0]], [3, 4], axis=0), [1, 0, 0, 1, 1, 1, 0]
    single = exact.logistic_regression(rows, ones, prior_sd=[2.0, 1.0])
    np.testing.assert_allclose(grouped.log_evidence, single.log_evidence + np.log(3 * 4), atol=2e-8)
    np.testing.assert_allclose(grouped.mean, single.mean, rtol=1e-7)


@pytest.mark.parametrize("make", [exact.logistic_regression, exact.probit_regression])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[1.0]], [2.0]), ValueError, "y: expected at most the number of trials, got 2 of 1 at index 0"),
        (([[1.0]], [1.0, 0.0]), ValueError, "y: expected one value for each of the 1 rows"),
        ((np.ones((2, 4)), [0.0, 1.0]), ValueError, "X: expected one to three columns, got 4"),
        ((np.ones((0, 1)), []), ValueError, "X: it is empty"),
        (([[np.nan]], [1.0]), ValueError, "X: 1 of 1 entries are NaN"),
        (([["a"]], [1.0]), TypeError, "X: expected numbers"),
    ],
)
def test_bad_input(make, arguments, error, message):
    with pytest.raises(error, match=message):
        as_users_call_it(make)(*arguments, prior_sd=1.0)


def test_bad_prior_and_rows(entry):
    with pytest.raises(ValueError, match="prior_sd: expected numbers above 0"):
        exact.logistic_regression([[1.0]], [1.0], prior_sd=0.0)
    with pytest.raises(ValueError, match="X: expected new rows of 2 columns"):
        entry[0].predictive([[1.0]])
