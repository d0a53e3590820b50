"""Gaussian score matching: its closed form, its constraints, its sweeps, and exact Gaussians."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import vi_toolkit as vi
from tests.compilations import jit
from vi_toolkit.algorithms.score_matching import gaussian_score_matching, match_one, sweep

FLOAT32 = jnp.result_type(float) == jnp.float32
TOLERANCE = 1e-4 if FLOAT32 else 1e-10


def one_draw(seed, dim=3):
    generator = np.random.default_rng(seed)
    return generator.normal(size=dim), generator.normal(size=dim)


def gaussian_of(x, h):
    mean, off = (np.asarray(part) for part in jit(match_one)(jnp.asarray(x), jnp.asarray(h)))
    return mean, np.eye(len(x)) + np.outer(x, x) - np.outer(off, off)


@pytest.mark.parametrize("seed", range(5))
def test_the_new_q_has_the_target_s_score_at_the_draw(seed):
    x, h = one_draw(seed)
    mean, covariance = gaussian_of(x, h)
    assert np.linalg.eigvalsh(covariance).min() > 0
    np.testing.assert_allclose(np.linalg.solve(covariance, mean - x), h, rtol=TOLERANCE, atol=TOLERANCE)


def test_it_is_the_nearest_one_with_that_score():
    """Against a numerical minimiser of D(N(0, I) || N(u, S)) with u = x + S h put in."""
    x, h = one_draw(11)

    def loss(flat):
        lower = np.zeros((3, 3))
        lower[np.tril_indices(3)] = flat
        covariance = lower @ lower.T
        inverse = np.linalg.inv(covariance)
        mean = x + covariance @ h
        return 0.5 * (np.trace(inverse) + mean @ inverse @ mean - 3 + np.linalg.slogdet(covariance)[1])

    found = minimize(loss, np.eye(3)[np.tril_indices(3)], method="BFGS", options={"gtol": 1e-9})
    lower = np.zeros((3, 3))
    lower[np.tril_indices(3)] = found.x
    mean, covariance = gaussian_of(x, h)
    np.testing.assert_allclose(covariance, lower @ lower.T, atol=1e-4)
    np.testing.assert_allclose(mean, x + lower @ lower.T @ h, atol=1e-4)


def test_a_sweep_ends_where_the_scores_at_all_draws_are_matched():
    """Scores of a Gaussian: what the sweeps end in has them at every draw, so it is that Gaussian."""
    generator = np.random.default_rng(2)
    root, mean, x = generator.normal(size=(3, 3)), generator.normal(size=3), generator.normal(size=(9, 3))
    covariance = np.eye(3) + 0.3 * root @ root.T
    h = -np.linalg.solve(covariance, (x - mean).T).T
    q_mean, q_factor = np.zeros(3), np.eye(3)
    run = jit(sweep)
    for _ in range(6):  # the draws stay, their coordinates follow q
        now, scores = np.linalg.solve(q_factor, (x - q_mean).T).T, h @ q_factor
        moved, factor = run(jnp.asarray(now), jnp.asarray(scores), jnp.ones(()))
        q_mean, q_factor = q_mean + q_factor @ np.asarray(moved), q_factor @ np.asarray(factor)
    found = np.linalg.solve(q_factor @ q_factor.T, (q_mean - x).T).T
    np.testing.assert_allclose(found, h, atol=1e-3 if FLOAT32 else 1e-7)


@pytest.mark.parametrize("weight", [0.2, 0.8])
def test_one_draw_counts_with_its_share(weight):
    """(1 - s) N(0, I) + s match in mean and covariance, the first time through; s = weight for one draw."""
    x, h = one_draw(4)
    mean, covariance = np.zeros(3), np.eye(3)
    from vi_toolkit.algorithms import score_matching

    for _ in range(score_matching.SWEEPS):
        factor = np.linalg.cholesky(covariance)
        u, s = gaussian_of(np.linalg.solve(factor, x - mean), factor.T @ h)
        mean = mean + weight * factor @ u
        covariance = factor @ ((1 - weight) * np.eye(3) + weight * s) @ factor.T
    ours, factor = jit(sweep)(jnp.asarray(x)[None], jnp.asarray(h)[None], jnp.asarray(weight))
    np.testing.assert_allclose(ours, mean, atol=1e-3 if FLOAT32 else 1e-9)
    np.testing.assert_allclose(factor @ factor.T, covariance, atol=1e-3 if FLOAT32 else 1e-9)


def test_scores_that_are_matched_move_nothing():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)))
    mean, factor = jit(sweep)(x, -x, jnp.ones(()))
    np.testing.assert_allclose(mean, 0.0, atol=TOLERANCE)
    np.testing.assert_allclose(factor @ factor.T, np.eye(3), atol=TOLERANCE)


@pytest.mark.parametrize("dim", [1, 4])
def test_exact_gaussians_are_found(dim):
    generator = np.random.default_rng(dim)
    root, mean = generator.normal(size=(dim, dim)), generator.normal(size=dim)
    covariance = root @ root.T
    precision = np.linalg.inv(covariance)
    target = vi.from_log_density(lambda z: -0.5 * (z - mean) @ precision @ (z - mean), dim=dim)
    fit = vi.fit(jax.random.key(0), target, gaussian_score_matching(), max_steps=300)
    assert fit.status.name == "CONVERGED"
    lower = np.asarray(fit.posterior.scale_tril, np.float64)
    spread = np.linalg.solve(lower, np.linalg.cholesky(covariance))
    shift = np.linalg.solve(lower, mean - np.asarray(fit.posterior.loc))
    assert 0.5 * (np.sum(spread**2) + shift @ shift - dim) - np.log(np.diag(spread)).sum() < 0.01


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="num_draws: expected at least 1"):
        gaussian_score_matching(num_draws=0)
