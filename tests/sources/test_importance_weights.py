"""Weights of single draws: smoothed as ArviZ does, of the mixture as NumPy says, biased as theory has it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from arviz_stats.base.array import array_stats
from scipy.special import logsumexp
from scipy.stats import norm

import vi_toolkit as vi
from tests.compilations import jit
from vi_toolkit.sources.adaptive_importance import STRETCH
from vi_toolkit.sources.importance import smoothed

WEIGHTS = {
    "normal, 512": np.random.default_rng(0).normal(scale=1.5, size=512),
    "long tail, 512": -0.9 * np.log(np.random.default_rng(1).uniform(size=512)) - 700.0,
    "long tail, 40": -0.8 * np.log(np.random.default_rng(2).uniform(size=40)) + 50.0,
    "short tail, 512": np.random.default_rng(3).uniform(size=512),
    "some are nothing": np.where(np.arange(512) % 3 == 0, -np.inf, np.random.default_rng(4).normal(size=512)),
}
smooth = jit(smoothed)


@pytest.mark.parametrize("name", WEIGHTS)
def test_smoothed_weights_are_arvizs(name):
    """psislw takes minus the log weights. It also smooths where k-hat is below 1/3, where blackjax leaves them."""
    log_weights, khat = smooth(jnp.asarray(WEIGHTS[name]))
    theirs, their_khat = array_stats.psislw(-WEIGHTS[name])
    np.testing.assert_allclose(khat, their_khat, rtol=1e-6)
    if their_khat >= 1 / 3:
        np.testing.assert_allclose(log_weights, theirs, rtol=1e-6, atol=1e-9)
        assert np.max(np.abs(log_weights - (WEIGHTS[name] - logsumexp(WEIGHTS[name])))) > 0.01
    np.testing.assert_allclose(logsumexp(np.asarray(log_weights)), 0.0, atol=1e-9)
    order = np.argsort(WEIGHTS[name], kind="stable")
    assert np.all(np.diff(np.asarray(log_weights)[order][171:]) >= 0)


@pytest.mark.any_precision
@pytest.mark.parametrize(
    "log_weights", [np.zeros(64), np.r_[np.zeros(60), np.full(4, -np.inf)], np.r_[np.full(63, -np.inf), 0.0]]
)
def test_weights_without_a_tail_stay_as_they_are(log_weights):
    out, khat = smooth(jnp.asarray(log_weights, jnp.result_type(float)))
    weights = np.exp(log_weights)
    np.testing.assert_allclose(jax.nn.softmax(out), weights / weights.sum(), rtol=1e-5)
    assert not np.isnan(khat)


def test_smoothing_changes_the_largest_weights_and_nothing_else():
    """The draws are those of the plain source, and so are all weights below the tail, up to the common factor."""
    target = vi.from_log_density(lambda z: -2.0 * jnp.log1p(jnp.sum(z**2) / 3), dim=1)
    guide, params = vi.MeanFieldNormal(), {"location": jnp.zeros(1), "log_scale": jnp.full(1, -2.5)}
    plain, smoother = (
        vi.sources.Importance(smooth=on).fresh(jax.random.key(3), params, guide, target, 512) for on in (False, True)
    )
    np.testing.assert_array_equal(plain.points, smoother.points)
    np.testing.assert_array_equal(plain.control, smoother.control)
    assert smoother.facts["khat"] > 1 / 3
    assert float(smoother.facts["temper"]) == float(plain.facts["temper"]) == 1.0
    order = np.argsort(plain.weights)
    ratio = np.asarray(smoother.weights / plain.weights)[order]
    tail = int(3 * 512**0.5)
    np.testing.assert_allclose(ratio[:-tail], ratio[0], rtol=1e-9)
    assert np.ptp(ratio[-tail:]) > 0.01


def log_proposal(z, mean, sd):
    """Half a normal, half the same stretched."""
    wide = sd * (1 + STRETCH)
    return np.logaddexp(norm.logpdf(z, mean, sd), norm.logpdf(z, mean, wide)) - np.log(2)


def test_adaptive_importance_weighs_against_the_mixture_of_all_proposals():
    """A pool of three proposals of four draws, carried over five steps, against NumPy."""
    source, guide = vi.sources.AdaptiveImportance(3), vi.MeanFieldNormal()
    target = vi.from_log_density(lambda z: 3.0 - 0.5 * jnp.sum(z**2), dim=1)
    path = [(2.0, 0.3), (1.5, 0.5), (0.5, 0.6), (-0.5, 1.5), (0.2, 0.9), (0.1, 1.1)]

    def params(mean, sd):
        return {"location": jnp.full(1, mean), "log_scale": jnp.full(1, np.log(sd))}

    begin = jit(lambda key, params: source.begin(key, params, guide, target, 12))
    draw = jit(lambda key, memory, params: source.draw(key, memory, params, guide, target, 12))
    memory = begin(jax.random.key(0), params(*path[0]))
    proposals = [path[0]] * 3
    for step, (mean, sd) in enumerate(path[1:]):
        before = np.asarray(memory.points)
        draws, memory = draw(jax.random.key(step + 1), memory, params(mean, sd))
        proposals[step % 3] = (mean, sd)
        kept = [i for i in range(3) if i != step % 3]
        np.testing.assert_array_equal(np.asarray(memory.points)[kept], before[kept])
        assert np.all(np.asarray(memory.points)[step % 3] != before[step % 3])
        z = np.asarray(draws.points)[:, 0]
        mixture = logsumexp([log_proposal(z, *proposal) for proposal in proposals], axis=0) - np.log(3)
        log_weights = -0.5 * z**2 - mixture
        beta = float(draws.facts["temper"])
        weights = np.exp(beta * log_weights - logsumexp(beta * log_weights))
        np.testing.assert_allclose(draws.weights, weights, rtol=1e-9)
        log_control = norm.logpdf(z, mean, sd) - mixture
        np.testing.assert_allclose(draws.control, np.exp(log_control - logsumexp(log_control)), rtol=1e-9)
        raw = np.exp(log_weights - logsumexp(log_weights))
        np.testing.assert_allclose(draws.facts["ess"], 1 / (raw**2).sum() / 12, rtol=1e-9)
    assert len(set(proposals)) == 3


def test_a_proposal_has_the_density_that_it_says():
    """Where p is that density, all weights are alike."""
    guide, params = vi.MeanFieldNormal(), {"location": jnp.array([1.0]), "log_scale": jnp.array([0.2])}
    mean, sd = 1.0, np.exp(0.2)

    def log_r(z):
        parts = [jax.scipy.stats.norm.logpdf(z[0], mean, sd * scale) for scale in (1.0, 1 + STRETCH)]
        return jnp.logaddexp(*parts)

    source, target = vi.sources.AdaptiveImportance(1), vi.from_log_density(log_r, dim=1)
    draws = jit(lambda key: source.fresh(key, params, guide, target, 4000))(jax.random.key(0))
    np.testing.assert_allclose(draws.weights, 1 / 4000, rtol=1e-9)
    z = np.asarray(draws.points)[:, 0]
    exact = 0.5 * sd**2 * (1 + (1 + STRETCH) ** 2)
    assert abs(np.mean((z - mean) ** 2) - exact) < 5 * np.std((z - mean) ** 2) / np.sqrt(4000)


def test_wake_sleep_is_biased_as_theory_says():
    """-E_q[(p/q)^2 (s - E_p s)] / K for s minus the score of q: by quadrature, and by the mean over many keys."""
    guide, target = vi.MeanFieldNormal(), vi.from_log_density(lambda z: 4.0 - 0.5 * jnp.sum(z**2), dim=1)
    mean, sd = 1.2, 1.4
    params = {"location": jnp.full(1, mean), "log_scale": jnp.full(1, np.log(sd))}
    z = np.linspace(-12, 12, 20_001)
    p, q = norm.pdf(z), norm.pdf(z, mean, sd)
    minus_scores = np.stack([-(z - mean) / sd**2, 1 - (z - mean) ** 2 / sd**2])
    exact = np.trapezoid(p * minus_scores, z, axis=1)
    leading = -np.trapezoid(p**2 / q * (minus_scores - exact[:, None]), z, axis=1)
    objective = vi.ForwardKL(vi.sources.WakeSleep())
    biases, errors = [], []
    for num_draws in (16, 32, 64):

        def gradient(key, num_draws=num_draws):
            slope = jax.grad(lambda params: objective.loss(key, params, guide, target, num_draws)[0])(params)
            return jnp.concatenate([slope["location"], slope["log_scale"]])

        estimates = jit(jax.vmap(gradient))(jax.random.split(jax.random.key(num_draws), 40_000))
        biases.append(np.mean(estimates, axis=0) - exact)
        errors.append(np.std(estimates, axis=0) / np.sqrt(40_000))
    for num_draws, bias, error in zip((16, 32, 64), biases, errors, strict=True):
        np.testing.assert_array_less(
            np.abs(num_draws * bias - leading), 5 * num_draws * error + 4 / num_draws * np.abs(leading)
        )
    assert np.all(np.abs(biases[0]) > 15 * errors[0])
    halves = np.array(biases[:-1]) / np.array(biases[1:])
    np.testing.assert_allclose(halves, 2.0, rtol=0.25)
