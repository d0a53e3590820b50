"""Fits by every source end at the minimiser of forward KL, and a fit whose draws were none of p says so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.compilations import count_compilations

S = vi.sources
SOURCES = {
    "default": None,
    "importance": S.Importance(),
    "adaptive importance": S.AdaptiveImportance(),
    "wake sleep": S.WakeSleep(),
    "tempered SMC": S.TemperedSMC(),
    "conditional importance": S.ScoreClimbing(),
    "HMC": S.ScoreClimbing(S.HMC()),
    "NUTS": S.ScoreClimbing(S.NUTS(2)),
}
MEAN, COVARIANCE = np.array([3.0, -20.0]), np.array([[1.0, 1.2], [1.2, 4.0]])
PRECISION = np.linalg.inv(COVARIANCE)
GAUSSIAN = vi.from_log_density(lambda z: 5.0 - 0.5 * (z - MEAN) @ PRECISION @ (z - MEAN), dim=2)
TWO = vi.zoo.two_modes(separation=8.0, weights=(0.75, 0.25), dim=1)


def standard(dim):
    return vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=dim)


def narrow(dim):
    return {"location": jnp.ones(dim), "log_scale": jnp.full(dim, -3.0)}


def fit_of(target, guide, source, key=1, **options):
    steps = options.pop("max_steps", None)
    return vi.fit(jax.random.key(key), target, vi.gradient(guide, vi.ForwardKL(source), **options), max_steps=steps)


def assert_moments(fit, mean, variance, tolerance):
    """The mean within a share of standard deviations, and the variances within twice that share."""
    assert fit.status.name == "CONVERGED"
    q = fit.posterior
    np.testing.assert_array_less(np.abs(q.mean - mean) / np.sqrt(variance), tolerance)
    np.testing.assert_array_less(np.abs(np.log(q.variance / variance)) / 2, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("guide", [vi.FullRankNormal(), vi.MeanFieldNormal()], ids=["full rank", "mean field"])
def test_on_a_correlated_gaussian(guide, name):
    """The best full-rank normal is p itself, the best factorised one has its marginal variances."""
    fit = fit_of(GAUSSIAN, guide, SOURCES[name])
    assert_moments(fit, MEAN, np.diag(COVARIANCE), 0.02)
    if isinstance(guide, vi.FullRankNormal):
        covariance = fit.posterior.covariance_matrix
        assert abs(covariance[0, 1] / np.sqrt(np.prod(np.diag(covariance))) - 0.6) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
def test_on_two_modes_the_best_normal_has_the_mean_and_variance_of_both(name):
    """Those that only follow q must begin where q reaches both."""
    follows = name in ("wake sleep", "conditional importance", "NUTS", "HMC")
    start = {"location": jnp.zeros(1), "log_diagonal": jnp.full(1, 1.5), "lower": jnp.zeros((1, 1))}
    fit = fit_of(TWO.target, vi.FullRankNormal(), SOURCES[name], start=start if follows else None)
    if name in ("NUTS", "HMC"):  # each chain stays in its mode, so the shares are those of the start
        assert np.median(fit.history["ess"][-100:]) < 0.05
        assert any("stuck each in a mode" in words for words in fit.warnings)
    else:
        assert_moments(fit, TWO.mean, TWO.sd**2, 0.03)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
def test_on_a_heavy_tail(name):
    """A Student-t of 8 degrees of freedom; where the weights have no bound the variance comes out a little low."""
    t = vi.zoo.student_t(2, degrees_of_freedom=8.0)
    fit = fit_of(t.target, vi.FullRankNormal(), SOURCES[name])
    assert_moments(fit, np.zeros(2), 8 / 6, 0.03)


@pytest.mark.slow
def test_a_fit_in_one_dimension_by_particles():
    """From a start at one mode to the mean and variance of both; a second time without a new program."""

    def fitted():
        return fit_of(TWO.target, vi.FullRankNormal(), S.TemperedSMC(10.0, S.HMC(2)), num_draws=256)

    fit = fitted()
    assert_moments(fit, TWO.mean, TWO.sd**2, 0.03)
    assert fit.num_gradients == 8 * 50 + fit.num_steps * (2 * 256 / 3 + 3 * 256)
    assert fit.history["temper"][0] < 0.3
    assert fit.history["temper"][-1] == 1
    compiled, again = count_compilations(fitted)
    assert compiled == 0
    np.testing.assert_array_equal(again.posterior.mean, fit.posterior.mean)


def test_a_fit_whose_weights_collapsed_says_so_until_they_have_not():
    """Ten dimensions, and a q whose scale is a twentieth: at first a few draws take all, later all count."""
    collapsed = fit_of(standard(10), vi.MeanFieldNormal(), None, start=narrow(10), max_steps=20)
    assert collapsed.status.name == "COLLAPSED"
    assert any(
        words.startswith("COLLAPSED: the importance weights rested on a few draws") for words in collapsed.warnings
    )
    assert any(words.startswith("forward KL") for words in collapsed.warnings)
    fit = vi.resume(collapsed)
    assert fit.status.name == "CONVERGED"
    assert fit.warnings == ()
    np.testing.assert_allclose(fit.posterior.variance, 1.0, rtol=0.03)


def test_draws_of_a_narrow_q_collapse_in_many_dimensions():
    collapsed = fit_of(standard(60), vi.MeanFieldNormal(), S.WakeSleep(), start=narrow(60), num_draws=32, max_steps=30)
    assert collapsed.status.name == "COLLAPSED"
    assert any("of q's draws only 1" in words for words in collapsed.warnings)


def history(**medians):
    return {name: np.full(100, value) for name, value in medians.items()}


def test_when_weights_count_as_collapsed():
    assert S.Importance().collapsed(history(temper=0.49, ess=0.001, khat=0.6))
    assert not S.Importance().collapsed(history(temper=0.51, ess=0.01, khat=0.6))
    assert S.Importance().collapsed(history(temper=1.0, ess=0.3, khat=1.1))
    assert S.AdaptiveImportance().collapsed(history(temper=0.3, ess=0.001))
    assert not S.AdaptiveImportance().collapsed(history(temper=0.9, ess=0.01))
    assert S.WakeSleep().collapsed(history(effective_draws=1.8, ess=0.004))
    assert not S.WakeSleep().collapsed(history(effective_draws=2.2, ess=0.004))
    assert not S.WakeSleep().collapsed(history(effective_draws=1.6, ess=0.8))  # two draws, both of use
    for source in (S.Importance(), S.AdaptiveImportance(), S.WakeSleep(), S.ScoreClimbing(), S.TemperedSMC()):
        nothing = {name: np.zeros(0) for name in source.tracked}
        assert not source.collapsed(nothing)
        assert source.warnings(nothing) == []
    (words,) = S.Importance().warnings(history(temper=1.0, ess=0.3, khat=0.81))
    assert "k-hat 0.81" in words
    assert S.Importance().warnings(history(temper=1.0, ess=0.3, khat=0.6)) == []


@pytest.mark.parametrize(
    "source",
    [S.AdaptiveImportance(2), pytest.param(S.TemperedSMC(4.0, S.HMC(1)), marks=pytest.mark.slow)],
    ids=["adaptive importance", "tempered SMC"],
)
def test_a_fit_with_a_memory_is_saved_and_goes_on(source, tmp_path):
    """Ten steps and ten more from the file are twenty steps, bit for bit."""
    method = vi.gradient(vi.MeanFieldNormal(), vi.ForwardKL(source), num_draws=16)
    whole = vi.fit(jax.random.key(0), GAUSSIAN, method, max_steps=20)
    half = vi.fit(jax.random.key(0), GAUSSIAN, method, max_steps=10)
    vi.save(half, tmp_path / "fit.npz")
    loaded = vi.load(tmp_path / "fit.npz", GAUSSIAN)
    assert loaded.method == method
    again = vi.resume(loaded, max_steps=10)
    for a, b in zip(jax.tree.leaves(again.checkpoint.state), jax.tree.leaves(whole.checkpoint.state), strict=True):
        np.testing.assert_array_equal(a, b)
