"""A change point in Poisson counts, against sequential predictions, quadrature and NUTS."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from tests.exact.checks import (
    check_agreement,
    check_constrained_density,
    check_density,
    check_draws,
    check_mean,
    check_modes,
)
from tests.exact.discrete.discrete_checks import (
    check_draws_of_states,
    check_joint_density,
    check_pickles,
    check_sums,
)
from tests.typecheck import as_users_call_it
from vi_toolkit import datasets, exact

COAL = datasets.COAL_MINING_DISASTERS
TWO_PLACES = np.array([2, 2, 1, 2, 11, 30, 32, 29])  # the eleven may be early or late
SHAPE, RATE = 1.3, 0.1


def log_evidence(counts):
    """Of counts with one intensity: each is predicted from those before it."""
    counts = np.asarray(counts)
    before, r = np.cumsum(counts) - counts, RATE + np.arange(len(counts))
    return stats.nbinom.logpmf(counts, SHAPE + before, r / (r + 1)).sum()


def log_joint(counts):
    """log P(tau, y) for tau = 1, ..., n - 1."""
    n = len(counts)
    return np.array([log_evidence(counts[:tau]) + log_evidence(counts[tau:]) for tau in range(1, n)]) - np.log(n - 1)


def gammas(counts, k):
    """SciPy's gammas of the intensity k (0: early, 1: late), for every tau."""
    tau = np.arange(1, len(counts))
    sums = np.array([[counts[:t].sum(), counts[t:].sum()] for t in tau])
    lengths = np.stack([tau, len(counts) - tau], axis=1)
    return stats.gamma(SHAPE + sums[:, k], scale=1 / (RATE + lengths[:, k]))


def both(counts):
    return (f(counts, shape=SHAPE, rate=RATE) for f in (exact.change_point, exact.change_point_location))


@pytest.mark.parametrize("counts", [COAL, TWO_PLACES], ids=["coal", "two places"])
def test_evidence_and_location_by_sequential_predictions(counts):
    posterior, location = both(counts)
    joint = log_joint(counts)
    np.testing.assert_allclose(posterior.log_evidence, logsumexp(joint), rtol=1e-12)
    assert location.log_evidence == posterior.log_evidence == posterior.target.log_evidence
    probs = np.append(0.0, np.exp(joint - logsumexp(joint)))
    np.testing.assert_allclose(location.marginals, probs, atol=1e-12)
    assert location.mode == probs.argmax()
    assert location.log_prob(0) == -np.inf
    check_sums(location)
    check_draws_of_states(location)
    check_joint_density(location)
    check_pickles(location)


@pytest.mark.parametrize("counts", [COAL, TWO_PLACES], ids=["coal", "two places"])
def test_on_the_grid(counts):
    posterior, _ = both(counts)
    grid = exact.grid(posterior.target)
    check_agreement(posterior, grid, 1e-8)
    order = np.argsort(grid.modes[:, 0]), np.argsort(posterior.modes[:, 0])
    np.testing.assert_allclose(posterior.modes[order[1]], grid.modes[order[0]], atol=1e-7)


@pytest.mark.slow
def test_against_nuts():
    posterior, _ = both(COAL[25:55])
    nuts = exact.reference(jax.random.key(0), posterior.target, num_warmup=400, num_draws=1200)
    assert np.all(np.abs(nuts.mean - posterior.mean) < 5 * nuts.mcse)
    np.testing.assert_allclose(nuts.sd, posterior.sd, rtol=0.06)
    for site, (mean, sd) in posterior.constrained_moments.items():
        np.testing.assert_allclose(nuts.constrained_moments[site][0], mean, atol=0.1 * sd)
        np.testing.assert_allclose(nuts.constrained_moments[site][1], sd, rtol=0.06)


@pytest.mark.parametrize("counts", [COAL, TWO_PLACES], ids=["coal", "two places"])
def test_it_is_a_mixture_of_gammas(counts):
    posterior, _ = both(counts)
    joint = log_joint(counts)
    log_weights = joint - logsumexp(joint)
    z = posterior.mean + posterior.sd * np.random.default_rng(0).normal(size=(9, 2))
    given_tau = sum(gammas(counts, k).logpdf(np.exp(z[:, k, None])) + z[:, k, None] for k in range(2))
    check_density(posterior, z, logsumexp(log_weights + given_tau, axis=1), atol=1e-8)
    weights = np.exp(log_weights)
    for k, site in enumerate(("early", "late")):
        gamma, x = gammas(counts, k), np.exp(z[:, k])
        log_prob = logsumexp(log_weights + gamma.logpdf(x[:, None]), axis=1)
        np.testing.assert_allclose(posterior.marginals[site].log_prob(jnp.asarray(x)), log_prob, atol=1e-8)
        mean = weights @ gamma.mean()
        variance = weights @ (gamma.var() + gamma.mean() ** 2) - mean**2
        np.testing.assert_allclose(posterior.constrained_moments[site], [mean, np.sqrt(variance)], rtol=1e-9)
    draws = check_draws(posterior, 20_000)
    for k in range(2):
        cdf = weights @ gammas(counts, k).cdf(np.exp(draws[:2000, k, None])).T
        assert stats.kstest(cdf, "uniform").pvalue > 1e-4
    check_modes(posterior)
    check_constrained_density(posterior, 2)


def test_pickles():
    posterior, _ = both(TWO_PLACES)
    again = pickle.loads(pickle.dumps(posterior))
    draws = posterior.sample(jax.random.key(0), 9)
    np.testing.assert_array_equal(again.sample(jax.random.key(0), 9), draws)
    np.testing.assert_array_equal(again.mode_shares(draws), posterior.mode_shares(draws))
    assert float(again.predictive().log_prob(3)) == float(posterior.predictive().log_prob(3))


def test_two_places_give_two_modes():
    """The mode's mass is that of the place of the change that it belongs to."""
    posterior, location = both(TWO_PLACES)
    assert len(posterior.modes) == 2
    np.testing.assert_allclose(posterior.modes[:, 0], np.log([2.0, 3.8]), atol=0.1)
    order = np.argsort(posterior.modes[:, 0])
    np.testing.assert_allclose(posterior.mode_weights[order], location.marginals[4:6], atol=1e-4)
    np.testing.assert_allclose(posterior.mode_weights.sum(), 1.0, rtol=1e-12)
    np.testing.assert_allclose(posterior.mode_shares(posterior.modes), np.eye(2), atol=0.1)


@pytest.mark.parametrize("new", [0, 3, 28])
def test_predictive_is_a_ratio_of_evidences(new):
    """The next count is late: the places of the change stay those of the counts that were seen."""
    posterior, location = both(TWO_PLACES)
    n = len(TWO_PLACES)
    longer = [log_evidence(TWO_PLACES[:t]) + log_evidence([*TWO_PLACES[t:], new]) for t in range(1, n)]
    expected = logsumexp(longer) - np.log(n - 1) - posterior.log_evidence
    np.testing.assert_allclose(float(posterior.predictive().log_prob(new)), expected, rtol=1e-9)
    np.testing.assert_allclose(float(location.predictive().log_prob(new)), expected, rtol=1e-9)


def test_predictive_draws():
    posterior, _ = both(TWO_PLACES)
    predictive = posterior.predictive()
    draws = np.asarray(predictive.sample(jax.random.key(0), (5000,)), np.float64)
    mean, sd = posterior.constrained_moments["late"]
    np.testing.assert_allclose(float(predictive.mean), mean, rtol=1e-9)
    np.testing.assert_allclose(float(predictive.variance), mean + sd**2, rtol=1e-9)  # Poisson noise, and that of late
    check_mean(draws, np.array(mean))


def test_two_counts_have_one_place():
    """Then the intensities are independent gammas."""
    posterior, location = both(np.array([5, 1]))
    np.testing.assert_array_equal(location.marginals, [0.0, 1.0])
    expected = log_evidence([5]) + log_evidence([1])
    np.testing.assert_allclose(posterior.log_evidence, expected, rtol=1e-12)
    np.testing.assert_allclose(posterior.modes, [np.log((SHAPE + np.array([5, 1])) / (RATE + 1))], rtol=1e-12)
    np.testing.assert_allclose(posterior.covariance[0, 1], 0.0, atol=1e-15)
    check_draws(posterior)


def test_no_event_at_all():
    posterior, location = both(np.zeros(4))
    np.testing.assert_allclose(posterior.log_evidence, logsumexp(log_joint(np.zeros(4))), rtol=1e-12)
    check_agreement(posterior, exact.grid(posterior.target), 1e-8)
    check_joint_density(location)


@pytest.mark.any_precision
def test_either_precision_of_jax():
    posterior, location = both(TWO_PLACES)
    atol = 1e-9 if jax.config.jax_enable_x64 else 2e-3
    joint = log_joint(TWO_PLACES)
    np.testing.assert_allclose(posterior.log_evidence, logsumexp(joint), rtol=1e-12)
    z = posterior.modes
    given_tau = sum(gammas(TWO_PLACES, k).logpdf(np.exp(z[:, k, None])) + z[:, k, None] for k in range(2))
    check_density(posterior, z, logsumexp(joint - posterior.log_evidence + given_tau, axis=1), atol=atol)
    check_joint_density(location, atol=atol)


@pytest.mark.parametrize("f", [exact.change_point, exact.change_point_location])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"counts": [3]}, ValueError, "counts: expected at least 2, so that one is early and one is late, got 1"),
        ({"counts": []}, ValueError, "counts: it is empty"),
        ({"counts": [1, -1]}, ValueError, "counts: expected whole numbers of at least 0, got -1.0 at index 1"),
        ({"counts": [1, 0.5]}, ValueError, "counts: expected whole numbers"),
        ({"counts": [[1, 2]]}, ValueError, "counts: expected 1 axis"),
        ({"shape": 0.0}, ValueError, "shape: expected a finite number above 0"),
        ({"rate": -1.0}, ValueError, "rate: expected a finite number above 0"),
        ({"rate": "1"}, TypeError, "rate: expected a positive number"),
    ],
)
def test_bad_input(f, change, error, message):
    arguments = {"counts": TWO_PLACES, "shape": SHAPE, "rate": RATE} | change
    with pytest.raises(error, match=message):
        as_users_call_it(f)(arguments.pop("counts"), **arguments)
