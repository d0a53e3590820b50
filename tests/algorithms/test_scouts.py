"""Where a natural-gradient fit begins: short climbs, and the tops where they meet."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import lambertw

import vi_toolkit as vi
from vi_toolkit.algorithms._scouts import (
    LOOK_DRAWS,
    NEARER,
    NUM_CLIMBS,
    SHARE,
    place,
    scout,
)
from vi_toolkit.algorithms._starting_points import SCALE_DRAWS, SCALES

CANDIDATES = np.random.default_rng(0).uniform(-2, 2, (8, 5))
LOOKS = NUM_CLIMBS * (len(NEARER) + LOOK_DRAWS) / 3  # gradients that all but the climbs cost


def scouted(target: vi.Target, candidates=CANDIDATES):
    return jax.jit(lambda key, t, c: (scout(jax.random.split(key)[0], t, c), place(key, t, c, 0)))(
        jax.random.key(0), target, jnp.asarray(candidates)
    )


@pytest.mark.any_precision
def test_climbs_on_a_gaussian_meet_at_its_mode_with_its_conditional_scales():
    sds = np.array([0.03, 0.1, 0.3, 1.0, 3.0])
    found, at = scouted(vi.from_log_density(lambda z: -0.5 * jnp.sum(((z - 3 * sds) / sds) ** 2), dim=5))
    assert bool(found.meet)
    assert np.all(np.abs(at.location / sds - 3) < 1)
    chosen = at.scale / (SHARE * sds)
    assert np.all((chosen > 0.5) & (chosen < 2))


def test_climbs_end_early_where_they_are_at_the_top():
    found, at = scouted(vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=5))
    assert NUM_CLIMBS * 2 <= found.gradients - LOOKS <= NUM_CLIMBS * 8
    np.testing.assert_allclose(at.location, 0.0, atol=0.1)
    assert at.gradients == found.gradients


def test_the_place_is_the_heavier_mode_though_the_other_is_higher():
    """Modes at (-5, -5), of sd 0.01 and mass 0.01, and at (5, 5): the first has 100 times the density."""

    def log_density(z):
        narrow = jnp.log(0.01) - 0.5 * jnp.sum(((z + 5) / 0.01) ** 2) - 2 * jnp.log(0.01)
        wide = jnp.log(0.99) - 0.5 * jnp.sum((z - 5) ** 2)
        return jnp.logaddexp(narrow, wide)

    starts = np.concatenate([np.full((3, 2), -5.01), np.full((4, 2), 3.0)]) * np.array([1.0, 1.001])
    found, at = scouted(vi.from_log_density(log_density, dim=2), starts)
    assert float(found.start_value.max()) > 2.0  # the slope of the narrow one is known
    np.testing.assert_allclose(at.location, 5.0, atol=0.2)
    np.testing.assert_allclose(found.elbo.max() - found.elbo[:3].max(), np.log(99), atol=1.5)


def eight_schools(z):
    y = jnp.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    s = jnp.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    mu, log_tau, theta = z[0], z[1], z[2:]
    tau = jnp.exp(log_tau)
    prior = -0.5 * (mu / 5) ** 2 - jnp.log1p((tau / 5) ** 2) + log_tau
    return prior + jnp.sum(-0.5 * ((theta - mu) / tau) ** 2 - log_tau) - 0.5 * jnp.sum(((y - theta) / s) ** 2)


@pytest.mark.parametrize("seed", range(3))
def test_a_hierarchy_whose_density_has_no_top_is_begun_round_and_where_the_climbs_began(seed):
    candidates = np.random.default_rng(seed).uniform(-2, 2, (8, 10))
    found, at = scouted(vi.from_log_density(eight_schools, dim=10), candidates)
    assert not bool(found.meet)
    likeliest = int(jnp.argmax(found.start_value))
    np.testing.assert_array_equal(at.location, found.start[likeliest])
    shares = at.location / candidates[likeliest]
    assert np.isclose(shares[0], NEARER).any()
    np.testing.assert_allclose(shares, shares[0])
    assert np.all(at.scale == at.scale[0])
    np.testing.assert_allclose(at.gradients - found.gradients, SCALE_DRAWS * len(SCALES) / 3)


def test_places_where_the_density_is_not_finite_are_passed_over():
    def log_density(z):
        return jnp.where(z[0] > 0, jnp.nan, -0.5 * jnp.sum((z + 1) ** 2))

    candidates = np.concatenate([np.full((4, 2), 1.0), np.full((3, 2), -0.5)])
    found, at = scouted(vi.from_log_density(log_density, dim=2), candidates)
    assert np.all(np.isneginf(found.elbo[:4]))
    np.testing.assert_array_equal(at.location, [-0.5, -0.5])  # the climbs that reached a top are few


def test_the_start_of_a_number_is_round_at_that_candidate():
    target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=5)
    for start in (3, jnp.asarray(3)):
        method = replace(vi.natural_gradient(), start=start)
        state, at = jax.jit(lambda m, t, c: m.init(jax.random.key(0), t, c))(method, target, jnp.asarray(CANDIDATES))
        np.testing.assert_array_equal(at.location, CANDIDATES[2])
        assert state.spent == 1 + SCALE_DRAWS * len(SCALES) / 3


@pytest.mark.parametrize("method", [vi.natural_gradient(), vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())])
def test_a_density_that_overflows_at_all_usual_starts_is_begun_near_the_origin(method):
    """log p~ = -cosh x, x = 1e6 z + 3, has its best normal at E[x] = 0, sd^2 = s with s exp(s / 2) = 1."""
    target = vi.from_log_density(lambda z: -jnp.sum(jnp.cosh(1e6 * z + 3)), dim=2)
    assert not np.isfinite(float(target.log_density(jnp.full(2, 0.5))))
    fit = vi.fit(jax.random.key(0), target, method)
    assert fit.status is vi.Status.CONVERGED
    np.testing.assert_allclose(1e6 * fit.posterior.mean, -3.0, atol=0.05)
    np.testing.assert_allclose(1e12 * fit.posterior.variance, 2 * lambertw(0.5).real, rtol=0.05)
