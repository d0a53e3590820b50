"""How far a log density is from following its own gradient: none, by a known share, or by all there is."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from vi_toolkit.diagnostics import roughness

KEY = jax.random.key(0)
DRAWS = np.random.default_rng(0).standard_normal((64, 2))


def quadratic(z):
    return -0.5 * jnp.sum((z - 1.0) ** 2)


@pytest.fixture(scope="module")
def fit() -> vi.Fit:
    return vi.fit(KEY, vi.from_log_density(quadratic, dim=2), vi.laplace())


def of(fit, log_density) -> vi.Fit:
    """The same q against another density."""
    return dataclasses.replace(fit, target=vi.from_log_density(log_density, dim=2))


def test_a_quadratic_follows_its_gradient_exactly(fit):
    """Its central difference is 2 u . grad, with nothing left of the curvature."""
    assert roughness(KEY, fit, DRAWS) < 1e-9


def test_of_a_smooth_density_the_step_squared_is_left(fit):
    """sum sin(z_i): a difference is 2 cos(z) sin(u), so that |sin(u) / u - 1| < u^2 / 6 of each term is left."""
    assert 0.0 < roughness(KEY, of(fit, lambda z: jnp.sum(jnp.sin(z))), DRAWS) < 0.02**2


@pytest.mark.parametrize(("share", "expected"), [(0.5, 1.0), (0.8, 0.25), (1.25, 0.2), (-1.0, 2.0)])
def test_a_gradient_that_is_wrong_by_a_factor(fit, share, expected):
    """|d - share d| / |share d| = |1 / share - 1|, where the gradient is ``share`` of the true one."""

    def wrong(z):
        value = quadratic(z)
        return share * value + jax.lax.stop_gradient((1.0 - share) * value)

    assert roughness(KEY, of(fit, wrong), DRAWS) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("num_bad", "is_known"), [(32, True), (33, False)])
def test_half_of_the_points_are_enough(fit, num_bad, is_known):
    draws = np.where(np.arange(64)[:, None] < num_bad, -2.0, 2.0) * np.ones(2)
    found = roughness(KEY, of(fit, lambda z: jnp.where(z[0] > 0.0, quadratic(z), jnp.nan)), draws)
    assert (found < 1e-9) if is_known else np.isnan(found)


def test_what_is_no_fit_or_no_key_is_refused(fit, without_type_checks):
    with pytest.raises(TypeError, match="fit: expected a Fit"):
        roughness(KEY, fit.target, DRAWS)
    with pytest.raises(TypeError, match="key: expected one JAX random key"):
        roughness(0, fit, DRAWS)
