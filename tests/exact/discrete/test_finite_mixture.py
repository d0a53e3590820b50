"""Allocations to known components, against SciPy; and the record of a discrete posterior itself."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, trace
from scipy import stats
from scipy.special import logsumexp

from tests.exact.discrete.discrete_checks import (
    check_draws_of_states,
    check_joint_density,
    check_pickles,
    check_sums,
)
from tests.typecheck import as_users_call_it
from vi_toolkit import exact

Y, WEIGHTS = np.array([-1.0, 0.4, 2.5, 6.0]), np.array([0.5, 0.3, 0.2])
MEANS, SDS = np.array([0.0, 2.0, 5.0]), np.array([1.0, 0.7, 3.0])


def mixture(y=Y):
    return exact.finite_mixture(y, weights=WEIGHTS, components=dist.Normal(MEANS, SDS))


def log_densities(y):
    """log of w_k f_k(y), by SciPy."""
    return np.log(WEIGHTS) + stats.norm(MEANS, SDS).logpdf(np.asarray(y)[..., None])


def test_bayes_rule_for_each_observation():
    posterior = mixture()
    np.testing.assert_allclose(posterior.log_evidence, logsumexp(log_densities(Y), axis=1).sum(), rtol=1e-13)
    joint = np.exp(log_densities(Y))
    np.testing.assert_allclose(posterior.marginals, joint / joint.sum(axis=1, keepdims=True), rtol=1e-12)
    np.testing.assert_array_equal(posterior.mode, np.argmax(joint, axis=1))
    check_sums(posterior)
    check_draws_of_states(posterior)
    check_joint_density(posterior)
    check_pickles(posterior)


def test_predictive_is_a_ratio_of_evidences():
    posterior = mixture()
    for new in (-2.0, 1.3):
        ratio = mixture([*Y, new]).log_evidence - posterior.log_evidence
        np.testing.assert_allclose(float(posterior.predictive().log_prob(new)), ratio, rtol=1e-11)
        np.testing.assert_allclose(ratio, logsumexp(log_densities(new)), rtol=1e-11)
    np.testing.assert_allclose(float(posterior.predictive().mean), WEIGHTS @ MEANS)


def test_points_in_the_plane():
    means, covariance = np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([[1.0, 0.5], [0.5, 2.0]])
    y = np.array([[0.5, 0.5], [2.0, 1.0], [-1.0, 0.0]])
    posterior = exact.finite_mixture(y, weights=[0.4, 0.6], components=dist.MultivariateNormal(means, covariance))
    terms = [
        stats.multivariate_normal(m, covariance).logpdf(y) + np.log(w) for m, w in zip(means, (0.4, 0.6), strict=True)
    ]
    np.testing.assert_allclose(posterior.log_evidence, logsumexp(terms, axis=0).sum(), rtol=1e-12)
    np.testing.assert_allclose(posterior.marginals[:, 0], 1 / (1 + np.exp(terms[1] - terms[0])), rtol=1e-12)
    check_joint_density(posterior)


def test_counts_up_to_a_total():
    """The support of a binomial depends on its total, which all components share."""
    components = dist.Binomial(10, probs=np.array([0.2, 0.7]))
    posterior = exact.finite_mixture([2, 9], weights=[0.5, 0.5], components=components)
    joint = 0.5 * np.array([stats.binom(10, [0.2, 0.7]).pmf(k) for k in (2, 9)])
    np.testing.assert_allclose(posterior.log_evidence, np.log(joint.sum(axis=1)).sum(), rtol=1e-10)
    np.testing.assert_allclose(float(jnp.exp(posterior.predictive().log_prob(jnp.arange(11))).sum()), 1.0, rtol=1e-10)
    check_joint_density(posterior)


def test_a_component_of_weight_zero_is_never_drawn():
    posterior = exact.finite_mixture([0.1, 5.0], weights=[1.0, 0.0], components=dist.Normal(np.array([0.0, 5.0]), 1.0))
    np.testing.assert_array_equal(posterior.marginals, [[1.0, 0.0], [1.0, 0.0]])
    assert posterior.log_prob([0, 1]) == -np.inf
    assert not posterior.sample(jax.random.key(0), 1000).any()
    np.testing.assert_allclose(posterior.log_evidence, stats.norm.logpdf([0.1, 5.0]).sum(), rtol=1e-13)


def test_the_model_draws_data():
    posterior = mixture()
    sites = trace(seed(posterior.model, 0)).get_trace(2000, **{**posterior.kwargs, "y": None})
    x, y = np.asarray(sites["allocations"]["value"]), np.asarray(sites["y"]["value"])
    for k in range(3):
        assert stats.kstest(y[x == k], stats.norm(MEANS[k], SDS[k]).cdf).pvalue > 1e-4
    assert stats.chisquare(np.bincount(x), 2000 * WEIGHTS).pvalue > 1e-4


@pytest.mark.any_precision
def test_either_precision_of_jax():
    posterior = mixture()
    x64 = jax.config.jax_enable_x64
    expected = logsumexp(log_densities(Y), axis=1).sum()
    np.testing.assert_allclose(posterior.log_evidence, expected, rtol=1e-12 if x64 else 1e-5)
    check_sums(posterior)
    check_joint_density(posterior, atol=1e-9 if x64 else 1e-4)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"weights": [0.5, 0.5, 0.5]},
            ValueError,
            "weights: expected probabilities that sum to 1, but they sum to 1.5",
        ),
        ({"weights": [1.1, -0.1, 0.0]}, ValueError, "weights: expected probabilities, got -0.1"),
        ({"weights": [0.5, 0.5]}, ValueError, r"components: expected batch shape \(2,\)"),
        ({"components": MEANS}, TypeError, "components: expected a Distribution"),
        ({"y": np.zeros((2, 2))}, ValueError, "y: expected 1 axis"),
        ({"y": [1.0, np.inf]}, ValueError, "y: 1 of 2 entries are NaN or infinite"),
        (
            {"y": [1, 2], "components": dist.Categorical(probs=np.array([[0.5, 0.5, 0.0]] * 3))},
            ValueError,
            "y: 2 at index 1 is impossible under every component",
        ),
        (
            {"y": [1.0], "components": dist.Uniform(np.array([0.0, 0.5, 0.7]), 2.0)},
            ValueError,
            "components: expected one support for every state",
        ),
    ],
)
def test_bad_input(change, error, message):
    arguments = {"y": Y, "weights": WEIGHTS, "components": dist.Normal(MEANS, SDS)} | change
    with pytest.raises(error, match=message):
        as_users_call_it(exact.finite_mixture)(arguments.pop("y"), **arguments)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([0, 1], ValueError, r"x: expected one assignment, of shape \(4,\), got shape \(2,\)"),
        ([0, 1, 2, 3], ValueError, "x: expected states among 0 to 2"),
        ([0, 1, 2, -1], ValueError, "x: expected states among 0 to 2"),
        ([0, 1, 2, 0.5], ValueError, "x: expected states among 0 to 2"),
        ([0, 1, 2, np.nan], ValueError, "x: expected states among 0 to 2"),
        (["a", "b", "c", "d"], TypeError, "x: expected whole numbers"),
    ],
)
def test_log_prob_asks_for_an_assignment(x, error, message):
    with pytest.raises(error, match=message):
        mixture().log_prob(x)


def test_draws_follow_the_key():
    posterior = mixture()
    draws = posterior.sample(jax.random.key(1), 50)
    np.testing.assert_array_equal(draws, posterior.sample(jax.random.key(1), 50))
    assert (draws != posterior.sample(jax.random.key(2), 50)).any()
    with pytest.raises(ValueError, match="num_draws: expected at least 1, got 0"):
        posterior.sample(jax.random.key(1), 0)
    with pytest.raises(TypeError, match="key: expected one JAX random key"):
        as_users_call_it(exact.DiscretePosterior.sample)(posterior, 1, 10)
