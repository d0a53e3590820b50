"""Keys of either sort, and what is made of them."""

import jax
import numpy as np
import pytest

from vi_toolkit._types import numpy_generator, raw_key, typed_key


@pytest.mark.any_precision
@pytest.mark.parametrize("key", [jax.random.key(3), jax.random.key(3, impl="rbg")], ids=["threefry", "rbg"])
def test_a_key_is_made_again_from_its_data_and_its_kind(key):
    data, kind = raw_key(key)
    assert isinstance(data, np.ndarray)
    for again in (typed_key(key), typed_key(data, kind)):
        assert again == key
        np.testing.assert_array_equal(jax.random.normal(again, (3,)), jax.random.normal(key, (3,)))


@pytest.mark.any_precision
def test_an_older_key_is_the_newer_of_the_same_seed():
    older, newer = jax.random.PRNGKey(3), jax.random.key(3)
    assert typed_key(older) == newer
    np.testing.assert_array_equal(raw_key(older)[0], raw_key(newer)[0])
    assert raw_key(older)[1] == raw_key(newer)[1] == "threefry2x32"
    first, second = numpy_generator(older).random(3), numpy_generator(newer).random(3)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, np.random.default_rng(np.array([0, 3], np.uint32)).random(3))
