"""Means of exchangeable components, against quadrature, sums written differently, symmetry and NUTS."""

import itertools
import pickle
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import logsumexp

from tests.exact.checks import (
    check_agreement,
    check_constrained_density,
    check_density,
    check_draws,
    check_modes,
)
from tests.typecheck import as_users_call_it
from vi_toolkit import exact

APART = np.array([-2.1, -1.8, 1.9, 2.3, 2.0])
CLOSE = np.array([-1.2, 0.3, 0.1, 1.1])  # 3 components, that overlap
SD, PRIOR_SD = 0.6, 2.5


def label_switching(y, K, sd=SD):
    return exact.label_switching(y, num_components=K, sd=sd, prior_sd=PRIOR_SD)


def log_joint(y, K, mu, sd=SD):
    """log p(mu, y), by SciPy, at points (points, K)."""
    log_terms = stats.norm.logpdf(y[:, None], mu[:, None, :], sd)
    return np.sum(logsumexp(log_terms, axis=2) - np.log(K), axis=1) + stats.norm(0, PRIOR_SD).logpdf(mu).sum(axis=1)


def by_allocations(y, K, sd=SD):
    """(log weight, mean, covariance) of every allocation, by conditioning a multivariate normal."""
    prior = PRIOR_SD**2 * np.eye(K)
    for c in itertools.product(range(K), repeat=len(y)):
        H = np.eye(K)[list(c)]  # y = H mu + noise
        S = H @ prior @ H.T + sd**2 * np.eye(len(y))
        gain = prior @ H.T @ np.linalg.inv(S)
        log_weight = stats.multivariate_normal(np.zeros(len(y)), S).logpdf(y) - len(y) * np.log(K)
        yield log_weight, gain @ y, prior - gain @ H @ prior


@pytest.mark.parametrize(("y", "K"), [(APART, 2), (CLOSE, 3), (CLOSE[:3], 4)])
def test_moments_by_conditioning_normals(y, K):
    posterior = label_switching(y, K)
    log_weights, means, covariances = (np.array(part) for part in zip(*by_allocations(y, K), strict=True))
    np.testing.assert_allclose(posterior.log_evidence, logsumexp(log_weights), rtol=1e-12)
    weights = np.exp(log_weights - logsumexp(log_weights))
    mean = weights @ means
    second = np.einsum("c,cij->ij", weights, covariances + means[:, :, None] * means[:, None, :])
    np.testing.assert_allclose(posterior.mean, mean, atol=1e-12)
    np.testing.assert_allclose(posterior.covariance, second - np.outer(mean, mean), atol=1e-11)
    z = posterior.mean + posterior.sd * np.random.default_rng(0).normal(size=(8, K))
    terms = [
        w + stats.multivariate_normal(m, C).logpdf(z) for w, m, C in zip(log_weights, means, covariances, strict=True)
    ]
    check_density(posterior, z, logsumexp(terms, axis=0) - logsumexp(log_weights))
    check_density(posterior, z, log_joint(y, K, z) - posterior.log_evidence)
    np.testing.assert_allclose(
        posterior.marginals["means"].log_prob(jnp.asarray(z)), log_joint(y, K, z) - posterior.log_evidence, atol=1e-8
    )
    assert posterior.marginals["means"].event_shape == (K,)
    check_constrained_density(posterior, 2)


@pytest.mark.parametrize(("y", "sd", "num_modes"), [([-2.0, 0.0, 2.0], 0.6, 4), ([0.7], 0.6, 1), ([2.0], 0.3, 3)])
def test_on_the_grid(y, sd, num_modes):
    """With one observation and little noise, one mean may be there and the other at 0; or both."""
    posterior = label_switching(np.array(y), 2, sd)
    grid = exact.grid(posterior.target)
    check_agreement(posterior, grid, 1e-8)
    assert len(posterior.modes) == num_modes
    found, expected = (modes[np.lexsort(modes.T.round(6))] for modes in (posterior.modes, grid.modes))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    check_modes(posterior)
    check_draws(posterior, 20_000)


@pytest.mark.slow
def test_against_nuts():
    """Where the components overlap, chains visit all labels."""
    posterior = label_switching(CLOSE, 3, sd=1.0)
    nuts = exact.reference(jax.random.key(0), posterior.target, num_warmup=400, num_draws=2000)
    assert np.all(np.abs(nuts.mean - posterior.mean) < 5 * nuts.mcse)
    np.testing.assert_allclose(nuts.sd, posterior.sd, rtol=0.06)


def test_exchanging_components_changes_nothing():
    posterior = label_switching(np.array([-2.0, -1.8, 0.1, 0.2, 2.0, 2.2]), 3, sd=0.4)
    np.testing.assert_allclose(posterior.mean, posterior.mean[0], rtol=1e-12)
    variances, covariances = np.diag(posterior.covariance), posterior.covariance[np.triu_indices(3, 1)]
    np.testing.assert_allclose(variances, variances[0], rtol=1e-12)
    np.testing.assert_allclose(covariances, covariances[0], rtol=1e-12)
    z = np.array([0.3, -1.0, 2.0])
    values = [float(posterior.log_prob(jnp.asarray(z[list(order)]))) for order in itertools.permutations(range(3))]
    np.testing.assert_allclose(values, values[0], atol=1e-12)


def test_modes_come_with_all_their_permutations():
    posterior = label_switching(np.array([-2.0, -1.8, 0.1, 0.2, 2.0, 2.2]), 3)
    modes, weights = posterior.modes, posterior.mode_weights
    assert len(modes) == 9  # two means on one group, beside the six orders of three means on three
    np.testing.assert_allclose(np.sort(modes[:6], axis=1), np.tile([-1.8, 0.15, 2.0], (6, 1)), atol=0.1)
    assert len(np.unique(modes[:6].round(6), axis=0)) == 6
    np.testing.assert_allclose(weights[:6], weights[0], rtol=1e-9)
    np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-12)
    values = jax.vmap(posterior.log_prob)(jnp.asarray(modes))
    assert (np.diff(values) < 1e-9).all()  # the highest first
    for mode, weight in zip(modes, weights, strict=True):
        for order in itertools.permutations(range(3)):
            distance = np.abs(modes - mode[list(order)]).max(axis=1)
            assert distance.min() < 1e-8
            np.testing.assert_allclose(weights[distance.argmin()], weight, rtol=1e-8)
    check_modes(replace(posterior, modes=modes[[0, -1]]))
    check_draws(posterior, 10_000)


def test_shares_are_probabilities_of_the_allocations():
    """By Bayes' rule for every allocation, with its normal density."""
    posterior = label_switching(APART, 2)
    z = np.array([[-1.0, 1.5], [0.2, 0.1], [2.0, -2.0]])
    shares = np.zeros((3, 2))
    for log_weight, mean, covariance in by_allocations(APART, 2):
        nearest = np.argmin(np.sum((posterior.modes - mean) ** 2, axis=1))
        density = np.exp(log_weight + stats.multivariate_normal(mean, covariance).logpdf(z))
        shares[:, nearest] += density
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(posterior.mode_shares(z), shares, atol=1e-10)
    np.testing.assert_allclose(posterior.mode_weights, [0.5, 0.5], rtol=1e-12)


def test_one_observation():
    """It belongs to one component, and the others keep their prior."""
    y, K = 1.4, 3
    posterior = label_switching(np.array([y]), K)
    np.testing.assert_allclose(posterior.log_evidence, stats.norm(0, np.hypot(SD, PRIOR_SD)).logpdf(y), rtol=1e-12)
    shrunk = y * PRIOR_SD**2 / (PRIOR_SD**2 + SD**2)
    np.testing.assert_allclose(posterior.mean, shrunk / K, rtol=1e-12)
    check_draws(posterior)
    check_modes(posterior)


def test_predictive_is_a_ratio_of_evidences():
    posterior = label_switching(APART, 2)
    for new in (-3.0, 0.0, 2.2):
        ratio = label_switching(np.append(APART, new), 2).log_evidence - posterior.log_evidence
        np.testing.assert_allclose(float(posterior.predictive().log_prob(new)), ratio, rtol=1e-9)
    x = np.linspace(-15.0, 15.0, 3001)
    density = np.exp(np.asarray(posterior.predictive().log_prob(x)))
    np.testing.assert_allclose(integrate.trapezoid(density, x), 1.0, rtol=1e-7)


def test_allocations_of_no_weight_are_left_out():
    """Far apart, only the allocations that keep the groups have any weight, and nothing else is lost."""
    y = np.array([-20.0, -20.1, 0.0, 0.2, 20.0, 20.3])
    posterior = label_switching(y, 3)
    assert len(posterior.marginals["means"].mixing_distribution.probs) == 6
    z = posterior.modes[:1] + 0.1
    np.testing.assert_allclose(
        posterior.marginals["means"].log_prob(jnp.asarray(z)), log_joint(y, 3, z) - posterior.log_evidence, atol=1e-9
    )
    np.testing.assert_allclose(posterior.mode_weights[:6], 1 / 6, rtol=1e-12)
    check_draws(posterior)


def test_pickles():
    posterior = label_switching(APART, 2)
    again = pickle.loads(pickle.dumps(posterior))
    draws = posterior.sample(jax.random.key(0), 9)
    np.testing.assert_array_equal(again.sample(jax.random.key(0), 9), draws)
    np.testing.assert_array_equal(again.mode_shares(draws), posterior.mode_shares(draws))
    assert float(again.predictive().log_prob(0.3)) == float(posterior.predictive().log_prob(0.3))


@pytest.mark.any_precision
def test_either_precision_of_jax():
    posterior = label_switching(APART, 2)
    x64 = jax.config.jax_enable_x64
    log_weights = [log_weight for log_weight, _, _ in by_allocations(APART, 2)]
    np.testing.assert_allclose(posterior.log_evidence, logsumexp(log_weights), rtol=1e-12)
    expected = log_joint(APART, 2, posterior.modes) - posterior.log_evidence
    check_density(posterior, posterior.modes, expected, 1e-9 if x64 else 1e-4)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y": np.zeros(11), "num_components": 3}, ValueError, r"y: 11 observations can .* 3 components in 3\^11 ways"),
        ({"y": np.zeros(18)}, ValueError, r"2\^18 ways, and at most 2\^17 = 131072"),
        ({"y": []}, ValueError, "y: it is empty"),
        ({"y": [[1.0]]}, ValueError, "y: expected 1 axis"),
        ({"y": [np.nan]}, ValueError, "y: 1 of 1 entries are NaN"),
        ({"y": ["a"]}, TypeError, "y: expected numbers"),
        ({"num_components": 1}, ValueError, "num_components: expected 2 to 4, got 1"),
        ({"num_components": 5}, ValueError, "num_components: expected 2 to 4, got 5"),
        ({"num_components": 2.0}, TypeError, "num_components: expected a whole number"),
        ({"sd": 0.0}, ValueError, "sd: expected a finite number above 0"),
        ({"prior_sd": -1.0}, ValueError, "prior_sd: expected a finite number above 0"),
    ],
)
def test_bad_input(change, error, message):
    arguments = {"y": APART, "num_components": 2, "sd": SD, "prior_sd": PRIOR_SD} | change
    with pytest.raises(error, match=message):
        as_users_call_it(exact.label_switching)(arguments.pop("y"), **arguments)
