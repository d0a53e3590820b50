"""Reverse KL as an objective."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.registry import random_params


def test_the_loss_is_minus_the_elbo_and_the_elbo_is_the_mean_log_weight():
    guide = vi.FullRankNormal()
    params, key = random_params(guide), jax.random.key(2)
    target = vi.from_log_density(lambda z: -jnp.sum(jnp.abs(z)), dim=2)
    loss, info = vi.ReverseKL().loss(key, params, guide, target, 6)
    points, _, _ = guide.draw(key, params, 6)
    log_p = -np.abs(np.asarray(points)).sum(1)
    expected = np.mean(log_p - np.asarray(guide.distribution(params).log_prob(points)))
    np.testing.assert_allclose(info["elbo"], expected, rtol=1e-12)
    np.testing.assert_allclose(loss, -info["elbo"], rtol=1e-13)


def test_the_elbo_and_the_divergence_add_up_to_the_log_evidence():
    guide = vi.MeanFieldNormal()
    params = {"location": jnp.array([0.5]), "log_scale": jnp.array([-0.3])}
    target = vi.from_log_density(lambda z: 2.0 - 0.5 * jnp.sum(z**2), dim=1)
    elbo = -float(
        vi.ReverseKL(vi.estimators.closed_form_entropy).loss(jax.random.key(0), params, guide, target, 400_000)[0]
    )
    scale = np.exp(-0.3)
    divergence = 0.5 * (scale**2 + 0.25 - 1) + 0.3
    error = np.std([1.0]) + 5 * np.sqrt(0.5 * scale**4 + 0.25 * scale**2) / np.sqrt(200_000)
    assert abs(elbo + divergence - (2.0 + 0.5 * np.log(2 * np.pi))) < error


@pytest.mark.any_precision
def test_equal_settings_are_equal():
    assert vi.ReverseKL() == vi.ReverseKL(vi.estimators.stick_the_landing)
    assert hash(vi.ReverseKL()) == hash(vi.ReverseKL())
    assert vi.ReverseKL() != vi.ReverseKL(vi.estimators.reparameterised)


def test_an_estimator_must_be_one(without_type_checks):
    with pytest.raises(TypeError, match=r"estimator: expected a Estimator, got str 'stl'. Use one of vi.estimators"):
        vi.ReverseKL("stl")
