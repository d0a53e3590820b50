"""Independent categoricals: held against sums over all their states."""

import pickle
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import start
from vi_toolkit.guides.categorical import CategoricalVector

pytestmark = pytest.mark.any_precision

DTYPE = jnp.result_type(float)
TOLERANCE = 1e-5 if jnp.float32 == DTYPE else 1e-12
NUM_VALUES = (2, 3, 1)
GUIDE = vi.MeanFieldCategorical(NUM_VALUES)
LOGITS = np.array([[0.3, -0.5, 9.0], [1.0, 0.0, -2.0], [4.0, 7.0, 7.0]])  # what does not exist does not count
PARAMS = {"logits": jnp.asarray(LOGITS, DTYPE)}
STATES = np.array(list(product(*map(range, NUM_VALUES))), float)


def probabilities():
    """q of every state, by products of normalised exponentials."""
    rows = [np.exp(LOGITS[i, :k]) / np.exp(LOGITS[i, :k]).sum() for i, k in enumerate(NUM_VALUES)]
    return np.array([np.prod([row[int(k)] for row, k in zip(rows, state, strict=True)]) for state in STATES])


def test_log_prob_mean_variance_and_entropy_are_those_of_all_states():
    q, probs = GUIDE.distribution(PARAMS), probabilities()
    np.testing.assert_allclose(jnp.exp(q.log_prob(jnp.asarray(STATES, DTYPE))), probs, rtol=10 * TOLERANCE)
    mean = probs @ STATES
    np.testing.assert_allclose(q.mean, mean, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(q.variance, probs @ (STATES - mean) ** 2, rtol=10 * TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(q.entropy(), -probs @ np.log(probs), rtol=10 * TOLERANCE)
    assert q.event_shape == (3,)


@pytest.mark.parametrize("z", [[0.5, 0, 0], [2, 0, 0], [0, 0, 1], [-1, 0, 0], [np.nan, 0, 0], [np.inf, 0, 0]])
def test_what_is_no_state_is_impossible(z):
    assert float(GUIDE.distribution(PARAMS).log_prob(jnp.asarray(z, DTYPE))) == -np.inf


def test_draws_come_as_often_as_they_should(key):
    draws = np.asarray(jit(lambda key: GUIDE.draw(key, PARAMS, 20_000).points)(key))
    assert draws.dtype == DTYPE
    counts = np.array([(draws == state).all(axis=1).mean() for state in STATES])
    probs = probabilities()
    assert np.abs(counts - probs).max() < 5 * np.sqrt(probs.max() / 20_000)
    assert counts.sum() == pytest.approx(1.0)  # nothing else is drawn


def test_the_gradient_of_the_log_prob_is_the_indicator_less_the_probability():
    z = jnp.asarray([1.0, 2.0, 0.0], DTYPE)
    gradient = jax.grad(lambda params: GUIDE.distribution(params).log_prob(z))(PARAMS)["logits"]
    expected = np.zeros((3, 3))
    for i, k in enumerate(NUM_VALUES):
        expected[i, :k] = np.eye(k)[int(z[i])] - np.exp(LOGITS[i, :k]) / np.exp(LOGITS[i, :k]).sum()
    np.testing.assert_allclose(gradient, expected, atol=10 * TOLERANCE)


def test_batches_have_shapes_of_their_own(key):
    q = CategoricalVector(jnp.zeros((4, 3, 2), DTYPE))
    assert (q.batch_shape, q.event_shape, q.mean.shape, q.entropy().shape) == ((4,), (3,), (4, 3), (4,))
    assert q.sample(key, (5,)).shape == (5, 4, 3)
    assert q.log_prob(jnp.zeros((5, 4, 3), DTYPE)).shape == (5, 4)


def test_a_guide_begins_near_the_uniform_but_not_at_it(key):
    logits = np.asarray(GUIDE.init(key, start(3))["logits"])
    assert logits.shape == (3, 3)
    assert 0 < np.abs(logits).min() < np.abs(logits).max() < 0.5
    moved = GUIDE.move({"logits": jnp.asarray(logits)}, {"logits": jnp.ones((3, 3), DTYPE)})
    np.testing.assert_allclose(moved["logits"], logits + 1)


def test_equal_guides_are_equal_however_they_are_written(without_type_checks):
    assert vi.MeanFieldCategorical([2, 3, 1]) == GUIDE == vi.MeanFieldCategorical(np.array(NUM_VALUES))
    assert hash(vi.MeanFieldCategorical([2, 3, 1])) == hash(GUIDE)
    assert pickle.loads(pickle.dumps(GUIDE)) == GUIDE
    assert GUIDE.states() == NUM_VALUES
    assert vi.MeanFieldNormal().states() is None


@pytest.mark.parametrize(
    ("num_values", "error", "words"),
    [
        (3, TypeError, "num_values: expected how many values each coordinate takes"),
        ((), TypeError, "num_values: expected how many"),
        ("23", TypeError, "num_values: expected how many"),
        ((2, 0), ValueError, r"num_values\[1\]: expected at least 1"),
        ((2, 2.5), TypeError, r"num_values\[1\]: expected a whole number"),
    ],
)
def test_bad_numbers_of_values_are_refused(num_values, error, words, without_type_checks):
    with pytest.raises(error, match=words):
        vi.MeanFieldCategorical(num_values)


def test_normal_noise_is_refused(key):
    with pytest.raises(ValueError, match=r"noise: .* does not go with MeanFieldCategorical"):
        GUIDE.draw(key, PARAMS, 2, vi.estimators.antithetic)
