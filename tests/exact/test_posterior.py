"""ExactPosterior itself: draws by key, densities, shares of modes."""

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.exact.checks import check_constrained_density
from tests.typecheck import as_users_call_it
from vi_toolkit import exact
from vi_toolkit.exact.posterior import nearest_mode


@pytest.fixture
def posterior():
    return exact.gaussian_mixture([0.25, 0.75], [[-4.0], [4.0]], [[[1.0]], [[4.0]]])


@pytest.mark.any_precision
def test_draws_follow_the_key(posterior):
    draws = posterior.sample(jax.random.key(1), 100)
    assert draws.dtype == jnp.result_type(float)
    np.testing.assert_array_equal(draws, posterior.sample(jax.random.key(1), 100))
    np.testing.assert_array_equal(draws, posterior.sample(jax.random.PRNGKey(1), 100))
    assert not np.isin(posterior.sample(jax.random.key(2), 100), draws).any()


def test_sd_is_the_root_of_the_variances(posterior):
    np.testing.assert_allclose(posterior.sd**2, np.diag(posterior.covariance))
    assert dataclasses.replace(posterior, covariance=None).sd is None


def test_without_log_evidence_there_is_no_log_prob(posterior):
    assert dataclasses.replace(posterior, log_evidence=None).log_prob is None


def test_log_prob_subtracts_log_evidence(posterior):
    shifted = dataclasses.replace(posterior, log_evidence=2.0)
    z = jnp.array([1.0])
    np.testing.assert_allclose(shifted.log_prob(z), posterior.log_prob(z) - 2.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: exact.beta_binomial([3, 4], [10, 12], a=1.0, b=2.0),
        lambda: exact.linear_regression_unknown_noise([[1.0], [2.0]], [1.0, 2.5], prior_sd=2.0, shape=2.0, rate=1.0),
        lambda: exact.gaussian_mixture([0.25, 0.75], [[-4.0], [4.0]], [[[1.0]], [[4.0]]]),
    ],
)
def test_log_prob_in_the_models_own_space(make):
    check_constrained_density(make())


def test_log_prob_in_the_models_own_space_asks_for_every_site(posterior):
    beta = exact.beta_binomial(3, 10, a=1.0, b=2.0)
    with pytest.raises(ValueError, match=r"sites: expected 'probability' of shape \(\), got none"):
        beta.log_prob_constrained({"p": 0.5})
    with pytest.raises(ValueError, match=r"got \(2,\)"):
        beta.log_prob_constrained({"probability": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"evidence of .* is not known"):
        dataclasses.replace(posterior, log_evidence=None).log_prob_constrained({"z": jnp.zeros(1)})


def test_shares_are_of_the_nearest_mode_by_default(posterior):
    nearest = dataclasses.replace(posterior, shares=None)
    np.testing.assert_array_equal(nearest.mode_shares([[-9.0], [-0.1], [0.1]]), [[1, 0], [1, 0], [0, 1]])
    corners = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    np.testing.assert_array_equal(nearest_mode(corners, np.array([[1.0, 6.0]])), [[0, 0, 1]])


@pytest.mark.parametrize(
    "make",
    [
        lambda: exact.beta_binomial([3, 4], [10, 12], a=1.0, b=2.0),
        lambda: exact.gamma_poisson([3, 4], shape=1.0, rate=2.0),
        lambda: exact.linear_regression([[1.0], [2.0]], [1.0, 2.5], noise_sd=1.0, prior_sd=2.0),
        lambda: exact.linear_regression_unknown_noise([[1.0], [2.0]], [1.0, 2.5], prior_sd=2.0, shape=2.0, rate=1.0),
        lambda: exact.gaussian_mixture([0.25, 0.75], [[-4.0], [4.0]], [[[1.0]], [[4.0]]]),
    ],
)
def test_pickles(make):
    posterior = make()
    again = pickle.loads(pickle.dumps(posterior))
    np.testing.assert_array_equal(again.sample(jax.random.key(0), 9), posterior.sample(jax.random.key(0), 9))
    z = posterior.sample(jax.random.key(0), 1)[0]
    assert again.log_prob(z) == posterior.log_prob(z)


def test_bad_input(posterior):
    with pytest.raises(TypeError, match="key: expected one JAX random key"):
        as_users_call_it(exact.ExactPosterior.sample)(posterior, 0, 10)
    with pytest.raises(ValueError, match="num_draws: expected at least 1, got 0"):
        posterior.sample(jax.random.key(0), 0)
    with pytest.raises(ValueError, match=r"draws: expected shape \(draws, 1\)"):
        posterior.mode_shares(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="no list of modes"):
        dataclasses.replace(posterior, modes=None).mode_shares(np.zeros((3, 1)))
