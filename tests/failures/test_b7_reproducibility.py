"""Rows B7 of what goes wrong in variational inference: keys, interruption, memory and pickles."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer.autoguide import AutoIAFNormal

import vi_toolkit as vi
from tests.compilations import count_compilations
from tests.interrupted import interrupt_fits
from tests.typecheck import as_users_call_it

KEY = jax.random.key(0)
TARGET = vi.from_log_density(lambda z: -0.5 * jnp.sum((z - 1.0) ** 2), dim=2)
METHOD = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())


@pytest.fixture(scope="module")
def whole():
    return vi.fit(KEY, TARGET, METHOD, max_steps=300)


@pytest.mark.parametrize("key", [jax.random.key(0), jax.random.PRNGKey(0)], ids=["key", "PRNGKey"])
@pytest.mark.parametrize("progress", [False, True], ids=["silent", "with progress"])
def test_the_same_key_gives_the_same_bits(whole, key, progress, capsys):
    again = vi.fit(key, TARGET, METHOD, max_steps=300, progress=progress)
    np.testing.assert_array_equal(again.history["loss"], whole.history["loss"])
    assert bool(capsys.readouterr().out) == progress


def test_two_halves_are_the_whole(whole):
    half = vi.fit(KEY, TARGET, METHOD, max_steps=150)
    joined = vi.resume(half, max_steps=150)
    np.testing.assert_array_equal(joined.history["loss"], whole.history["loss"])
    # the noise of a step is its own: nothing that is asked in between changes what follows
    half.posterior.sample(KEY, (3,))
    np.testing.assert_array_equal(vi.resume(half, max_steps=150).history["loss"], whole.history["loss"])


def test_a_number_in_place_of_a_key_is_refused():
    with pytest.raises(TypeError, match=r"key: expected one JAX random key, got int 0. Make one with jax.random.key"):
        as_users_call_it(vi.fit)(0, TARGET)


def test_more_steps_compile_nothing(whole):
    """NumPyro's progress bar compiles in time that is quadratic in the number of steps."""
    wanders = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), num_draws=1)
    vi.fit(KEY, TARGET, wanders, max_steps=150, progress=True)
    compiled, fit = count_compilations(lambda: vi.fit(KEY, TARGET, wanders, max_steps=3000, progress=True))
    assert compiled == 0
    assert fit.num_steps > 150


def test_what_was_done_before_an_interrupt_is_kept(whole, monkeypatch):
    interrupt_fits(monkeypatch, call=4)
    part = vi.fit(KEY, TARGET, METHOD, max_steps=300)
    assert part.status is vi.Status.INTERRUPTED
    assert 0 < part.num_steps < 300
    np.testing.assert_array_equal(part.history["loss"], whole.history["loss"][: part.num_steps])


def test_a_fit_is_kept_though_its_guide_cannot_be_pickled(tmp_path):
    method = vi.gradient(vi.from_autoguide(AutoIAFNormal(lambda: None, num_flows=1, hidden_dims=[4])), vi.ReverseKL())
    with pytest.raises((AttributeError, pickle.PicklingError), match="local"):
        pickle.dumps(method.guide)
    fit = vi.fit(KEY, TARGET, method, max_steps=5)
    vi.save(fit, tmp_path / "fit")
    with pytest.raises(ValueError, match=r"guide\.autoguide"):
        vi.load(tmp_path / "fit", TARGET)
    kept = vi.load(tmp_path / "fit", TARGET, method=method)
    np.testing.assert_array_equal(kept.posterior.log_prob(jnp.zeros(2)), fit.posterior.log_prob(jnp.zeros(2)))


def constant(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
    numpyro.sample("y", dist.Normal(mean, numpyro.sample("sigma", dist.HalfNormal(5.0))), obs=y)


def test_data_without_any_variance_are_named():
    """The likelihood has no bound: sigma goes to zero as long as there are steps."""
    fit = vi.fit(KEY, vi.from_numpyro(constant, np.full(20, 2.0)), METHOD, max_steps=2000)
    assert fit.status is vi.Status.MAX_STEPS
    said = [words for words in fit.warnings if "likelihood of 'y' grows without bound" in words]
    assert "(all 20 of its values are 2): by its mean, sigma" in said[0]
    assert float(fit.posterior.mean[1]) < -14.0
