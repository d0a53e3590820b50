"""Hidden Markov models, against sums over all paths, ratios of evidences, and a change that cannot be undone."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats
from scipy.special import logsumexp

from tests.exact.discrete.discrete_checks import (
    check_draws_of_states,
    check_frequencies,
    check_joint_density,
    check_pickles,
    check_sums,
)
from tests.typecheck import as_users_call_it
from vi_toolkit import datasets, exact

INITIAL = np.array([0.5, 0.2, 0.3])
TRANSITION = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.0, 0.5, 0.5]])
MEANS, SDS = np.array([-1.0, 0.5, 3.0]), np.array([0.5, 1.0, 2.0])
RATES = np.array([1.0, 4.0, 9.0])
PROBS = np.array([[0.6, 0.3, 0.1, 0.0], [0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]])
CENTRES, COVARIANCE = np.array([[0.0, 0.0], [2.0, -1.0], [1.0, 3.0]]), np.array([[1.0, 0.4], [0.4, 0.6]])

Y_NORMAL = np.array([-0.8, 0.3, 2.0, 4.5, 0.1])
Y_COUNTS = np.array([0, 3, 4, 11, 2])
Y_LABELS = np.array([0, 2, 1, 3, 1])
Y_PLANE = np.array([[0.1, 0.3], [1.5, -1.0], [1.0, 2.0], [3.0, 3.0], [0.0, -0.5]])

CASES = {  # the emission, its data, and its log density by SciPy: (state, y_t)
    "normal": (dist.Normal(MEANS, SDS), Y_NORMAL, lambda k, y: stats.norm(MEANS[k], SDS[k]).logpdf(y)),
    "counts": (dist.Poisson(RATES), Y_COUNTS, lambda k, y: stats.poisson(RATES[k]).logpmf(y)),
    "labels": (dist.Categorical(probs=PROBS), Y_LABELS, lambda k, y: np.log(max(PROBS[k, y], 1e-320))),
    "plane": (
        dist.MultivariateNormal(CENTRES, COVARIANCE),
        Y_PLANE,
        lambda k, y: stats.multivariate_normal(CENTRES[k], COVARIANCE).logpdf(y),
    ),
}


def hidden_markov(y, emission, initial=INITIAL, transition=TRANSITION):
    return exact.hidden_markov(y, initial=initial, transition=transition, emission=emission)


@pytest.mark.parametrize("case", CASES)
def test_sums_over_all_paths(case):
    emission, y, log_density = CASES[case]
    posterior = hidden_markov(y, emission)
    paths = list(itertools.product(range(3), repeat=5))
    weights = []
    for path in paths:
        weight = INITIAL[path[0]] * np.exp(log_density(path[0], y[0]))
        for t in range(1, 5):
            weight *= TRANSITION[path[t - 1], path[t]] * np.exp(log_density(path[t], y[t]))
        weights.append(weight)
    probs = np.array(weights) / np.sum(weights)
    np.testing.assert_allclose(posterior.log_evidence, np.log(np.sum(weights)), rtol=1e-12)
    np.testing.assert_allclose(np.exp(posterior.log_probs(np.array(paths))), probs, atol=1e-13)
    assert tuple(posterior.mode) == paths[int(np.argmax(probs))]
    pairs = np.zeros((4, 3, 3))
    for path, prob in zip(paths, probs, strict=True):
        for t in range(4):
            pairs[t, path[t], path[t + 1]] += prob
    np.testing.assert_allclose(posterior.pair_marginals, pairs, atol=1e-13)
    check_sums(posterior)
    check_draws_of_states(posterior)
    check_joint_density(posterior)
    check_pickles(posterior)


@pytest.mark.parametrize("case", ["normal", "counts", "plane"])
def test_predictive_is_a_ratio_of_evidences(case):
    emission, y, _ = CASES[case]
    posterior = hidden_markov(y, emission)
    for new in (y[0], y[2]):
        longer = hidden_markov(np.concatenate([y, [new]]), emission)
        found = float(posterior.predictive().log_prob(jnp.asarray(new)))
        np.testing.assert_allclose(found, longer.log_evidence - posterior.log_evidence, rtol=1e-10)


def test_predictive_two_steps_on_sums_over_what_lies_between():
    posterior = hidden_markov(Y_LABELS, CASES["labels"][0])
    for new in range(4):
        longer = [hidden_markov([*Y_LABELS, between, new], CASES["labels"][0]).log_evidence for between in range(4)]
        found = float(posterior.predictive(steps=2).log_prob(new))
        np.testing.assert_allclose(found, logsumexp(longer) - posterior.log_evidence, rtol=1e-10)
    draws = np.asarray(posterior.predictive(2).sample(jax.random.key(0), (20_000,)))
    probs = np.exp(np.asarray(posterior.predictive(2).log_prob(np.arange(4))))
    np.testing.assert_allclose(probs.sum(), 1.0)
    check_frequencies(np.bincount(draws, minlength=4) / 20_000, probs, 20_000)


def test_a_change_that_cannot_be_undone():
    """State 1 is never left, so that a path is the place of the change: here, in the coal mines."""
    y, rates, hazard = datasets.COAL_MINING_DISASTERS, np.array([3.1, 0.9]), 0.02
    n = len(y)
    posterior = hidden_markov(y, dist.Poisson(rates), initial=[1.0, 0.0], transition=[[1 - hazard, hazard], [0.0, 1.0]])
    log_joint = []
    for tau in range(1, n + 1):  # n: no change
        log_prior = (tau - 1) * np.log1p(-hazard) + (np.log(hazard) if tau < n else 0.0)
        early, late = stats.poisson(rates[0]).logpmf(y[:tau]), stats.poisson(rates[1]).logpmf(y[tau:])
        log_joint.append(log_prior + early.sum() + late.sum())
    np.testing.assert_allclose(posterior.log_evidence, logsumexp(log_joint), rtol=1e-13)
    by_place = np.exp(log_joint - logsumexp(log_joint))
    np.testing.assert_allclose(posterior.marginals[1:, 1], np.cumsum(by_place)[:-1], atol=1e-12)
    np.testing.assert_array_equal(np.flatnonzero(posterior.mode), np.arange(1 + np.argmax(log_joint), n))
    assert posterior.log_prob(1 - posterior.mode) == -np.inf
    draws = posterior.sample(jax.random.key(0), 2000)
    assert (np.diff(draws, axis=1) >= 0).all()
    check_joint_density(posterior)


def test_thousands_of_steps_do_not_underflow():
    """Against the recursion that is normalised at every step, in probabilities instead of logarithms."""
    rng = np.random.default_rng(0)
    y = rng.poisson(RATES[rng.integers(3, size=2000)])
    posterior = hidden_markov(y, dist.Poisson(RATES))
    state, log_evidence = INITIAL, 0.0
    for likelihood in stats.poisson.pmf(y[:, None], RATES):
        state = state * likelihood
        log_evidence += np.log(state.sum())
        last = state / state.sum()
        state = last @ TRANSITION
    np.testing.assert_allclose(posterior.log_evidence, log_evidence, rtol=1e-12)
    np.testing.assert_allclose(posterior.marginals[-1], last, atol=1e-10)
    np.testing.assert_allclose(posterior.marginals.sum(axis=1), 1.0, atol=1e-9)
    np.testing.assert_allclose(posterior.pair_marginals.sum(axis=2), posterior.marginals[:-1], atol=1e-9)


def test_one_step_is_bayes_rule():
    posterior = hidden_markov([0.4], dist.Normal(MEANS, SDS))
    joint = INITIAL * stats.norm(MEANS, SDS).pdf(0.4)
    np.testing.assert_allclose(posterior.log_evidence, np.log(joint.sum()), rtol=1e-13)
    np.testing.assert_allclose(posterior.marginals, [joint / joint.sum()], rtol=1e-12)
    assert posterior.pair_marginals.shape == (0, 3, 3)
    check_draws_of_states(posterior)
    check_joint_density(posterior)


def test_one_state_is_no_mixture():
    posterior = hidden_markov(Y_COUNTS, dist.Poisson(np.array([4.0])), initial=[1.0], transition=[[1.0]])
    np.testing.assert_allclose(posterior.log_evidence, stats.poisson(4.0).logpmf(Y_COUNTS).sum(), rtol=1e-13)
    np.testing.assert_array_equal(posterior.sample(jax.random.key(0), 3), np.zeros((3, 5)))


@pytest.mark.any_precision
def test_either_precision_of_jax():
    posterior = hidden_markov(Y_COUNTS, dist.Poisson(jnp.asarray(RATES)))
    state = INITIAL * stats.poisson(RATES).pmf(Y_COUNTS[0])
    for count in Y_COUNTS[1:]:
        state = (state @ TRANSITION) * stats.poisson(RATES).pmf(count)
    x64 = jax.config.jax_enable_x64
    np.testing.assert_allclose(posterior.log_evidence, np.log(state.sum()), rtol=1e-12 if x64 else 1e-5)
    check_sums(posterior)
    check_joint_density(posterior, atol=1e-9 if x64 else 1e-4)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"initial": [0.5, 0.2, 0.2]},
            ValueError,
            "initial: expected probabilities that sum to 1, but they sum to 0.9",
        ),
        ({"initial": [1.5, -0.5, 0.0]}, ValueError, "initial: expected probabilities, got -0.5"),
        ({"initial": [0.5, 0.5]}, ValueError, r"transition: expected shape \(2, 2\)"),
        (
            {"transition": TRANSITION.T},
            ValueError,
            "transition: expected probabilities that sum to 1, but row 1 sums to 1.2",
        ),
        ({"transition": TRANSITION[0]}, ValueError, "transition: expected 2 axes"),
        ({"emission": None}, TypeError, "emission: expected a Distribution"),
        ({"emission": dist.Normal}, TypeError, "emission: expected a Distribution, got the class Normal itself"),
        ({"emission": dist.Poisson(RATES[:2])}, ValueError, r"emission: expected batch shape \(3,\)"),
        ({"emission": dist.Poisson(4.0)}, ValueError, r"emission: expected batch shape \(3,\), .*, got \(\)"),
        (
            {"emission": dist.Binomial(np.array([20, 30, 20]), 0.5)},
            ValueError,
            "emission: expected one support for every state",
        ),
        ({"y": [0, 3, -1]}, ValueError, "y: -1.0 at index 2 is outside the support"),
        ({"y": [0, 3, 1.5]}, ValueError, "y: 1.5 at index 2 is outside the support"),
        ({"y": []}, ValueError, "y: it is empty"),
        ({"y": [0, np.nan]}, ValueError, "y: 1 of 2 entries are NaN"),
        ({"y": Y_PLANE}, ValueError, "y: expected 1 axis"),
        ({"y": "no"}, TypeError, "y: expected numbers"),
        (
            {"y": np.zeros((4, 3)), "emission": dist.MultivariateNormal(CENTRES, COVARIANCE)},
            ValueError,
            r"y: expected observations of shape \(2,\)",
        ),
        (
            {"y": [3, 1, 0, 3], "emission": dist.Categorical(probs=np.array([[0.5, 0.5, 0.0, 0.0]] * 3))},
            ValueError,
            "y: it is impossible: no path of positive probability explains it up to index 0",
        ),
        (
            {"emission": dist.Normal(np.array([0.0, np.nan, 1.0]), 1.0, validate_args=False)},
            ValueError,
            "emission: the log density of state 1 is nan at index 0",
        ),
    ],
)
def test_bad_input(change, error, message):
    arguments = {"y": Y_COUNTS, "initial": INITIAL, "transition": TRANSITION, "emission": dist.Poisson(RATES)} | change
    with pytest.raises(error, match=message):
        as_users_call_it(exact.hidden_markov)(arguments.pop("y"), **arguments)


def test_steps_of_the_predictive_start_at_one():
    with pytest.raises(ValueError, match="steps: expected at least 1, got 0"):
        hidden_markov(Y_COUNTS, dist.Poisson(RATES)).predictive(0)
