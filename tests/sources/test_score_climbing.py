"""Chains leave p as it is, whatever q is; and what the history says of them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.compilations import jit
from vi_toolkit.sources._whitening import root_of, root_of_points
from vi_toolkit.sources.score_climbing import _independence
from vi_toolkit.sources.transitions import tuned

S = vi.sources
TRANSITIONS = {"conditional importance": S.ConditionalImportance(3), "HMC": S.HMC(2), "NUTS": S.NUTS(2)}
SKEWED = vi.zoo.skewed(2, slant=3.0)
PARAMS = {
    "location": jnp.array([0.9, 0.1]),
    "log_diagonal": jnp.array([0.2, -0.3]),
    "lower": jnp.array([[0.0, 0.0], [0.4, 0.0]]),
}


@partial(jit, static_argnames="transition")
def three_moves(key, chains, transition, step_size):
    def move(chains, key):
        moved = transition.move(key, chains, step_size, PARAMS, vi.FullRankNormal(), SKEWED.target)
        return moved.chains, (moved.weights @ moved.points, moved.accept)

    return jax.lax.scan(move, chains, jax.random.split(key, 3))


@pytest.mark.parametrize("name", ["conditional importance", "HMC", pytest.param("NUTS", marks=pytest.mark.slow)])
def test_a_move_leaves_p_as_it_is(name):
    """20,000 independent draws of a skewed p, each moved three times with the help of a q that is off."""
    count = 20_000
    before = SKEWED.sampler(np.random.default_rng(0), count)
    after, (means, accept) = three_moves(jax.random.key(1), jnp.asarray(before), TRANSITIONS[name], 0.6)
    after = np.asarray(after)
    assert np.mean(np.any(after != before, axis=1)) > 0.8  # they have moved
    assert 0.3 < np.min(accept) <= np.max(accept) < 0.999
    for power in (1, 2):
        values, exact = after**power, SKEWED.mean if power == 1 else np.diag(SKEWED.covariance) + SKEWED.mean**2
        np.testing.assert_array_less(np.abs(values.mean(0) - exact), 5 * values.std(0) / np.sqrt(count) * np.ones(2))
    third = np.mean((after[:, 0] - SKEWED.mean[0]) ** 3) - np.mean((before[:, 0] - SKEWED.mean[0]) ** 3)
    assert abs(third) < 5 * np.std((after[:, 0] - SKEWED.mean[0]) ** 3) * np.sqrt(2 / count)
    # the mean over what might have been picked is one over p as well
    np.testing.assert_allclose(means, np.tile(SKEWED.mean, (3, 1)), atol=5 * SKEWED.sd.max() / np.sqrt(count))


def test_conditional_importance_keeps_the_old_point_by_its_weight():
    """Against NumPy: the weights of each chain's four points, and how often it stays."""
    transition, guide = S.ConditionalImportance(3), vi.FullRankNormal()
    chains = jnp.array([[3.0, 3.0], [0.0, 0.0]])
    move = jit(lambda key: transition.move(key, chains, jnp.ones(()), PARAMS, guide, SKEWED.target))
    moved = jax.vmap(move)(jax.random.split(jax.random.key(0), 2000))
    points, weights = np.asarray(moved.points).reshape(2000, 2, 4, 2), np.asarray(moved.weights).reshape(2000, 2, 4)
    np.testing.assert_array_equal(points[:, :, 0], np.broadcast_to(chains, (2000, 2, 2)))
    first = jnp.asarray(points[0, 0])
    log_w = np.asarray(jax.vmap(SKEWED.target.log_density)(first) - guide.distribution(PARAMS).log_prob(first))
    np.testing.assert_allclose(weights[0, 0], np.exp(log_w) / np.exp(log_w).sum() / 2, rtol=1e-9)
    np.testing.assert_allclose(weights.sum((1, 2)), 1.0, rtol=1e-9)
    stays = np.all(np.asarray(moved.chains) == np.asarray(chains), axis=-1)
    error = 5 * np.sqrt(0.25 / 2000)
    np.testing.assert_allclose(stays.mean(0), 2 * weights[:, :, 0].mean(0), atol=error)
    np.testing.assert_allclose(moved.accept, 1 - weights[:, :, 0].sum(1), rtol=1e-9)


def test_the_step_size_is_tuned_to_the_acceptance():
    """From far off, either way, on a q that is p."""
    guide, source = vi.MeanFieldNormal(), S.ScoreClimbing(S.HMC(2))
    target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=4)
    params = {"location": jnp.zeros(4), "log_scale": jnp.zeros(4)}

    @jit
    def run(key, log_step):
        memory = source.begin(key, params, guide, target, 32)._replace(log_step=log_step)

        def step(memory, key):
            draws, memory = source.draw(key, memory, params, guide, target, 32)
            return memory, draws.facts["accept"]

        return jax.lax.scan(step, memory, jax.random.split(key, 400))

    ends = [run(jax.random.key(0), jnp.asarray(start)) for start in (-2.0, 1.5)]
    for memory, accept in ends:
        assert abs(np.mean(accept[-100:]) - 0.8) < 0.02
        assert float(memory.steps) == 400
    assert abs(ends[0][0].log_step - ends[1][0].log_step) < 0.15
    zero = jnp.zeros(())
    assert float(tuned(zero, jnp.asarray(1.0), 0.8, zero)) > 0 > float(tuned(zero, jnp.asarray(jnp.nan), 0.8, zero))


def test_what_a_move_keeps_of_the_one_before():
    rng = np.random.default_rng(0)
    before, noise = jnp.asarray(rng.standard_normal((2, 100_000, 2)))
    a = np.array([0.8, 0.1])
    after = a * before + np.sqrt(1 - a**2) * noise
    none = jnp.zeros(())
    np.testing.assert_allclose(_independence(before, after, none), 0.2 / 1.8, rtol=0.03)
    assert _independence(before, before, none) < 1e-9
    assert _independence(before, noise, none) > 0.98
    flips = np.where(rng.uniform(size=(100_000, 1)) < 0.5, -1, 1) * before  # the size of each stays
    assert _independence(before, flips, none) < 1e-4
    assert float(_independence(before[:1], after[:1], jnp.asarray(0.3))) == 0.3


def test_coordinates_are_scaled_by_the_covariance():
    exact = np.array([[2.0, 0.9], [0.9, 1.0]])
    guide = vi.FullRankNormal()
    params = {
        "location": jnp.array([5.0, -3.0]),
        "log_diagonal": jnp.log(jnp.diagonal(jnp.linalg.cholesky(exact))),
        "lower": jnp.tril(jnp.linalg.cholesky(exact), -1),
    }
    root = root_of(guide.distribution(params), jax.random.key(0))
    np.testing.assert_allclose(root @ root.T, exact, rtol=1e-9)
    apart = {"location": jnp.zeros(2), "log_scale": jnp.log(jnp.array([3.0, 0.5]))}
    root = root_of(vi.MeanFieldNormal().distribution(apart), jax.random.key(0))
    np.testing.assert_allclose(root, [3.0, 0.5])
    points = np.random.default_rng(0).multivariate_normal([5.0, -3.0], exact, 50_000)
    root = root_of_points(jnp.asarray(points))
    np.testing.assert_allclose(root @ root.T, exact, rtol=0.03)
    few = root_of_points(jnp.asarray(points[:2]))  # singular by itself
    assert np.all(np.isfinite(few))
    assert np.all(np.linalg.eigvalsh(few @ few.T) > 0)


def test_chains_that_stand_still_are_a_collapse_and_said_in_words():
    source, rng = S.ScoreClimbing(S.HMC()), np.random.default_rng(0)
    fine = {"ess": rng.uniform(0.3, 0.6, 100), "accept": np.full(100, 0.8)}
    stuck = {"ess": rng.uniform(0.0, 0.009, 100), "accept": np.full(100, 0.02)}
    slow = {"ess": rng.uniform(0.02, 0.04, 100), "accept": np.full(100, 0.8)}
    assert [source.collapsed(history) for history in (fine, slow, stuck)] == [False, False, True]
    assert source.warnings(fine) == []
    (words,) = source.warnings(stuck)
    assert "2 % accepted" in words
    assert "TemperedSMC" in words
    assert len(source.warnings(slow)) == 1
