"""Batch and match: its closed form against a numerical minimiser, its fixed points, its end, and its refusals."""

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.optimize import minimize

import vi_toolkit as vi
from tests.compilations import jit
from vi_toolkit.algorithms import Outcome
from vi_toolkit.algorithms._batch_match_rule import match_batch, match_in_roots
from vi_toolkit.algorithms._low_rank_match import LowRank, LowRankMatcher, LowRankPlus, patch
from vi_toolkit.algorithms._match_pace import Batch, drift_of, first_pace, keep_pace, mismatch
from vi_toolkit.algorithms.batch_and_match import batch_and_match

FLOAT32 = jnp.result_type(float) == jnp.float32


def gaussian(mean, precision):
    return vi.from_log_density(lambda z: 3.0 - 0.5 * (z - mean) @ precision @ (z - mean), dim=len(mean))


def correlated(dim, seed):
    generator = np.random.default_rng(seed)
    root, mean = generator.normal(size=(dim, dim)), generator.normal(size=dim)
    return mean, root @ root.T


def forward_kl(mean, covariance, q):
    """D(p || q) of two normals, nats."""
    lower = np.asarray(q.scale_tril, np.float64)
    spread = np.linalg.solve(lower, np.linalg.cholesky(covariance))
    shift = np.linalg.solve(lower, mean - np.asarray(q.loc, np.float64))
    return 0.5 * (np.sum(spread**2) + shift @ shift - len(mean)) - np.log(np.diag(spread)).sum()


def draws_and_scores(size, dim, seed=0):
    """Scores that no Gaussian has."""
    x = np.random.default_rng(seed).normal(size=(size, dim))
    return x, 0.7 - 1.5 * x + 0.4 * x**2 - 0.3 * x[:, ::-1] ** 3


def objective(mean, covariance, x, h, strength):
    """mean |grad log q - h|^2 in the norm of q's covariance, and 2 / strength of D(N(0, I) || q), written out."""
    residual = h + np.linalg.solve(covariance, (x - mean).T).T
    matched = np.einsum("bi,ij,bj->b", residual, covariance, residual).mean()
    inverse = np.linalg.inv(covariance)
    divergence = 0.5 * (np.trace(inverse) + mean @ inverse @ mean - len(mean) + np.linalg.slogdet(covariance)[1])
    return matched + 2 / strength * divergence


@pytest.mark.parametrize("weight", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("size", [2, 9])
def test_the_closed_form_is_the_numerical_minimiser(weight, size):
    dim = 3
    x, h = draws_and_scores(size, dim)

    def unpack(flat):
        lower = np.zeros((dim, dim))
        lower[np.tril_indices(dim)] = flat[dim:]
        return flat[:dim], lower @ lower.T

    def loss(flat):
        return objective(*unpack(flat), x, h, weight / (1 - weight))

    begin = np.concatenate([np.zeros(dim), np.eye(dim)[np.tril_indices(dim)]])
    found = minimize(loss, begin, method="BFGS", options={"gtol": 1e-9})
    mean, covariance = unpack(found.x)
    ours, factor = jit(match_batch)(jnp.asarray(x), jnp.asarray(h), jnp.asarray(weight))
    np.testing.assert_allclose(ours, mean, atol=1e-4)
    np.testing.assert_allclose(factor @ factor.T, covariance, atol=2e-4)
    if not FLOAT32:
        assert objective(np.asarray(ours), np.asarray(factor @ factor.T), x, h, weight / (1 - weight)) <= found.fun


@pytest.mark.parametrize("weight", [0.3, 0.99])
def test_the_closed_form_is_the_published_one(weight):
    """With U, V and Sigma = 2 V (I + (I + 4 U V)^1/2)^-1."""
    x, h = draws_and_scores(12, 4, seed=1)
    strength, mean_x, mean_h = weight / (1 - weight), x.mean(0), h.mean(0)
    u = strength * np.cov(h.T, bias=True) + weight * np.outer(mean_h, mean_h)
    v = np.eye(4) + strength * np.cov(x.T, bias=True) + weight * np.outer(mean_x, mean_x)
    published = 2 * v @ np.linalg.inv(np.eye(4) + sqrtm(np.eye(4) + 4 * u @ v))
    mean, factor = jit(match_batch)(jnp.asarray(x), jnp.asarray(h), jnp.asarray(weight))
    rtol = 1e-3 if FLOAT32 else 1e-9
    np.testing.assert_allclose(factor @ factor.T, np.real(published), rtol=rtol, atol=rtol)
    np.testing.assert_allclose(mean, weight * (np.real(published) @ mean_h + mean_x), rtol=rtol, atol=rtol)


def test_a_gaussian_that_is_matched_stays_whatever_the_draws_and_the_weight():
    x = jnp.asarray(draws_and_scores(7, 3)[0])
    for weight in (0.1, 0.7, 1.0):
        mean, factor = jit(match_batch)(x, -x, jnp.asarray(weight))
        np.testing.assert_allclose(mean, 0.0, atol=1e-5 if FLOAT32 else 1e-13)
        np.testing.assert_allclose(factor @ factor.T, np.eye(3), atol=1e-5 if FLOAT32 else 1e-13)


def test_directions_that_no_draw_speaks_of_stay_as_they_are():
    x, h = (jnp.asarray(part) for part in draws_and_scores(2, 6))
    mean, factor = jit(match_batch)(x, h, jnp.asarray(0.6))
    silent = np.linalg.svd(np.concatenate([x, h]))[2][4:]
    np.testing.assert_allclose(silent @ np.asarray(factor @ factor.T), silent, atol=1e-5 if FLOAT32 else 1e-12)
    np.testing.assert_allclose(silent @ np.asarray(mean), 0.0, atol=1e-5 if FLOAT32 else 1e-12)


@pytest.mark.parametrize(("dim", "budget"), [(4, 32), (64, 256)])
def test_exact_gaussians_within_few_gradients(dim, budget):
    for seed in range(3):
        mean, covariance = correlated(dim, seed)
        fit = vi.fit(jax.random.key(seed), gaussian(mean, np.linalg.inv(covariance)), batch_and_match())
        assert fit.status.name == "CONVERGED"
        assert fit.num_gradients <= (budget if not FLOAT32 else 3 * budget)
        assert forward_kl(mean, covariance, fit.posterior) < 0.01


LOGISTIC_X = jnp.asarray(np.random.default_rng(5).normal(size=(12, 2)))
LOGISTIC_Y = jnp.asarray(np.random.default_rng(6).integers(0, 2, 12))


def logistic(z):
    logits = LOGISTIC_X @ z
    return jnp.sum(LOGISTIC_Y * logits - jnp.logaddexp(0.0, logits)) - 0.5 * jnp.sum((z / 2.0) ** 2)


def scores_by_quadrature(q, log_density):
    """E_q g and E_q g g' over q's own coordinates, by Gauss-Hermite quadrature on a grid."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    x = np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2)
    w = np.outer(weights, weights).reshape(-1) / weights.sum() ** 2
    lower = np.asarray(q.scale_tril)
    h = np.asarray(jax.vmap(jax.grad(log_density))(jnp.asarray(np.asarray(q.loc) + x @ lower.T))) @ lower
    return w @ h, (w[:, None] * h).T @ h


@pytest.fixture(scope="module")
def logistic_fit():
    return vi.fit(jax.random.key(2), vi.from_log_density(logistic, dim=2), batch_and_match(num_draws=64))


def test_the_fixed_point_of_a_regression_matches_the_scores(logistic_fit):
    """E h = 0 and E h h' = I within what the fit says of itself: |E h|^2 / 2 + |E h h' - I|^2 / 4 nats from rest."""
    assert logistic_fit.status.name == "CONVERGED"
    first, second = scores_by_quadrature(logistic_fit.posterior, logistic)
    off = 0.5 * np.sum(first**2) + 0.25 * np.sum((second - np.eye(2)) ** 2)
    assert off < 5 * 0.01  # AT_REST, an expectation of a few squares


def test_averages_go_on_to_the_fixed_point_as_draws_are_added(logistic_fit):
    goes_on = dataclasses.replace(logistic_fit.checkpoint, state=logistic_fit.checkpoint.state)
    state, target = goes_on.state, logistic_fit.target
    step = jit(logistic_fit.method.step)
    for key in jax.random.split(jax.random.key(9), 300):
        state, info = step(key, state, target)
    first, second = scores_by_quadrature(logistic_fit.method.posterior(logistic_fit.method.latest(state)), logistic)
    off = 0.5 * np.sum(first**2) + 0.25 * np.sum((second - np.eye(2)) ** 2)
    assert off < 1e-3
    assert float(info["excess"]) < 2e-3


def test_a_batch_s_noise_is_what_it_moves_q():
    """The variance of the drift over many batches against what one batch says of it, 5 standard errors."""
    x = jax.random.normal(jax.random.key(0), (2000, 40, 2))
    h = 0.2 - 1.1 * x + 0.1 * x**2
    zero = jnp.zeros(())
    drifts, noise = jax.vmap(lambda a, b: drift_of(Batch(a, b, zero, zero)))(x, h)
    seen = 0.5 * np.sum((drifts - drifts.mean(0)) ** 2, axis=1)
    said = np.asarray(noise) * 40 / 39
    error = np.sqrt(seen.var() / 2000 + said.var() / 2000)
    assert abs(seen.mean() - said.mean()) < 5 * error


def test_weights_fall_at_rest_and_rise_with_a_clear_drift():
    zero = jnp.zeros(())
    x = jax.random.normal(jax.random.key(1), (50, 2))
    still = Batch(x, -x + 0.3 * jax.random.normal(jax.random.key(2), x.shape), zero, zero + 0.1)
    gone = still._replace(scores=still.scores + 5.0)
    pace, weights = first_pace(2, 1.0, zero), []
    for batch in [still, still, still, still, gone, gone]:
        pace = keep_pace(pace, batch, jnp.asarray(True), 1.0)
        weights.append(float(pace.weight))
    np.testing.assert_allclose(weights[:4], [1.0, 3 / 4, 3 / 5, 3 / 6], rtol=1e-6)
    assert weights[5] > weights[4] > weights[3]
    held = keep_pace(pace, gone, jnp.asarray(False), 1.0)
    odds = float(pace.weight) / (1 - float(pace.weight)) / 8
    np.testing.assert_allclose(held.weight, odds / (1 + odds), rtol=1e-5)
    assert float(held.refused) == 1
    assert np.isinf(float(held.excess))


def test_at_rest_the_excess_is_the_noise_left_in_the_average():
    """Batches at the fixed point, E h = 0 and E h h' = I: their noise falls with the sum of their squared weights."""
    zero, pace, weights = jnp.zeros(()), first_pace(2, 1.0, jnp.zeros(())), []
    keep = jit(lambda pace, batch: keep_pace(pace, batch, jnp.asarray(True), 1.0))
    for key in jax.random.split(jax.random.key(3), 40):
        x, noise = jax.random.normal(key, (2, 50, 2))
        batch = Batch(x, -(x + 0.3 * noise) / np.sqrt(1.09), zero, zero)
        weights.append(1.0 if bool(pace.fresh) else float(pace.weight))
        pace = keep(pace, batch)
    kept = np.concatenate([np.cumprod(1 - np.array(weights)[:0:-1])[::-1], [1.0]])
    share = np.sum((np.array(weights) * kept) ** 2)
    np.testing.assert_allclose(pace.share, share, rtol=1e-4)
    # one batch's noise: the variances of x + h and (x^2 - h^2) / 2^1/2 over 2 dimensions, halved, by 50 draws
    correlation = 1 / np.sqrt(1.09)
    one = 2 * 0.5 * (2 * (1 - correlation) + 2 * (1 - correlation**2)) / 50
    assert 0.5 * share * one < float(pace.excess) < 4 * 1.5 * share * one


def test_a_density_that_ends_is_refused_counted_and_reported():
    """log(1 - z) is not finite above 1: matches that reach there are refused, and the last finite q stands."""
    target = vi.from_log_density(lambda z: 0.2 * jnp.log(1.0 - z[0]) - 0.5 * z[0] ** 2 + 4 * z[0], dim=1)
    fit = vi.fit(jax.random.key(0), target, batch_and_match(), max_steps=60)
    assert fit.status.name in {"STALLED", "DIVERGED", "MAX_STEPS"}
    assert fit.history["refused"].max() >= 1
    assert fit.history["ok"].min() == 0
    assert np.isfinite(fit.posterior.mean).all()
    assert np.isfinite(fit.posterior.variance).all()
    assert any("skipped" in said for said in fit.warnings)


def test_no_finite_batch_is_divergence():
    target = vi.from_log_density(lambda z: jnp.where(jnp.all(z == z[0]), 0.0, jnp.nan) - 0 * z.sum(), dim=2)
    method = batch_and_match()
    state, start = method.init(jax.random.key(0), target, jnp.ones((8, 2)))
    assert bool(start.finite)
    step = jit(method.step)
    for key in jax.random.split(jax.random.key(1), 60):
        state, _ = step(key, state, target)
        if int(state.outcome) != Outcome.GOES_ON:
            break
    assert int(state.outcome) == Outcome.DIVERGED
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(method.latest(state)))


def test_a_target_far_from_a_gaussian_is_said_to_be_one():
    funnel = vi.from_log_density(
        lambda z: -0.5 * (z[0] / 2) ** 2 - 0.5 * z[1] ** 2 * jnp.exp(-z[0]) - 0.5 * z[0], dim=2
    )
    fit = vi.fit(jax.random.key(0), funnel, batch_and_match(), max_steps=200)
    assert any("not near a Gaussian" in said for said in fit.warnings)


def test_mismatch_is_nought_at_the_target_and_one_where_it_is_flat():
    x = jnp.asarray(draws_and_scores(40, 3)[0])
    zero = jnp.zeros(())
    assert float(mismatch(Batch(x, -x, zero, zero))) == 0
    np.testing.assert_allclose(mismatch(Batch(x, 0 * x, zero, zero)), np.mean(np.asarray(x) ** 2), rtol=1e-6)


def random_low_rank(dim, rank, seed):
    generator = np.random.default_rng(seed)
    parts = generator.normal(size=dim), 0.3 * generator.normal(size=dim), generator.normal(size=(dim, rank))
    return LowRank(*map(jnp.asarray, parts))


def dense_covariance(q):
    scale = np.exp(q.log_scale)
    return scale[:, None] * (np.eye(len(scale)) + np.asarray(q.factor) @ np.asarray(q.factor).T) * scale


def test_low_rank_coordinates_are_those_of_the_covariance_written_out():
    q, matcher = random_low_rank(6, 2, 0), LowRankMatcher(2)
    factor = np.asarray(matcher.place(q, jnp.eye(6)) - q.location).T  # A
    np.testing.assert_allclose(factor @ factor.T, dense_covariance(q), rtol=1e-4 if FLOAT32 else 1e-11)
    np.testing.assert_allclose(matcher.pull_back(q, jnp.eye(6)).T, factor.T, rtol=1e-4 if FLOAT32 else 1e-11, atol=1e-5)
    expected = 0.5 * np.linalg.slogdet(dense_covariance(q))[1]
    np.testing.assert_allclose(matcher.log_determinant(q), expected, rtol=1e-4 if FLOAT32 else 1e-11)


def test_a_product_of_roots_is_the_product_written_out():
    x, h = (jnp.asarray(part) for part in draws_and_scores(2, 7))
    _, first, second = match_in_roots(x, h, jnp.asarray(0.4))
    product, unit = LowRankPlus.of(first, second, first), jnp.eye(7)
    dense = np.asarray(first.times(unit) @ second.times(unit) @ first.times(unit))
    tolerance = 1e-4 if FLOAT32 else 1e-11
    np.testing.assert_allclose(product.covariance_times(unit), dense @ dense.T, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(product.variances(), np.diag(dense @ dense.T), rtol=tolerance)


def test_a_patch_is_at_rest_within_the_family_and_never_worse():
    q = random_low_rank(8, 2, 3)
    factor = np.asarray(q.factor)
    w, axes = np.linalg.eigh(factor @ factor.T)
    inside = LowRankPlus(jnp.ones(()), jnp.asarray(axes * (np.sqrt(1 + w) - 1)), jnp.asarray(axes))
    noise, found = jit(patch)(inside, q.factor)
    np.testing.assert_allclose(noise, 1.0, rtol=1e-3 if FLOAT32 else 1e-8)
    np.testing.assert_allclose(found @ found.T, factor @ factor.T, atol=1e-3 if FLOAT32 else 1e-7)

    x, h = (jnp.asarray(part) for part in draws_and_scores(20, 8))
    _, first, second = match_in_roots(x, h, jnp.asarray(0.4))
    match, unit = LowRankPlus.of(first, second), np.eye(8)
    covariance = np.asarray(match.covariance_times(jnp.eye(8)))

    def divergence(candidate):
        return 0.5 * (np.trace(np.linalg.solve(candidate, covariance)) + np.linalg.slogdet(candidate)[1])

    noise, found = (np.asarray(part) for part in jit(patch)(match, q.factor))
    assert divergence(np.diag(noise) + found @ found.T) < divergence(unit + factor @ factor.T) - 0.1


def test_the_move_of_a_low_rank_match_is_the_divergence_written_out():
    q, matcher = random_low_rank(7, 2, 5), LowRankMatcher(2)
    x, h = (jnp.asarray(part) for part in draws_and_scores(20, 7))
    zero = jnp.zeros(())
    new, move = jit(matcher.match)(q, Batch(x, h, zero, zero), jnp.asarray(0.3))
    old, cov = dense_covariance(q), dense_covariance(new)
    shift = np.asarray(new.location - q.location)
    expected = np.trace(np.linalg.solve(old, cov)) - 7 + shift @ np.linalg.solve(old, shift)
    expected = 0.5 * (expected + np.linalg.slogdet(old)[1] - np.linalg.slogdet(cov)[1])
    np.testing.assert_allclose(move, expected, rtol=1e-3 if FLOAT32 else 1e-9)


def test_low_rank_finds_a_gaussian_of_its_own_form():
    dim, rank = 40, 2
    q = random_low_rank(dim, rank, 7)
    covariance, mean = dense_covariance(q), np.asarray(q.location)
    target = gaussian(mean, np.linalg.inv(covariance))
    fit = vi.fit(jax.random.key(0), target, batch_and_match(rank), max_steps=400)
    assert fit.status.name == "CONVERGED"
    found = np.asarray(fit.posterior.covariance_matrix)
    shift = np.asarray(fit.posterior.loc) - mean
    inverse = np.linalg.inv(covariance)
    divergence = np.trace(inverse @ found) - dim + shift @ inverse @ shift
    divergence += np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(found)[1]
    assert 0.5 * divergence < 0.05


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="rank: expected at least 1"):
        batch_and_match(0)
    with pytest.raises(ValueError, match="num_draws: expected at least 1"):
        batch_and_match(num_draws=-2)
    with pytest.raises(ValueError, match="rank: expected at most the target's 2 dimensions, got 3"):
        vi.fit(jax.random.key(0), vi.from_log_density(lambda z: -z @ z, dim=2), batch_and_match(3))


def test_a_method_is_a_setting_and_travels():
    assert pickle.loads(pickle.dumps(batch_and_match(2))) == batch_and_match(2)
    leaves, structure = jax.tree.flatten(batch_and_match())
    assert leaves == []
    assert jax.tree.unflatten(structure, leaves) == batch_and_match()
