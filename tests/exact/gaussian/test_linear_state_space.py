"""State space models, against the joint normal written out, statsmodels, NumPyro's own, and ratios of evidences."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats
from scipy.linalg import block_diag
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

from tests.exact.checks import check_density, check_mean
from tests.exact.gaussian.gaussian_checks import check_gaussian, check_moments, check_predictive
from tests.typecheck import as_users_call_it
from vi_toolkit import exact
from vi_toolkit.exact.gaussian._path import LinearGaussianPath

NAN = np.nan


def problem(T, d, p, seed=0):
    """Observations, and a model whose matrices are all dense."""
    generator = np.random.default_rng(seed)
    covariances = [M @ M.T + 0.2 * np.eye(len(M)) for M in (generator.normal(size=(k, k)) for k in (d, p, d))]
    return generator.normal(size=(T, p)), {
        "transition": 0.6 * generator.normal(size=(d, d)),
        "transition_covariance": covariances[0],
        "emission": generator.normal(size=(p, d)),
        "emission_covariance": covariances[1],
        "initial_mean": generator.normal(size=d),
        "initial_covariance": covariances[2],
    }


def written_out(y, model):
    """Mean and covariance of all states, and log Z, from the joint normal of states and observations."""
    T, F, d = len(y), model["transition"], len(model["transition"])
    powers = [[np.linalg.matrix_power(F, t - s) if t >= s else np.zeros((d, d)) for s in range(T)] for t in range(T)]
    G = np.block(powers)  # states = G innovations
    prior = G @ block_diag(model["initial_covariance"], *[model["transition_covariance"]] * (T - 1)) @ G.T
    prior_mean = G @ np.concatenate([model["initial_mean"], np.zeros((T - 1) * d)])
    seen = np.flatnonzero(~np.isnan(y).all(axis=1))
    H = np.kron(np.eye(T)[seen], model["emission"])
    noise = np.kron(np.eye(len(seen)), model["emission_covariance"])
    marginal, mean = H @ prior @ H.T + noise, H @ prior_mean
    gain = prior @ H.T @ np.linalg.inv(marginal)
    values = y[seen].ravel()
    log_evidence = stats.multivariate_normal(mean, marginal).logpdf(values)
    return prior_mean + gain @ (values - mean), prior - gain @ H @ prior, log_evidence


def test_with_a_missing_row():
    y, model = problem(4, 2, 1)
    y[2] = NAN
    check_gaussian(exact.linear_state_space(y, **model), *written_out(y, model))


@pytest.mark.parametrize(("T", "d", "p"), [(4, 2, 1), (3, 1, 2), (1, 2, 1), (2, 1, 1)])
def test_joint_of_all_states(T, d, p):
    y, model = problem(T, d, p)
    posterior = exact.linear_state_space(y, **model)
    mean, covariance, log_evidence = written_out(y, model)
    check_moments(posterior, mean, covariance, log_evidence)
    check_density(posterior, mean[None], stats.multivariate_normal(mean, covariance).logpdf(mean)[None])


def test_missing_rows_at_both_ends():
    y, model = problem(6, 2, 2)
    y[[0, 3, 5]] = NAN
    check_moments(exact.linear_state_space(y, **model), *written_out(y, model))


def test_against_statsmodels():
    y, model = problem(40, 3, 2, seed=4)
    y[[5, 6, 20]] = NAN
    posterior = exact.linear_state_space(y, **model)
    theirs = KalmanSmoother(k_endog=2, k_states=3)
    theirs.bind(y)
    theirs["design"], theirs["transition"], theirs["selection"] = model["emission"], model["transition"], np.eye(3)
    theirs["obs_cov"], theirs["state_cov"] = model["emission_covariance"], model["transition_covariance"]
    theirs.initialize_known(model["initial_mean"], model["initial_covariance"])
    smoothed = theirs.smooth()
    np.testing.assert_allclose(posterior.log_evidence, smoothed.llf_obs.sum(), rtol=1e-10)
    mean, sd = posterior.constrained_moments["states"]
    np.testing.assert_allclose(mean, smoothed.smoothed_state.T, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(sd**2, np.diagonal(smoothed.smoothed_state_cov), rtol=1e-8)
    blocks = posterior.covariance.reshape(40, 3, 40, 3)
    lagged = np.moveaxis(smoothed.smoothed_state_autocov, -1, 0)
    for t in (4, 6, 20, 38):
        np.testing.assert_allclose(blocks[t + 1, :, t], lagged[t], rtol=1e-7, atol=1e-9)
    new = posterior.predictive(3)
    forecast = smoothed.predict(start=40, end=43)
    np.testing.assert_allclose(new.mean, forecast.forecasts.T, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(new.variance, np.diagonal(forecast.forecasts_error_cov), rtol=1e-8)


def test_predictive_is_a_ratio_of_evidences():
    y, model = problem(6, 2, 2)
    y[3] = NAN  # the last row but two is missing: the forecast starts from a predicted state
    new = exact.linear_state_space(y[:4], **model).predictive(2)
    assert new.event_shape == (2, 2)
    values = exact.linear_state_space(y, **model).log_evidence, exact.linear_state_space(y[:4], **model).log_evidence
    check_predictive(new, y[4:], *values)


def test_a_vague_start_loses_nothing():
    """Initial variance 10^14: log Z is that of a flat start but for the normaliser, against exact sums."""
    model = {name: [[1.0]] for name in ("transition", "transition_covariance", "emission", "emission_covariance")}
    posterior = exact.linear_state_space([[1.0], [2.0]], initial_mean=[0.0], initial_covariance=[[1e14]], **model)
    # y_1 = x_1 + e_1 and y_2 = x_1 + q + e_2: x_1 has precision 1 + 1/2, x_2 given y 1 + 1/2 as well
    np.testing.assert_allclose(posterior.covariance, [[2 / 3, 1 / 3], [1 / 3, 2 / 3]], rtol=1e-12)
    np.testing.assert_allclose(posterior.mean, [4 / 3, 5 / 3], rtol=1e-12)
    expected = stats.norm.logpdf(1.0, 0.0, 1e7) + stats.norm.logpdf(2.0, 1.0, np.sqrt(3.0))
    np.testing.assert_allclose(posterior.log_evidence, expected, rtol=1e-12)


def test_the_prior_path():
    """Its density is that of NumPyro's GaussianStateSpace where that starts alike; its draws are of the model."""
    _, model = problem(5, 2, 1)
    root = np.linalg.cholesky(model["transition_covariance"])
    theirs = dist.GaussianStateSpace(5, jnp.asarray(model["transition"]), scale_tril=jnp.asarray(root))
    path = LinearGaussianPath(5, jnp.asarray(model["transition"]), root, np.zeros(2), root)
    paths = theirs.sample(jax.random.key(0), (3,))
    np.testing.assert_allclose(path.log_prob(paths), theirs.log_prob(paths), rtol=1e-10)
    initial_root = np.linalg.cholesky(model["initial_covariance"])
    path = LinearGaussianPath(3, jnp.asarray(model["transition"]), root, model["initial_mean"], initial_root)
    draws = np.asarray(path.sample(jax.random.key(1), (40_000,)))
    assert draws.shape == (40_000, 3, 2)
    F, mean = model["transition"], model["initial_mean"]
    check_mean(draws.reshape(-1, 6), np.concatenate([mean, F @ mean, F @ F @ mean]))
    first, second = draws[:, 0] - mean, draws[:, 1] - F @ mean
    check_mean(np.einsum("ni,nj->nij", second, first).reshape(-1, 4), (F @ model["initial_covariance"]).ravel())
    variance = F @ model["initial_covariance"] @ F.T + model["transition_covariance"]
    check_mean(np.einsum("ni,nj->nij", second, second).reshape(-1, 4), variance.ravel())


@pytest.mark.any_precision
def test_density_in_any_precision():
    y, model = problem(4, 2, 1)
    y[1] = NAN
    posterior = exact.linear_state_space(y, **model)
    mean, covariance, _ = written_out(y, model)
    points = mean + np.random.default_rng(1).normal(size=(4, 8))
    exactness = 1e-9 if jnp.result_type(float) == jnp.float64 else 1e-3
    check_density(posterior, points, stats.multivariate_normal(mean, covariance).logpdf(points), atol=exactness)


def call(**changes):
    y, model = problem(3, 2, 1)
    return as_users_call_it(exact.linear_state_space)(**{"y": y, **model, **changes})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"y": [1.0, 2.0]}, ValueError, r"y: expected shape \(T, p\), a row a time"),
        ({"y": np.zeros((0, 1))}, ValueError, r"y: expected shape \(T, p\)"),
        ({"y": "x"}, TypeError, "y: expected numbers"),
        ({"y": [[NAN], [NAN]]}, ValueError, "y: every row is NaN"),
        ({"y": [[1.0], [np.inf]]}, ValueError, "y: 1 of 2 entries are NaN or infinite"),
        ({"y": [[1.0, 2.0], [NAN, 1.0]]}, ValueError, "y: row 1 is NaN in part"),
        ({"transition": np.ones((2, 3))}, ValueError, r"transition: expected shape \(d, d\)"),
        (
            {"transition_covariance": np.zeros((2, 2))},
            ValueError,
            "transition_covariance: expected a positive definite",
        ),
        ({"emission": np.ones((2, 2))}, ValueError, r"emission: expected shape \(1, 2\), a row for each column of y"),
        ({"emission_covariance": np.eye(2)}, ValueError, r"emission_covariance: expected shape \(1, 1\)"),
        ({"initial_mean": [0.0]}, ValueError, "initial_mean: expected one value for each of the 2 states"),
        ({"initial_covariance": np.eye(3)}, ValueError, r"initial_covariance: expected shape \(2, 2\)"),
    ],
)
def test_bad_input(changes, error, message):
    with pytest.raises(error, match=message):
        call(**changes)


def test_bad_number_of_steps():
    with pytest.raises(ValueError, match="steps: expected at least 1, got 0"):
        call().predictive(0)
