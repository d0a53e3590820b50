"""Every source: its draws are of p, its record is a setting, and bad input is refused in words."""

import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.compilations import count_compilations, jit
from vi_toolkit.io._recipe import Writer, read

S = vi.sources
SOURCES = {
    "importance": lambda: S.Importance(),
    "not smoothed": lambda: S.Importance(smooth=False),
    "adaptive importance": lambda: S.AdaptiveImportance(2),
    "wake sleep": lambda: S.WakeSleep(),
    "tempered SMC": lambda: S.TemperedSMC(4.0, S.HMC(2)),
    "conditional importance": lambda: S.ScoreClimbing(S.ConditionalImportance(3)),
    "HMC": lambda: S.ScoreClimbing(S.HMC(2)),
    "NUTS": lambda: S.ScoreClimbing(S.NUTS(2)),
}
GUIDE = vi.FullRankNormal()
MEAN, COVARIANCE = np.array([1.0, -0.5]), np.array([[1.0, 0.6], [0.6, 2.0]])
PRECISION = np.linalg.inv(COVARIANCE)
NUM_DRAWS = 128
SLOW = pytest.mark.slow  # to compile


def log_p(mean, precision, z):
    return 7.0 - 0.5 * (z - mean) @ precision @ (z - mean)


DTYPE = jnp.result_type(float)
TARGET = vi.from_log_density(
    jax.tree_util.Partial(log_p, jnp.asarray(MEAN, DTYPE), jnp.asarray(PRECISION, DTYPE)), dim=2
)
PARAMS = {
    "location": jnp.array([0.5, 0.0], DTYPE),
    "log_diagonal": jnp.array([0.3, 0.4], DTYPE),
    "lower": jnp.zeros((2, 2), DTYPE),
}


@partial(jit, static_argnames="guide")
def means(source, guide, params, target, keys):
    """Of the weighted draws, for several keys: of z, z^2 and of the weights' sum; and every fact."""

    def one(key):
        points, weights, control, facts = source.fresh(key, params, guide, target, NUM_DRAWS)
        of_q = weights if control is None else control
        features = jnp.concatenate([points, points**2, jnp.ones_like(points[:, :1])], axis=1)
        return weights @ features, of_q @ features, facts

    return jax.lax.map(one, keys)  # one at a time, so that sampling ends for each by itself


@pytest.mark.any_precision
@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW) if name == "NUTS" else name for name in SOURCES])
def test_the_draws_are_of_p(name):
    """At a q that is not p: the means of z and z^2 are those of p, and by the control weights those of q."""
    source, count = SOURCES[name](), 100
    keys = jax.random.split(jax.random.key(0), count)
    of_p, of_q, facts = means(source, GUIDE, PARAMS, TARGET, keys)
    assert set(facts) == set(source.tracked)
    assert np.median(facts["ess"]) > 0.1
    assert np.all(np.asarray(facts["ess"]) <= 1.001)
    exact = np.array([*MEAN, *(np.diag(COVARIANCE) + MEAN**2), 1.0])
    error = np.std(of_p, axis=0) / np.sqrt(count)
    # weights normalised by their sum, or chains that come from q, are off by O(1 / NUM_DRAWS)
    np.testing.assert_array_less(np.abs(np.mean(of_p, axis=0) - exact), 5 * error + 0.03)
    q = GUIDE.distribution(PARAMS)
    if name not in ("tempered SMC", "conditional importance", "HMC", "NUTS"):
        exact = np.array([*q.mean, *(q.variance + q.mean**2), 1.0])
    np.testing.assert_array_less(np.abs(np.mean(of_q, axis=0) - exact), 5 * np.std(of_q, axis=0) / 10 + 0.03)
    compiled, again = count_compilations(lambda: means(SOURCES[name](), GUIDE, PARAMS, TARGET, keys))
    assert compiled == 0
    np.testing.assert_array_equal(again[0], of_p)
    assert of_p.dtype == DTYPE


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_is_a_setting(name):
    source, again = SOURCES[name](), SOURCES[name]()
    assert source == again
    assert hash(source) == hash(again)
    assert jax.tree.leaves(source) == []
    objective = vi.ForwardKL(source)
    assert pickle.loads(pickle.dumps(objective)) == objective
    leaves, structure = jax.tree.flatten(objective)
    assert jax.tree.unflatten(structure, leaves) == objective
    writer = Writer()
    assert read(writer.write(objective, "objective"), writer.arrays) == objective
    assert writer.lost == []


def test_what_is_spent_is_counted():
    """A gradient is one, a bare density a third; 60 draws a step."""
    per_step = {name: vi.ForwardKL(build()).gradients_per_step(60) for name, build in SOURCES.items()}
    assert per_step == {
        "importance": 20.0,
        "not smoothed": 20.0,
        "adaptive importance": 10.0,
        "wake sleep": 20.0,
        "tempered SMC": 40.0 + 60 * 3,
        "conditional importance": 20.0,
        "HMC": 60.0 * 3,
        "NUTS": 60.0 * 4,
    }
    to_begin = {name: vi.ForwardKL(build()).gradients_to_begin(60) for name, build in SOURCES.items()}
    assert {name: spent for name, spent in to_begin.items() if spent} == {"adaptive importance": 20.0}


@pytest.mark.parametrize("name", [*SOURCES][:1] + [*SOURCES][2:-1] + [pytest.param("NUTS", marks=SLOW)])
def test_what_is_counted_is_spent(name):
    """As many points are looked at as are counted, by counting them as they are evaluated."""
    seen = {"bare": 0, "gradient": 0}

    def note(kind, z):
        seen[kind] += 1

    @jax.custom_vjp
    def counted(z):
        jax.debug.callback(partial(note, "bare"), z)
        return log_p(jnp.asarray(MEAN), jnp.asarray(PRECISION), z)

    def forwards(z):
        jax.debug.callback(partial(note, "gradient"), z)
        return jax.value_and_grad(partial(log_p, jnp.asarray(MEAN), jnp.asarray(PRECISION)))(z)

    counted.defvjp(forwards, lambda slope, by: (slope * by,))
    target, source = vi.from_log_density(counted, dim=2), SOURCES[name]()
    seen.update(bare=0, gradient=0)
    begun = jit(lambda key: source.begin(key, PARAMS, GUIDE, target, 12))(jax.random.key(0))
    jax.effects_barrier()
    assert seen["bare"] / 3 + seen["gradient"] == pytest.approx(source.gradients_to_begin(12))
    seen.update(bare=0, gradient=0)
    out = jit(lambda key, memory: source.draw(key, memory, PARAMS, GUIDE, target, 12))(jax.random.key(1), begun)
    jax.block_until_ready(out)
    jax.effects_barrier()
    spent = seen["bare"] / 3 + seen["gradient"]
    assert spent == pytest.approx(source.gradients_per_step(12)) or (name == "NUTS" and 24 < spent < 12 * 4)


@pytest.mark.parametrize(
    ("build", "kind", "words"),
    [
        (lambda: vi.ForwardKL(S.Importance), TypeError, "draws: expected a source, got the class Importance itself"),
        (lambda: S.AdaptiveImportance(0), ValueError, "num_proposals: expected at least 1, got 0"),
        (lambda: S.AdaptiveImportance(1.5), TypeError, "num_proposals: expected a whole number"),
        (lambda: S.ConditionalImportance(0), ValueError, "num_proposals: expected at least 1"),
        (lambda: S.HMC(0), ValueError, "num_steps: expected at least 1"),
        (lambda: S.NUTS(True), TypeError, "max_doublings: expected a whole number"),
        (lambda: S.ScoreClimbing(S.HMC), TypeError, "transition: expected a Transition, got the class HMC itself"),
        (lambda: S.ScoreClimbing("HMC"), TypeError, "transition: .* Use for example vi.sources.HMC()"),
        (lambda: S.TemperedSMC(-1.0), ValueError, "stretch: expected a finite number above 0, got -1.0"),
        (lambda: S.TemperedSMC(transition=S.ConditionalImportance()), TypeError, "expected a GradientTransition"),
    ],
)
def test_bad_settings_are_refused(build, kind, words, without_type_checks):
    with pytest.raises(kind, match=words):
        build()
