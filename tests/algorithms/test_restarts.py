"""Restarts: every mode found, the best or the right weights, nothing lost on resumption, failures told in words."""

import pickle
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from numpyro.distributions import MixtureSameFamily
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from scipy.stats import norm

import vi_toolkit as vi
from tests.compilations import count_compilations, jit
from tests.registry import GUIDES, TARGETS, log_prob, random_params
from vi_toolkit.algorithms import Outcome
from vi_toolkit.algorithms._diverse_starts import diverse_candidates
from vi_toolkit.algorithms._run_mixture import RunMixture, run_mixture
from vi_toolkit.algorithms._stacking import MAX_ASCENTS, ascend

IS_FLOAT64 = jnp.result_type(float) == jnp.float64
GRADIENT = vi.gradient(vi.FullRankNormal(), vi.ReverseKL())
NATURAL = vi.natural_gradient()
METHODS = {"gradient": GRADIENT, "natural gradient": NATURAL}


def mixture_of_two(log_weights, centres, scales, z):
    """log sum_k w_k N(z; c_k 1, s_k^2 I)."""
    squares = jnp.sum((z - centres[:, None]) ** 2, axis=1) / scales**2
    return jax.nn.logsumexp(log_weights - 0.5 * squares - len(z) * (jnp.log(scales) + 0.5 * jnp.log(2 * jnp.pi)))


def thirty_seventy(weights=(0.3, 0.7), centres=(-5.0, 5.0), scales=(0.8, 1.0), dim=2):
    """The target, its mean and its variances."""
    w, c, s = np.array(weights), np.array(centres), np.array(scales)
    arrays = (jnp.asarray(a, jnp.result_type(float)) for a in (np.log(w), c, s))
    target = vi.from_log_density(Partial(mixture_of_two, *arrays), dim=dim)
    return target, w @ c, w @ (s**2 + c**2) - (w @ c) ** 2


def locations(fit):
    return np.asarray(fit.params["runs"]["location"])


@pytest.mark.any_precision
@pytest.mark.parametrize("name", METHODS)
def test_the_best_is_the_heavier_mode_in_every_seed(name):
    target, _, _ = thirty_seventy()
    for seed in range(5):
        fit = vi.fit(jax.random.key(seed), target, vi.restarts(METHODS[name], 4))
        assert fit.status.name == "CONVERGED"
        np.testing.assert_allclose(fit.posterior.mean, 5.0, atol=0.05)
        np.testing.assert_allclose(fit.posterior.variance, 1.0, rtol=0.05)
        # the ELBO of a normal that is a mode is log of the mode's weight
        expected = np.log(np.where(locations(fit)[:, 0] > 0, 0.7, 0.3))
        np.testing.assert_allclose(fit.params["elbo"], expected, atol=0.02)
        assert set(expected) == set(np.log([0.7, 0.3]))


@pytest.mark.any_precision
@pytest.mark.parametrize(("name", "combine"), [("gradient", "mixture"), ("natural gradient", "stack")])
def test_a_mixture_of_runs_is_the_mixture(name, combine):
    target, mean, variance = thirty_seventy()
    fit = vi.fit(jax.random.key(0), target, vi.restarts(METHODS[name], 5, combine))
    assert fit.status.name == "CONVERGED"
    left = locations(fit)[:, 0] < 0
    assert 0 < left.sum() < 5
    weights = softmax(np.asarray(fit.params["log_weights"]))
    np.testing.assert_allclose(weights[left].sum(), 0.3, atol=0.02)
    if combine == "mixture":  # runs in one place share its weight
        np.testing.assert_allclose(weights[left], 0.3 / left.sum(), atol=0.02)
    assert isinstance(fit.posterior, MixtureSameFamily)
    np.testing.assert_allclose(fit.posterior.mean, mean, atol=0.2)
    np.testing.assert_allclose(np.sqrt(fit.posterior.variance), np.sqrt(variance), rtol=0.03)
    points = jnp.array([[-5.0, -5.2], [5.0, 4.0], [6.0, 5.0]])
    np.testing.assert_allclose(
        fit.posterior.log_prob(points), jax.vmap(target.log_density)(points), atol=0.05 + 0.05 * (not IS_FLOAT64)
    )
    (words,) = [words for words in fit.warnings if "places" in words]
    assert "5 restarts that did not fail ended in 2 places" in words


@pytest.mark.parametrize("name", METHODS)
def test_sixteen_runs_find_four_modes(name):
    exact = vi.zoo.ring_of_modes(4, radius=8.0)
    for seed in range(3):
        fit = vi.fit(jax.random.key(seed), exact.target, vi.restarts(METHODS[name], 16, "stack"))
        offsets = np.linalg.norm(locations(fit)[:, None] - exact.modes, axis=2)
        assert set(offsets.argmin(axis=1)) == {0, 1, 2, 3}
        assert offsets.min(axis=1).max() < 0.05
        at = np.asarray([np.exp(fit.params["log_weights"])[offsets.argmin(axis=1) == k].sum() for k in range(4)])
        np.testing.assert_allclose(at / at.sum(), 0.25, atol=0.02)
        assert any("in 4 places" in words for words in fit.warnings)


def test_two_modes_of_the_zoo_are_both_found_by_four_runs():
    exact = vi.zoo.two_modes(separation=10.0, weights=(0.2, 0.8), dim=5)
    for seed in range(3):
        fit = vi.fit(jax.random.key(seed), exact.target, vi.restarts(NATURAL, 4, "stack"))
        np.testing.assert_allclose(np.unique(locations(fit)[:, 0].round()), [-5.0, 5.0])
        np.testing.assert_allclose(fit.posterior.mean, exact.mean, atol=0.2)
        np.testing.assert_allclose(np.sqrt(fit.posterior.variance), exact.sd, rtol=0.03)


@pytest.mark.parametrize("many", [False, True])
def test_the_regions_are_those_of_the_modes_and_the_first_is_that_of_a_plain_fit(many):
    exact = vi.zoo.ring_of_modes(4, radius=8.0)
    candidates = jnp.asarray(np.random.default_rng(0).uniform(-2, 2, (8, 2)))
    regions = np.asarray(
        jit(diverse_candidates, static_argnums=(3, 4))(jax.random.key(0), exact.target, candidates, 5, many)
    )
    np.testing.assert_array_equal(regions[0], candidates)
    own = np.abs(regions[1:, 0]).argmax(axis=1), np.sign(regions[1:, 0]).max(axis=1)
    quadrants = {(axis, np.sign(point[axis])) for axis, point in zip(own[0], regions[1:, 0], strict=True)}
    assert len(quadrants) >= 3  # of the three modes that the best climb did not reach
    spread = np.ptp(regions[1:], axis=1).max(axis=1)
    assert np.all(spread > 0.5) if many else np.all(spread == 0)


@pytest.mark.parametrize("name", METHODS)
def test_one_run_is_a_plain_fit(name):
    precision = jnp.array([[2.0, 0.9], [0.9, 1.0]])
    target = vi.from_log_density(lambda z: -0.5 * (z - 3.0) @ precision @ (z - 3.0), dim=2)
    fit = vi.fit(jax.random.key(0), target, vi.restarts(METHODS[name], 1))
    plain = vi.fit(jax.random.key(0), target, METHODS[name])
    assert fit.status is plain.status
    assert fit.warnings == ()
    np.testing.assert_allclose(fit.posterior.mean, plain.posterior.mean, atol=0.01)
    np.testing.assert_allclose(fit.posterior.covariance_matrix, np.linalg.inv(precision), atol=0.02)
    log_evidence = np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(precision)[1]
    np.testing.assert_allclose(fit.params["elbo"], [log_evidence], atol=0.01)


def test_gradients_are_counted():
    target, _, _ = thirty_seventy()
    search = 32 * (50 + 1 / 3)
    fit = vi.fit(jax.random.key(0), target, vi.restarts(GRADIENT, 3), max_steps=120)
    blocks = 4 + 16  # after 1, 4, 16 and 64 steps one each, and in the middle of the first window; the next is at 150
    assert fit.history["combining"].sum() == pytest.approx(search + 3 * 64 * blocks / 3, rel=1e-6)
    assert fit.num_gradients == pytest.approx(3 * (400 + 120 * 32) + search + 3 * 64 * blocks / 3, rel=1e-6)
    fit = vi.fit(jax.random.key(0), target, vi.restarts(NATURAL, 3))
    early = sum(fit.num_steps > n for n in (1, 4, 16, 64))
    each = fit.history["gradients"] - fit.history["combining"]
    alone = vi.fit(
        jax.random.key(0), target, replace(NATURAL, start=1), max_steps=1
    )  # a run makes no climbs of its own
    np.testing.assert_allclose(each[0], 3 * alone.num_gradients, rtol=1e-6)
    np.testing.assert_allclose(each[1:], 16 * fit.history["going"][1:], rtol=1e-6)
    np.testing.assert_allclose(fit.history["combining"].sum(), search + 64 * (16 + early), rtol=1e-6)
    assert fit.num_gradients == pytest.approx(fit.history["gradients"].sum())
    assert fit.history["going"][0] == 3


def test_a_run_that_has_ended_is_left_as_it_is():
    target, method = TARGETS["NumPyro model"](), vi.restarts(NATURAL, 4)
    whole = vi.fit(jax.random.key(0), target, method)
    going = whole.history["going"]
    first = int(np.argmax(going < 4))  # the step after which the first run had ended
    assert 0 < first < whole.num_steps
    part = vi.fit(jax.random.key(0), target, method, max_steps=first)
    ended = np.asarray(part.checkpoint.state.outcomes) != 0
    assert ended.sum() == 4 - going[first]
    moved = np.abs(locations(whole) - locations(part)).max(axis=1)
    np.testing.assert_array_equal(moved[ended], 0.0)
    assert np.all(moved[~ended] > 0)


@pytest.mark.parametrize(("name", "total"), [("gradient", 260), ("natural gradient", 12)])
def test_a_key_gives_one_fit_and_resumption_changes_no_bit(tmp_path, name, total):
    target, method, half = TARGETS["NumPyro model"](), vi.restarts(METHODS[name], 3, "stack"), total // 2
    whole = vi.fit(jax.random.key(3), target, method, max_steps=total)
    part = vi.fit(jax.random.key(3), target, method, max_steps=half)
    vi.save(part, tmp_path / "fit")
    loaded = vi.load(tmp_path / "fit", target)
    assert loaded.method == method
    for again in (vi.resume(part, max_steps=half), vi.resume(loaded, max_steps=half)):
        assert again.num_steps == whole.num_steps
        for one, other in zip(jax.tree.leaves(again.params), jax.tree.leaves(whole.params), strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(again.history["loss"], whole.history["loss"])
    assert np.any(locations(part) != locations(whole))
    points = jnp.ones((2, 2))
    copy = pickle.loads(pickle.dumps(whole)).posterior
    np.testing.assert_array_equal(copy.log_prob(points), whole.posterior.log_prob(points))


@pytest.mark.any_precision
@pytest.mark.parametrize("name", METHODS)
def test_a_fit_to_other_data_compiles_nothing(name):
    method = vi.restarts(METHODS[name], 3, "stack")
    vi.fit(jax.random.key(0), thirty_seventy()[0], method).posterior.log_prob(jnp.zeros(2))
    other, _, _ = thirty_seventy((0.6, 0.4), (-5.0, 4.5), (1.0, 0.9))
    compiled, fit = count_compilations(lambda: vi.fit(jax.random.key(1), other, vi.restarts(METHODS[name], 3, "stack")))
    assert compiled == 0
    weights = np.exp(fit.params["log_weights"])
    np.testing.assert_allclose(weights[locations(fit)[:, 0] < 0].sum(), 0.6, atol=0.02)


def broken_on_the_right(z):
    """A mode at -4, and a slope up to the edge of a region, at 2, where the density is not finite."""
    left = jnp.sum(jax.scipy.stats.norm.logpdf(z, -4.0, 1.0))
    return jnp.where(z[0] > 0.0, jnp.where(z[0] > 2.0, jnp.nan, 3.0 * z[0] - 0.5 * z[1] ** 2 - 20.0), left)


@pytest.mark.parametrize(("name", "combine"), [("gradient", "best"), ("natural gradient", "stack")])
def test_failed_runs_count_nothing_and_are_told_of(name, combine):
    target = vi.from_log_density(broken_on_the_right, dim=2)
    fit = vi.fit(jax.random.key(0), target, vi.restarts(METHODS[name], 4, combine))
    failed = np.isneginf(np.asarray(fit.params["elbo"]))
    assert 0 < failed.sum() < 4
    assert fit.status.name == "CONVERGED"
    assert np.exp(fit.params["log_weights"])[failed].sum() == 0.0
    np.testing.assert_allclose(fit.posterior.mean, -4.0, atol=0.05)
    np.testing.assert_allclose(fit.posterior.variance, 1.0, rtol=0.05)
    np.testing.assert_allclose(np.asarray(fit.params["elbo"])[~failed], 0.0, atol=0.02)
    assert any(f"{failed.sum()} of 4 restarts failed" in words for words in fit.warnings)
    assert fit.history["failed"][-1] == failed.sum()


def test_where_all_runs_fail_the_fit_has_diverged():
    target = vi.from_log_density(lambda z: jnp.where(jnp.abs(z[0]) < 1e-6, -(z[0] ** 2), jnp.nan), dim=1)
    method = vi.restarts(NATURAL, 2)
    state, start = method.init(jax.random.key(0), target, jnp.zeros((8, 1)))
    assert bool(start.finite)
    step = jit(method.step)
    for i in range(600):
        state, facts = step(jax.random.key(i), state, target)
        if int(method.outcome(state)):
            break
    assert int(method.outcome(state)) == Outcome.DIVERGED
    assert facts["failed"] == 2


def overlapping(size=4000):
    """Ratios and lifts of three normals for a Cauchy density, from quasi-random draws, in one block."""
    normals = [(0.0, 0.3), (1.0, 0.2), (0.9, 0.25)]
    u = (np.arange(size) + 0.5) / size
    z = np.stack([norm.ppf(u, *q) for q in normals])
    log_q = np.stack([norm.logpdf(z, *q) for q in normals])  # [j, k, draws]
    own = log_q[np.arange(3), np.arange(3)]
    return -np.log(np.pi * (1 + z**2)) - own, np.moveaxis(log_q - own, 0, 1)


def test_the_ascent_finds_the_weights_of_the_highest_elbo():
    ratios, lifts = overlapping()

    def bound(weights):
        return weights @ np.mean(ratios - logsumexp(np.log(weights)[:, None] + lifts, axis=1), axis=1)

    best = minimize(
        lambda x: -bound(softmax(x)),
        np.zeros(3),
        method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 5000},
    )
    begin = jnp.full(3, -np.log(3))
    climbed = [
        np.exp(jit(ascend, static_argnums=4)(begin, jnp.asarray(ratios)[None], jnp.asarray(lifts)[None], 1, most))
        for most in (0, 1, 2, MAX_ASCENTS)
    ]
    values = [bound(np.maximum(weights, 1e-300)) for weights in climbed]
    assert values[0] < values[1] < values[2] < values[3]
    assert -best.fun - values[3] < 1e-4
    by_hand = np.exp(np.mean(ratios - logsumexp(lifts - np.log(3), axis=1), axis=1))
    np.testing.assert_allclose(climbed[1], by_hand / by_hand.sum(), rtol=1e-6)


@pytest.mark.parametrize("name", ["full rank", "low rank", "Student t, diagonal", "mixture", "sinh-arcsinh"])
def test_a_mixture_of_runs_is_that_of_its_parts(name):
    guide = GUIDES[name]()
    method = vi.gradient(guide, vi.ReverseKL())
    parts = [random_params(guide, seed=seed) for seed in range(3)]
    runs = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
    log_weights = jnp.log(jnp.array([0.2, 0.5, 0.3]))
    points = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)))
    expected = logsumexp(
        [w + np.asarray(log_prob(guide, part, points)) for w, part in zip(log_weights, parts, strict=True)], axis=0
    )
    plain, general = run_mixture(method, runs, log_weights), RunMixture(method, runs, log_weights)
    assert isinstance(plain, RunMixture if name == "mixture" else MixtureSameFamily)
    np.testing.assert_allclose(plain.log_prob(points), expected, rtol=1e-6)
    np.testing.assert_allclose(general.log_prob(points), expected, rtol=1e-6)
    np.testing.assert_allclose(general.log_prob(points[0]), expected[0], rtol=1e-6)
    if name in ("full rank", "low rank"):
        np.testing.assert_allclose(general.mean, plain.mean, rtol=1e-6)
        np.testing.assert_allclose(general.variance, plain.variance, rtol=1e-6)
        draws = np.asarray(general.sample(jax.random.key(0), (20_000,)))
        error = np.sqrt(np.asarray(plain.variance) / 20_000)
        assert np.all(np.abs(draws.mean(axis=0) - plain.mean) < 5 * error)
        np.testing.assert_allclose(draws.var(axis=0), plain.variance, rtol=0.1)


def test_bad_arguments_are_named(without_type_checks):
    with pytest.raises(TypeError, match="method: expected a Method, got the class FullRankNormal itself"):
        vi.restarts(vi.FullRankNormal)
    with pytest.raises(TypeError, match="method: expected one that is run once, got restarts already"):
        vi.restarts(vi.restarts(NATURAL))
    with pytest.raises(ValueError, match="num: expected at least 1, got 0"):
        vi.restarts(NATURAL, 0)
    with pytest.raises(TypeError, match=r"num: expected a whole number, got float 2\.5"):
        vi.restarts(NATURAL, 2.5)
    with pytest.raises(ValueError, match="combine: expected one of 'best', 'mixture', 'stack', got str 'worst'"):
        vi.restarts(NATURAL, 2, "worst")
    params = {"location": jnp.zeros(1), "log_scale": jnp.zeros(1)}
    with pytest.raises(ValueError, match="method: expected one that looks for its own start"):
        vi.restarts(vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), start=params))
