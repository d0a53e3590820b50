"""The memory of weighted points, against counts and weights worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vi_toolkit.objectives import _buffer

pytestmark = pytest.mark.any_precision


def filled(weights, capacity):
    """Points 0, 1, 2, ... with these weights, and room to spare."""
    points = jnp.arange(len(weights), dtype=jnp.result_type(float))[:, None]
    log_q = -points[:, 0]
    return _buffer.add(_buffer.empty(capacity, points), points, jnp.log(jnp.asarray(weights)), log_q)


def test_points_come_in_proportion_to_their_weights(key):
    weights = np.array([3.0, 0.0, 1.0, 0.5, 0.0, 0.5])
    places = _buffer.pick(key, filled(weights, 12), 50)
    np.testing.assert_array_equal(np.bincount(places, minlength=12), [30, 0, 10, 5, 0, 5, 0, 0, 0, 0, 0, 0])


def test_where_a_proportion_is_no_whole_number_it_is_right_on_average(key):
    weights = np.array([0.37, 0.21, 0.42])
    buffer = filled(weights, 3)
    counts = jax.vmap(lambda key: jnp.bincount(_buffer.pick(key, buffer, 5), length=3))(jax.random.split(key, 4000))
    assert np.all((counts >= np.floor(5 * weights)) & (counts <= np.ceil(5 * weights)))
    share = 5 * weights - np.floor(5 * weights)
    assert np.all(np.abs(counts.mean(0) - 5 * weights) < 5 * np.sqrt(share * (1 - share) / 4000))


def test_the_oldest_points_give_way():
    buffer = filled([1.0, 2.0], 4)
    for first in (10.0, 20.0):
        points = jnp.array([[first], [first + 1]])
        buffer = _buffer.add(buffer, points, jnp.full(2, first), jnp.zeros(2))
    np.testing.assert_array_equal(buffer.points[:, 0], [20.0, 21.0, 10.0, 11.0])
    np.testing.assert_array_equal(buffer.log_weights, [20.0, 20.0, 10.0, 10.0])
    assert int(buffer.next) == 2


def test_weights_refer_to_the_new_density(key):
    buffer = filled([1.0, 2.0, 4.0], 4)
    places = jnp.array([2, 0, 2])
    moved = _buffer.refer(buffer, places, jnp.log(jnp.array([0.5, 0.25, 0.5])))
    # w q_old / q_new with q_old = e^-i
    np.testing.assert_allclose(jnp.exp(moved.log_weights), [4.0, 2.0, 8.0 * np.exp(-2.0), 0.0], rtol=1e-6)
    np.testing.assert_allclose(moved.log_q, [np.log(0.25), -1.0, np.log(0.5), 0.0], rtol=1e-6)


def test_the_effective_number():
    assert float(_buffer.effective(filled([1.0, 1.0, 1.0], 9))) == pytest.approx(3.0, rel=1e-6)
    assert float(_buffer.effective(filled([3.0, 1.0], 2))) == pytest.approx(1.6, rel=1e-6)


def test_weights_are_flattened_until_enough_points_count(key):
    weights = np.r_[1000.0, np.ones(15)]
    buffer = filled(weights, 20)
    power = float(_buffer.temper(buffer, 8.0))
    flat = weights**power
    assert flat.sum() ** 2 / (flat**2).sum() == pytest.approx(8.0, rel=1e-3)
    assert float(_buffer.effective(buffer, power)) == pytest.approx(8.0, rel=1e-3)
    counts = np.bincount(_buffer.pick(key, buffer, 900, power), minlength=20)
    np.testing.assert_allclose(counts, np.r_[flat, np.zeros(4)] / flat.sum() * 900, atol=1.0)
    assert float(_buffer.temper(filled([1.0, 2.0, 1.0], 9), 2.0)) == 1.0  # 16 / 6 of them count as it is
