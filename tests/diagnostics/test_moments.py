import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from vi_toolkit.diagnostics import (
    log_sd_ratios,
    masses_of_shares,
    mean_errors,
    mode_masses,
    moments_of,
    moments_of_draws,
    reweighting_moves,
)


def test_moments_and_their_errors():
    """The errors are the size of the spread over repetitions, and the truth is met."""
    found = [moments_of_draws(np.random.default_rng(seed).gamma(3.0, size=(1000, 1))) for seed in range(300)]
    mean, sd, mean_se, log_sd_se = (np.array([getattr(m, name)[0] for m in found]) for name in found[0]._fields)
    assert abs(mean.mean() - 3.0) < 5 * mean.std() / np.sqrt(300)
    assert sd.mean() == pytest.approx(np.sqrt(3.0), rel=0.01)
    assert mean_se.mean() == pytest.approx(mean.std(), rel=0.2)
    assert log_sd_se.mean() == pytest.approx(np.log(sd).std(), rel=0.2)


def test_weighted_moments_are_those_of_the_target():
    """q = N(0, 2^2) reweighted to p = N(0.5, 1)."""
    z = 2.0 * np.random.default_rng(0).standard_normal((20_000, 1))
    log_weights = (-0.5 * (z - 0.5) ** 2 + 0.125 * z**2)[:, 0]
    found = moments_of_draws(z, log_weights)
    assert abs(found.mean[0] - 0.5) < 5 * found.mean_se[0]
    assert abs(np.log(found.sd[0])) < 5 * found.log_sd_se[0]
    assert found.mean_se[0] < 0.02


def test_closed_form_moments_have_no_error():
    found = moments_of(dist.Normal(jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0])).to_event(1), np.zeros((2, 2)))
    np.testing.assert_allclose(found.sd, [3.0, 4.0])
    np.testing.assert_array_equal(found.mean_se, 0.0)


@pytest.mark.parametrize(
    "q",
    [
        dist.MultivariateStudentT(0.9, jnp.zeros(1), jnp.eye(1)),  # its mean does not exist
        dist.TransformedDistribution(  # NumPyro has no moments for it
            dist.Normal(jnp.zeros(1), 1.0).to_event(1),
            dist.transforms.ComposeTransform([dist.transforms.ExpTransform()]),
        ),
    ],
)
def test_without_a_closed_form_draws_are_used(q):
    draws = np.asarray(q.sample(jax.random.key(0), (100,)), np.float64)
    found = moments_of(q, draws)
    np.testing.assert_allclose(found.mean, draws.mean(axis=0))
    assert (found.mean_se > 0).all()


def test_errors_are_in_posterior_sds_with_their_sign():
    errors = mean_errors([1.0, -4.0], [0.0, 0.0], [2.0, 4.0], se=np.array([0.2, 0.4]))
    np.testing.assert_allclose(errors.values, [0.5, -1.0])
    np.testing.assert_allclose(errors.ses, [0.1, 0.1])
    assert log_sd_ratios([0.5], [1.0]).values[0] == pytest.approx(-np.log(2))


def test_equal_weights_move_nothing():
    draws = np.random.default_rng(0).standard_normal((100, 3))
    for moved in reweighting_moves(draws, np.zeros(100)):
        np.testing.assert_allclose(moved.values, 0.0, atol=1e-14)
        np.testing.assert_allclose(moved.ses, 0.0, atol=1e-14)


def test_moves_and_their_errors():
    """q = N(0, 1) against p = N(0.2, 1.1^2): shift 0.2 / 1.1, log ratio log 1.1."""
    shifts, ratios = [], []
    for seed in range(200):
        z = np.random.default_rng(seed).standard_normal((2000, 1))
        log_weights = (-0.5 * ((z - 0.2) / 1.1) ** 2 + 0.5 * z**2)[:, 0]
        shift, ratio = reweighting_moves(z, log_weights)
        shifts.append((shift.values[0], shift.ses[0]))
        ratios.append((ratio.values[0], ratio.ses[0]))
    for moved, truth in ((np.array(shifts), 0.2 / 1.1), (np.array(ratios), np.log(1.1))):
        assert moved[:, 0].mean() == pytest.approx(truth, rel=0.05)
        assert moved[:, 1].mean() == pytest.approx(moved[:, 0].std(), rel=0.25)


def test_a_weight_on_one_draw_alone_is_not_silent():
    moved = reweighting_moves(np.arange(5.0)[:, None], np.array([0.0, -np.inf, -np.inf, -np.inf, -np.inf]))[1]
    assert not np.isfinite(moved.values).any()


def test_masses_of_a_mixture():
    generator = np.random.default_rng(0)
    which = generator.random(10_000) < 0.3
    draws = (np.where(which, -5.0, 5.0) + generator.standard_normal(10_000))[:, None]
    masses = mode_masses(draws, np.array([[-5.0], [5.0]]))
    assert masses.values.sum() == pytest.approx(1.0)
    assert abs(masses.values[0] - 0.3) < 5 * masses.ses[0]
    assert masses.ses[0] == pytest.approx(np.sqrt(0.3 * 0.7 / 10_000), rel=0.05)


def test_distance_to_modes_is_whitened():
    """The point is nearer to the first mode in the plain metric, to the second in units of the sds."""
    draws, modes = np.array([[6.0, 0.0]]), np.array([[6.0, 2.0], [0.0, 0.0]])
    np.testing.assert_array_equal(mode_masses(draws, modes).values, [1.0, 0.0])
    np.testing.assert_array_equal(mode_masses(draws, modes, scale=[10.0, 0.1]).values, [0.0, 1.0])
    np.testing.assert_array_equal(mode_masses(draws, modes, scale=np.diag([10.0, 0.1])).values, [0.0, 1.0])


def test_weighted_shares():
    masses = masses_of_shares(np.array([[1.0, 0.0], [0.0, 1.0]]), np.log([0.2, 0.8]))
    np.testing.assert_allclose(masses.values, [0.2, 0.8])


def test_modes_of_another_dimension():
    with pytest.raises(ValueError, match="modes: expected shape"):
        mode_masses(np.zeros((3, 2)), np.zeros((1, 3)))
