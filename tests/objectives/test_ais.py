"""Annealed importance sampling, against integrals and moments in closed form."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.compilations import jit
from vi_toolkit.objectives._ais import anneal, look, transition

pytestmark = pytest.mark.any_precision

MEAN, VARIANCE, LOG_EVIDENCE = np.array([0.9, -1.2]), np.array([0.2, 0.6]), 3.0
NUM_DRAWS = 20_000


def log_p(z):
    """A normal with evidence e^3."""
    return LOG_EVIDENCE - 0.5 * jnp.sum((z - MEAN) ** 2 / VARIANCE + np.log(2 * np.pi * VARIANCE), axis=-1)


def log_q(z):
    """A standard normal."""
    return -0.5 * jnp.sum(z**2 + np.log(2 * np.pi), axis=-1)


def of_power(power, mean, variance):
    """Mean, variances and log integral of p^power q^(1 - power), q standard normal."""
    precision = power / variance + 1 - power
    centre = power * mean / variance / precision
    log_integral = (
        0.5 * (precision * centre**2 - power * (mean**2 / variance + np.log(variance)) - np.log(precision)).sum()
    )
    return centre, 1 / precision, power * LOG_EVIDENCE + log_integral


@partial(jit, static_argnames="power")
def run(key, power, steps):
    key_draw, key_run = jax.random.split(key)
    start = look(log_q, log_p, jax.random.normal(key_draw, (NUM_DRAWS, 2)))
    scale = jnp.array([0.8, 1.0])
    return anneal(key_run, log_q, log_p, start, steps, scale, 3, power), power * (start.log_p - start.log_q)


def within(errors, mean, expected):
    return np.all(np.abs(np.asarray(mean) - expected) < 5 * np.asarray(errors))


def share(log_weights):
    """The effective number of draws, as a share of all."""
    weights = np.exp(np.asarray(log_weights, float) - np.max(log_weights))
    return weights.sum() ** 2 / (weights**2).sum() / len(weights)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_weights_are_unbiased_and_stand_for_the_density_annealed_to(key, power):
    annealed, plain = run(key, power, jnp.full(3, 0.4))
    centre, variance, log_integral = of_power(power, MEAN, VARIANCE)
    weights = np.exp(np.asarray(annealed.log_weights, float) - log_integral)
    assert within(weights.std() / NUM_DRAWS**0.5, weights.mean(), 1.0)
    points = np.asarray(annealed.place.points, float)
    for values, expected in ((points - centre, 0.0), ((points - centre) ** 2, variance)):
        weighted = weights[:, None] * (values - expected)  # of mean zero, whatever the integral is
        assert within(weighted.std(0) / NUM_DRAWS**0.5, weighted.mean(0), 0.0)
    # annealing is worth its while, and the transitions are neither all accepted nor all refused
    assert share(annealed.log_weights) > 1.5 * share(plain)
    assert np.all((annealed.acceptance > 0.3) & (annealed.acceptance < 0.999))


def test_a_transition_leaves_its_density_invariant(key):
    share, steps = 1.5, jnp.array([0.45, 0.7])  # so large that a third of the proposals is refused
    centre, variance, _ = of_power(share, MEAN, VARIANCE)
    key_draw, key_move = jax.random.split(key)
    points = jnp.asarray(centre + np.sqrt(variance) * np.asarray(jax.random.normal(key_draw, (NUM_DRAWS, 2))))

    @jit
    def move(key, points):
        return transition(key, log_q, log_p, look(log_q, log_p, points), jnp.asarray(share), steps, 2)

    place, acceptance = move(key_move, points)
    moved = np.asarray(place.points, float) - centre
    assert 0.3 < float(acceptance) < 0.9
    assert np.mean(np.any(place.points != points, axis=1)) == pytest.approx(float(acceptance), abs=0.02)
    assert within(np.sqrt(variance / NUM_DRAWS), moved.mean(0), 0.0)
    assert within(variance * np.sqrt(2 / NUM_DRAWS), (moved**2).mean(0), variance)
    assert within(variance.prod() ** 0.5 / NUM_DRAWS**0.5, moved.prod(1).mean(), 0.0)
    # fourth moments, which a transition that is only right to second order would miss
    assert within(variance**2 * np.sqrt(96 / NUM_DRAWS), (moved**4).mean(0), 3 * variance**2)
    for name, again in zip(place._fields, look(log_q, log_p, place.points), strict=True):
        np.testing.assert_allclose(getattr(place, name), again, rtol=1e-4, atol=1e-4)


def test_points_without_a_density_stay_where_they_were(key):
    def half(z):
        return jnp.where(z[:, 0] < 0, jnp.nan, log_p(z))

    points = jnp.abs(jax.random.normal(key, (500, 2)))
    place, _ = jit(lambda key: transition(key, log_q, half, look(log_q, half, points), jnp.ones(()), jnp.ones(2), 2))(
        key
    )
    assert np.all(np.isfinite(place.log_p))
    assert np.all(np.asarray(place.points)[:, 0] >= 0)
