"""Stochastic gradients: what keeps one wild step from spoiling a fit, and how a course is told from noise."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vi_toolkit as vi
from vi_toolkit.algorithms._averages import add, begin_half, halves_and_whole, no_averages, split_rhat
from vi_toolkit.algorithms._optimizer import OUTLIER, cut_outliers


@pytest.mark.any_precision
def test_a_start_where_the_density_explodes_does_not_hold_a_fit_up():
    """The first gradients are of the order of 1e26; log p~ = z - exp(z) has E q = -0.5, sd 1 at its best normal."""
    target = vi.from_log_density(lambda z: jnp.sum(z - jnp.exp(z)), dim=3)
    wide = 40.0 if jax.config.jax_enable_x64 else 15.0
    start = {"location": jnp.zeros(3), "log_scale": jnp.log(jnp.full(3, wide))}
    fit = vi.fit(jax.random.key(0), target, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), start=start))
    assert fit.status is vi.Status.CONVERGED
    np.testing.assert_allclose(fit.posterior.mean, -0.5, atol=0.03)
    np.testing.assert_allclose(jnp.sqrt(fit.posterior.variance), 1.0, atol=0.03)


def test_a_fit_travels_faster_then_settles_at_a_lower_rate():
    """From 1,000 standard deviations away, with a scale that is right from the beginning."""
    target = vi.from_log_density(lambda z: -0.5 * jnp.sum((z - 1e3) ** 2), dim=2)
    start = {"location": jnp.zeros(2), "log_scale": jnp.zeros(2)}
    fit = vi.fit(jax.random.key(0), target, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), start=start))
    assert fit.status is vi.Status.CONVERGED
    assert fit.checkpoint.schedule.halvings >= 1 or fit.history["noise"][-1] < 1e-6
    np.testing.assert_allclose(fit.posterior.mean, 1e3, atol=0.02)
    assert fit.num_steps < 4000


def test_an_entry_is_cut_at_ten_times_its_own_root_mean_square():
    cut = cut_outliers()
    state = cut.init(jnp.zeros(3))
    for _ in range(300):
        kept, state = cut.update(jnp.array([2.0, -3.0, 0.0]), state)
        np.testing.assert_array_equal(kept, [2.0, -3.0, 0.0])
    kept, state = cut.update(jnp.array([1e30, -1e30, 5.0]), state)
    np.testing.assert_allclose(kept, [2.0 * OUTLIER, -3.0 * OUTLIER, 5.0], rtol=1e-5)  # what was zero has no size yet
    kept, _ = cut.update(jnp.array([2.0, -3.0, 5.0]), state)
    np.testing.assert_array_equal(kept, [2.0, -3.0, 5.0])


def course(values: np.ndarray):
    averages = no_averages({"x": jnp.full(values.shape[1], 1e3)}, jnp.result_type(float))
    for half in np.array_split(values, 2):
        averages = begin_half(averages)
        for value in half:
            averages = add(averages, {"x": jnp.asarray(value)})
    return averages


def test_rhat_of_a_straight_course_of_noise_and_of_standing_still():
    n = 400
    straight = 1e3 + np.linspace(0, 1, n)[:, None]
    assert np.isclose(split_rhat(course(straight)), np.sqrt(7), rtol=1e-3)
    noise = 1e3 + np.random.default_rng(0).normal(size=(n, 50))
    assert 1.0 < split_rhat(course(noise)) < 1.01
    assert split_rhat(course(np.full((n, 2), 7.0))) == 1.0
    mixed = np.concatenate([straight, noise[:, :1], np.full((n, 1), 7.0)], axis=1)
    assert np.isclose(split_rhat(course(mixed)) ** 2, 1 + 6 / 2, rtol=0.02)  # the square's mean over two that move


def test_averages_are_those_of_the_halves_and_of_all_steps():
    values = 1e3 + np.random.default_rng(1).normal(size=(10, 3))
    first, second, whole = halves_and_whole(course(values))
    np.testing.assert_allclose(first["x"], values[:5].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(second["x"], values[5:].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(whole["x"], values.mean(axis=0), rtol=1e-6)


def test_a_rate_of_ones_own_is_never_raised():
    target = vi.from_log_density(lambda z: -0.5 * jnp.sum((z - 1e3) ** 2), dim=2)
    start = {"location": jnp.zeros(2), "log_scale": jnp.zeros(2)}
    own = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), optax.adam(0.01), start=start)
    ours = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), start=start)
    rates = [
        float(vi.fit(jax.random.key(0), target, m, max_steps=600).checkpoint.state.learning_rate) for m in (own, ours)
    ]
    assert rates[0] == 1.0
    assert rates[1] > ours.guide.learning_rate(2)


def gone_astray(fit: vi.Fit) -> vi.Fit:
    """The fit, with a sum over its unfinished window that is far away, and losses that have exploded."""
    state = fit.checkpoint.state
    half = state.averages.present
    far = half._replace(sum=jax.tree.map(lambda x: x + 1e4 * half.steps, half.sum))
    astray = state._replace(averages=state.averages._replace(present=far))
    losses = np.full_like(fit.checkpoint.losses, 1e30)
    return replace(fit, checkpoint=replace(fit.checkpoint, state=astray, losses=losses))


@pytest.mark.parametrize(
    "method",
    [
        vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL()),
        vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), optax.adam(0.05)),
        vi.svgd(num_particles=10),
        vi.stein_mixture(vi.MeanFieldNormal(), num_components=2),
    ],
    ids=["gradient", "gradient, Adam", "svgd", "stein mixture"],
)
def test_a_window_that_went_wrong_is_undone(method):
    target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2)
    one_window = vi.fit(jax.random.key(0), target, method, max_steps=100)
    almost_two = vi.resume(one_window, max_steps=99)
    after = vi.resume(gone_astray(almost_two), max_steps=1)
    assert after.checkpoint.schedule.slow_downs == almost_two.checkpoint.schedule.slow_downs + 2
    assert after.checkpoint.state.learning_rate == 0.25 * almost_two.checkpoint.state.learning_rate
    jax.tree.map(np.testing.assert_array_equal, after.params, one_window.params)
    state = jax.tree.map(jnp.asarray, after.checkpoint.state)
    jax.tree.map(np.testing.assert_array_equal, method.latest(state), one_window.params)
    assert vi.resume(after, max_steps=1).num_steps == 201
