"""The loop: right answers from any start, statuses, reproducibility, interruption and exact continuation."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest

import vi_toolkit as vi
from tests.compilations import count_compilations
from tests.interrupted import interrupt_fits
from tests.typecheck import as_users_call_it
from vi_toolkit.interrupt import Interrupts


def normal_log_density(precision, mean, log_norm, z):
    return log_norm - 0.5 * (z - mean) @ precision @ (z - mean)


def normal_target(covariance: np.ndarray, mean: np.ndarray) -> vi.Target:
    """A normalised normal density whose data are leaves."""
    precision, dim = np.linalg.inv(covariance), len(mean)
    log_norm = -0.5 * np.linalg.slogdet(covariance)[1] - dim / 2 * np.log(2 * np.pi)

    bound = jax.tree_util.Partial(normal_log_density, jnp.asarray(precision), jnp.asarray(mean), jnp.asarray(log_norm))
    return vi.from_log_density(bound, dim=dim, log_evidence=0.0)


def correlated(dim: int, condition_number: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    rotation = np.linalg.qr(generator.normal(size=(dim, dim)))[0]
    return rotation * np.geomspace(1.0, condition_number, dim) @ rotation.T, generator.normal(size=dim)


def errors(fit: vi.Fit, covariance: np.ndarray, mean: np.ndarray) -> tuple[float, float]:
    """The largest error of a mean in posterior sds, and the largest log ratio of sds."""
    sd = np.sqrt(np.diag(covariance))
    means = np.abs(np.asarray(fit.posterior.mean) - mean) / sd
    return float(means.max()), float(np.abs(np.log(np.sqrt(np.asarray(fit.posterior.variance)) / sd)).max())


@pytest.mark.parametrize("objective", [vi.ReverseKL(), vi.ForwardKL()], ids=["reverse", "forward"])
@pytest.mark.parametrize(
    ("dim", "condition_number"), [(1, 1.0), pytest.param(3, 10.0, marks=pytest.mark.slow), (10, 1e4)]
)
def test_a_normal_posterior_is_found_from_ten_seeds(dim, condition_number, objective):
    covariance, mean = correlated(dim, condition_number)
    target = normal_target(covariance, mean)
    for seed in range(10):
        fit = vi.fit(jax.random.key(seed), target, vi.gradient(vi.FullRankNormal(), objective))
        mean_error, sd_error = errors(fit, covariance, mean)
        assert fit.status is vi.Status.CONVERGED
        assert max(mean_error, sd_error) < 0.02
        divergence = dist.kl_divergence(
            fit.posterior, dist.MultivariateNormal(jnp.asarray(mean), covariance_matrix=jnp.asarray(covariance))
        )
        assert float(divergence) < 0.01  # log Z - ELBO, exactly


@pytest.mark.float32
def test_a_normal_posterior_is_found_in_float32():
    covariance, mean = correlated(5, 100.0)
    target = normal_target(covariance, mean)
    for seed in range(5):
        fit = vi.fit(jax.random.key(seed), target, vi.gradient(vi.FullRankNormal(), vi.ReverseKL()))
        assert fit.params["location"].dtype == jnp.float32
        assert max(errors(fit, covariance, mean)) < 0.05
        assert abs(np.mean(fit.history["elbo"][-50:])) < 0.05


@pytest.mark.parametrize(
    ("dim", "condition_number"), [(2, 5.0), (2, 50.0), pytest.param(5, 20.0, marks=pytest.mark.slow), (10, 10.0)]
)
def test_mean_field_optima_of_a_correlated_normal(dim, condition_number):
    """Reverse KL: 1 / sqrt(P_ii), the conditional sds. Forward KL: sqrt(C_ii), the marginal ones."""
    covariance, mean = correlated(dim, condition_number, seed=dim)
    target = normal_target(covariance, mean)
    conditional = 1 / np.sqrt(np.diag(np.linalg.inv(covariance)))
    marginal = np.sqrt(np.diag(covariance))
    key = jax.random.key(1)
    reverse = vi.fit(key, target, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), num_draws=128))
    forward = vi.fit(key, target, vi.gradient(vi.MeanFieldNormal(), vi.ForwardKL(), num_draws=2048))
    for fit, sd in ((reverse, conditional), (forward, marginal)):
        np.testing.assert_allclose(np.sqrt(fit.posterior.variance), sd, rtol=0.02)
        np.testing.assert_array_less(np.abs(fit.posterior.mean - mean) / marginal, 0.02)


def two_modes(weight: float = 0.3) -> vi.Target:
    """weight N((-3, 0), I) + (1 - weight) N((3, 0), I)."""
    centres = jnp.array([[-3.0, 0.0], [3.0, 0.0]])
    log_weights = jnp.log(jnp.array([weight, 1 - weight]))

    def log_density(z):
        return jax.nn.logsumexp(log_weights - 0.5 * jnp.sum((z - centres) ** 2, axis=-1)) - jnp.log(2 * jnp.pi)

    return vi.from_log_density(log_density, dim=2, log_evidence=0.0)


def test_reverse_kl_seeks_a_mode_and_forward_kl_covers_both():
    target = two_modes()  # one, so that its programs are compiled once
    for seed in range(5):
        key = jax.random.key(seed)
        reverse = vi.fit(key, target, vi.gradient(vi.FullRankNormal(), vi.ReverseKL()))
        forward = vi.fit(key, target, vi.gradient(vi.FullRankNormal(), vi.ForwardKL()))
        share = np.mean(np.asarray(reverse.posterior.sample(jax.random.key(9), (20_000,)))[:, 0] < 0)
        assert min(share, 1 - share) < 0.01
        np.testing.assert_allclose(forward.posterior.mean, [1.2, 0.0], atol=0.03 * np.sqrt(8.56))
        np.testing.assert_allclose(np.diag(forward.posterior.covariance_matrix), [8.56, 1.0], rtol=0.03)
        assert abs(forward.posterior.covariance_matrix[0, 1]) < 0.03 * np.sqrt(8.56)


def test_a_mixture_guide_finds_a_mixture_from_ten_seeds():
    target, method = two_modes(), vi.gradient(vi.NormalMixture(2), vi.ReverseKL())
    for seed in range(10):
        fit = vi.fit(jax.random.key(seed), target, method)
        order = np.argsort(fit.params["components"]["location"][:, 0])
        weights = np.asarray(jax.nn.softmax(fit.params["log_weights"]))[order]
        np.testing.assert_allclose(weights, [0.3, 0.7], atol=0.01)
        np.testing.assert_allclose(fit.params["components"]["location"][order], [[-3, 0], [3, 0]], atol=0.02)
        assert abs(np.mean(fit.history["elbo"][-50:])) < 0.01


def test_units_do_not_matter():
    """The same posterior in units a million times larger and smaller is fitted to the same accuracy."""
    covariance, mean = correlated(4, 100.0)
    for factor in (1e-6, 1e6):
        scale = np.geomspace(1.0, factor, 4)
        rescaled = covariance * np.outer(scale, scale)
        fit = vi.fit(jax.random.key(0), normal_target(rescaled, mean * scale))
        assert max(errors(fit, rescaled, mean * scale)) < 0.02


def regression(design, response=None, prior_sd=10.0):
    beta = numpyro.sample("beta", dist.Normal(0.0, prior_sd).expand([design.shape[1]]).to_event(1))
    numpyro.sample("response", dist.Normal(design @ beta, 1.0), obs=response)


def regression_data(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    design = generator.normal(size=(50, 3))
    return design, design @ np.array([1.0, -2.0, 0.5]) + generator.normal(size=50)


def test_a_fit_compiles_four_programs_and_a_second_one_none():
    design, response = regression_data(0)

    def run(key, design, response, optimizer):
        target = vi.from_numpyro(regression, design, response=response)
        return vi.fit(key, target, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), optimizer, num_draws=7))

    keys = [jax.random.key(seed) for seed in range(2)]
    first, first_fit = count_compilations(lambda: run(keys[0], design, response, optax.adam(0.0123)))
    other = regression_data(1)
    second, second_fit = count_compilations(lambda: run(keys[1], *other, optax.adam(0.0123)))
    assert 1 <= first <= 4
    assert second == 0
    assert not np.allclose(first_fit.params["location"], second_fit.params["location"], atol=1e-3)


def test_the_same_key_gives_the_same_fit_and_another_key_another():
    target = normal_target(*correlated(3, 10.0))
    method = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())
    one, same, other = (vi.fit(jax.random.key(seed), target, method, max_steps=150) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.history["loss"], same.history["loss"])
    np.testing.assert_array_equal(one.params["log_scale"], same.params["log_scale"])
    assert not np.array_equal(one.history["loss"], other.history["loss"])


def test_the_older_kind_of_key_is_understood():
    target = normal_target(*correlated(2, 2.0))
    old, new = (vi.fit(make(3), target, max_steps=20) for make in (jax.random.PRNGKey, jax.random.key))
    np.testing.assert_array_equal(old.history["loss"], new.history["loss"])


@pytest.mark.parametrize("cut", [1, 37, 50, 100, 160, 210])
def test_a_fit_cut_short_and_resumed_is_the_uncut_fit_bit_for_bit(cut):
    target = normal_target(*correlated(3, 10.0))
    method = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())
    whole = vi.fit(jax.random.key(0), target, method, max_steps=400)
    part = vi.fit(jax.random.key(0), target, method, max_steps=cut)
    assert (part.status, part.num_steps) == (vi.Status.MAX_STEPS, cut)
    resumed = vi.resume(pickle.loads(pickle.dumps(part)), max_steps=400 - cut)
    assert resumed.num_steps == whole.num_steps
    assert resumed.status is whole.status
    np.testing.assert_array_equal(resumed.history["loss"], whole.history["loss"])
    np.testing.assert_array_equal(resumed.history["change"], whole.history["change"])
    for leaf, expected in zip(jax.tree.leaves(resumed.params), jax.tree.leaves(whole.params), strict=True):
        np.testing.assert_array_equal(leaf, expected)


def test_an_interrupt_returns_what_there_is(monkeypatch):
    target = normal_target(*correlated(3, 10.0))
    method = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())
    whole = vi.fit(jax.random.key(0), target, method)
    interrupt_fits(monkeypatch, call=9)
    part = vi.fit(jax.random.key(0), target, method)
    assert part.status is vi.Status.INTERRUPTED
    assert 0 < part.num_steps < whole.num_steps
    assert "INTERRUPTED" in part.warnings[0]
    monkeypatch.undo()
    np.testing.assert_array_equal(vi.resume(part).params["log_scale"], whole.params["log_scale"])


@pytest.fixture
def heeds_control_c():
    """Ctrl-C as in a terminal: a process started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_control_c")
def test_control_c_during_a_long_fit(monkeypatch):
    """A real SIGINT, while compiled code runs."""

    def slow(z):
        return -0.5 * jnp.sum(z**2) - 0.01 * jnp.sum(jnp.sin(jnp.arange(50_000.0) * z[0])) / 50_000

    target = vi.from_log_density(slow, dim=2)
    method = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())
    vi.fit(jax.random.key(0), target, method, max_steps=1)
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    advance = sys.modules["vi_toolkit.fit"].advance

    def timed(*arguments):
        """Starts the clock with the steps, since the search for a start takes its time on a busy machine."""
        if not timer.is_alive() and not timer.finished.is_set():
            timer.start()
        return advance(*arguments)

    monkeypatch.setattr(sys.modules["vi_toolkit.fit"], "advance", timed)
    began = time.monotonic()
    fit = vi.fit(jax.random.key(1), target, method, max_steps=10**6)
    timer.cancel()
    if fit.status is not vi.Status.INTERRUPTED:
        pytest.fail(f"the fit was over after {time.monotonic() - began:.1f} s; make the density slower")
    assert np.isfinite(fit.history["loss"]).sum() == fit.num_steps > 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("heeds_control_c")
def test_a_second_control_c_is_not_waited_with():
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        assert interrupts.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_density_that_stays_non_finite_ends_diverged_with_the_last_finite_state():
    # finite at the start, and infinite as soon as a draw leaves a ball that the optimum does not lie in
    def log_density(z):
        return jnp.where(jnp.sum(z**2) < 9.0, 50.0 * z[0], jnp.nan)

    target = vi.from_log_density(log_density, dim=2)
    fit = vi.fit(jax.random.key(0), target, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL()), max_steps=5000)
    assert fit.status is vi.Status.DIVERGED
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fit.params))
    assert (fit.history["ok"] == 0).sum() > 50
    assert "steps were skipped" in fit.warnings[0]


def test_a_few_non_finite_steps_are_skipped_and_counted():
    def log_density(z):  # nan beyond 3.5 sds: about one draw in two thousand
        return jnp.where(jnp.abs(z[0]) < 3.5, -0.5 * jnp.sum(z**2), jnp.nan)

    method = vi.gradient(vi.FullRankNormal(), vi.ReverseKL())
    fit = vi.fit(jax.random.key(0), vi.from_log_density(log_density, dim=1), method, max_steps=3000)
    skipped = int((fit.history["ok"] == 0).sum())
    assert 0 < skipped < 0.1 * fit.num_steps
    assert f"{skipped} of {fit.num_steps} steps were skipped" in fit.warnings[0]
    assert abs(float(fit.posterior.mean[0])) < 0.02


def test_nowhere_to_begin_is_an_error_that_names_the_site():
    def model(y):
        rate = numpyro.sample("rate", dist.Exponential(1.0))
        numpyro.sample("y", dist.Poisson(rate), obs=y)

    with numpyro.validation_enabled(False):
        target = vi.from_numpyro(model, jnp.array([-1.0, 2.0]))
        with pytest.raises(ValueError, match=r"not finite at any point.*'y' \(Poisson\): 1 of 2"):
            vi.fit(jax.random.key(0), target)


def test_the_prior_is_tried_where_uniform_starts_fail():
    def model(y):
        offset = numpyro.sample("offset", dist.Normal(1000.0, 1.0))
        numpyro.factor("support", jnp.where(jnp.abs(offset - 1000.0) < 50.0, 0.0, -jnp.inf))
        numpyro.sample("y", dist.Normal(offset, 1.0), obs=y)

    fit = vi.fit(jax.random.key(0), vi.from_numpyro(model, jnp.array([1001.0])))
    np.testing.assert_allclose(fit.posterior.mean, [1000.5], atol=0.02)
    np.testing.assert_allclose(fit.posterior.variance, [0.5], rtol=0.04)


def test_running_out_of_steps_is_said():
    method = vi.gradient(vi.FullRankNormal(), vi.ReverseKL())
    fit = vi.fit(jax.random.key(0), normal_target(*correlated(10, 1e4)), method, max_steps=120)
    assert fit.status is vi.Status.MAX_STEPS
    assert fit.num_steps == 120 == len(fit.history["loss"])
    assert "ran out" in fit.warnings[0]


def test_gradients_are_counted():
    """8 starts of 50 gradients; then one a draw for reverse KL, a third for bare densities, none with draws of p."""
    target = normal_target(*correlated(2, 2.0))
    spent = {}
    for name, objective in {
        "reverse": vi.ReverseKL(),
        "forward": vi.ForwardKL(),
        "draws": vi.ForwardKL(draws=np.random.default_rng(0).normal(size=(500, 2))),
    }.items():
        spent[name] = vi.fit(
            jax.random.key(0), target, vi.gradient(vi.MeanFieldNormal(), objective, num_draws=30), max_steps=10
        )
    assert [fit.num_gradients for fit in spent.values()] == [400 + 300, 400 + 100, 400]


def test_a_fit_pickles_with_its_target():
    target = vi.from_numpyro(regression, *regression_data(0))
    fit = vi.fit(jax.random.key(0), target, max_steps=50)
    again = pickle.loads(pickle.dumps(fit))
    np.testing.assert_array_equal(again.params["location"], fit.params["location"])
    z = jnp.ones(3)
    assert float(again.target.log_density(z)) == float(target.log_density(z))


def test_the_progress_line_shows_steps_and_status(capsys):
    vi.fit(jax.random.key(0), normal_target(*correlated(2, 2.0)), progress=True)
    shown = capsys.readouterr().out
    assert "CONVERGED" in shown
    assert "loss" in shown


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"key": 0}, TypeError, r"key: expected one JAX random key"),
        ({"target": abs}, TypeError, r"target: expected a Target"),
        ({"method": vi.ReverseKL()}, TypeError, r"method: expected a Method"),
        ({"max_steps": 0}, ValueError, r"max_steps: expected at least 1"),
        ({"max_steps": 1.5}, TypeError, r"max_steps: expected a whole number"),
        ({"max_steps": True}, TypeError, r"max_steps: expected a whole number"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, error, words):
    arguments = {"key": jax.random.key(0), "target": normal_target(*correlated(2, 2.0)), "method": None, **change}
    rest = {name: arguments.pop(name) for name in list(arguments) if name == "max_steps"}
    with pytest.raises(error, match=words):
        as_users_call_it(vi.fit)(*arguments.values(), **rest)


def test_parts_of_the_wrong_kind_are_refused_by_name():
    gradient = as_users_call_it(vi.gradient)
    with pytest.raises(TypeError, match="guide: expected a Guide, got the class FullRankNormal itself"):
        gradient(vi.FullRankNormal, vi.ReverseKL())
    with pytest.raises(TypeError, match="objective: expected a Objective, got the class ReverseKL itself"):
        gradient(vi.FullRankNormal(), vi.ReverseKL)
    with pytest.raises(ValueError, match="num_draws: expected at least 1"):
        vi.gradient(vi.FullRankNormal(), vi.ReverseKL(), num_draws=0)
    misfit = vi.gradient(vi.FullRankNormal(), vi.ForwardKL(draws=np.zeros((9, 3))))
    with pytest.raises(ValueError, match=r"draws: expected shape \(draws, 2\).*got \(9, 3\)"):
        vi.fit(jax.random.key(0), normal_target(*correlated(2, 2.0)), misfit)
