"""Growing until nothing is missing: every mode of a ring, with its weight, and no component too many."""

import jax
import numpy as np
import pytest
from scipy.special import softmax

import vi_toolkit as vi


def shares(exact, fit):
    return exact.mode_shares(fit.posterior.sample(jax.random.key(9), (20_000,))).mean(0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_it_finds_all_modes_where_a_plain_fit_misses_one(seed):
    ring = vi.zoo.ring_of_modes(5, radius=10.0)
    plain = vi.fit(jax.random.key(seed), ring.target, vi.gradient(vi.NormalMixture(5), vi.ReverseKL()))
    assert shares(ring, plain).min() < 1e-6
    grown = vi.grow_mixture(jax.random.key(seed), ring.target, max_components=7)
    assert grown.status is vi.Status.CONVERGED
    assert grown.method.guide == vi.NormalMixture(5)
    np.testing.assert_allclose(softmax(grown.params["log_weights"]), np.full(5, 0.2), rtol=0.05)
    angle = 2 * np.pi * np.arange(5) / 5
    modes = 10.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    nearest = [np.linalg.norm(grown.params["components"]["location"] - mode, axis=1).min() for mode in modes]
    assert max(nearest) < 0.05
    assert abs(grown.history["elbo"][-100:].mean()) < 0.01  # the target is normalised: log Z = 0
    assert grown.warnings == ()


def test_it_stops_where_nothing_is_missing_and_counts_the_whole_search():
    target = vi.zoo.correlated_gaussian(2, condition_number=4.0).target
    alone = vi.fit(jax.random.key(0), target)
    grown = vi.grow_mixture(jax.random.key(0), target, max_components=3)
    assert grown.method == alone.method  # one component was enough
    for name, values in alone.params.items():
        np.testing.assert_array_equal(grown.params[name], values)
    assert grown.num_gradients > 2 * alone.num_gradients
    assert grown.warnings == alone.warnings


def test_it_says_so_where_the_bound_ends_it():
    target = vi.zoo.two_modes(separation=20.0, weights=(0.3, 0.7), dim=1).target
    method = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())
    grown = vi.grow_mixture(jax.random.key(0), target, method, max_components=2)
    assert grown.method.guide == vi.NormalMixture(2, vi.MeanFieldNormal())
    np.testing.assert_allclose(np.sort(softmax(grown.params["log_weights"])), [0.3, 0.7], rtol=0.02)
    assert "ended at max_components=2; the last one raised the ELBO by" in grown.warnings[-1]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"max_components": 0}, ValueError, "max_components: expected at least 1"),
        ({"tolerance": 0.0}, ValueError, "tolerance: expected a finite number above 0"),
        ({"method": vi.FullRankNormal()}, TypeError, "method: expected a GradientMethod"),
    ],
)
def test_settings_that_grow_nothing(without_type_checks, options, error, words):
    target = vi.from_log_density(lambda z: -0.5 * z @ z, dim=1)
    with pytest.raises(error, match=words):
        vi.grow_mixture(jax.random.key(0), target, **options)
