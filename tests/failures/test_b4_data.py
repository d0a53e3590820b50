"""Rows B4 of what goes wrong in variational inference: parts of the data, and data of other kinds."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest

import vi_toolkit as vi
from vi_toolkit.preflight import preflight

KEY = jax.random.key(0)
Y = np.random.default_rng(0).normal(2.0, 1.0, 100)


def mean_model(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 100.0))
    with numpyro.plate("row", len(y)) as rows:
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y[rows])


def with_effects(y):
    with numpyro.plate("row", 100, subsample_size=10) as rows:
        effect = numpyro.sample("effect", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(effect, 1.0), obs=y[rows])


def part_of(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 100.0))
    with numpyro.plate("row", 100, subsample_size=len(y)):
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


@pytest.mark.parametrize(("model", "data"), [(with_effects, Y), (part_of, Y[:10])], ids=["local unknowns", "a part"])
def test_a_plate_that_takes_a_part_of_its_rows_is_refused(model, data):
    with pytest.raises(ValueError, match=r"plate 'row' takes 10 of 100 rows at random.*pass all the data"):
        vi.from_numpyro(model, data)


def test_a_part_of_the_data_can_be_scaled_by_hand():
    """What no library can see is a part handed over as the whole: its rows are all that a model knows of."""
    part, whole = vi.from_numpyro(numpyro.handlers.scale(mean_model, 10.0), Y[:10]), vi.from_numpyro(mean_model, Y)
    z = jnp.array([0.3])
    hessians = [float(jax.hessian(target.log_density)(z)[0, 0]) for target in (part, whole)]
    prior = 1 / 100.0**2
    np.testing.assert_allclose(hessians, [-(100 + 10 * prior), -(100 + prior)], rtol=1e-9)
    assert "minibatch that is passed as if it were all the data" in str(preflight.__doc__)


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray, pd.Series, list], ids=["numpy", "jax", "pandas", "list"])
def test_any_holder_of_numbers_is_indexed_by_a_plate(kind):
    value = vi.from_numpyro(mean_model, kind(Y)).log_density(jnp.array([1.0]))
    expected = dist.Normal(0.0, 100.0).log_prob(1.0) + dist.Normal(1.0, 1.0).log_prob(Y).sum()
    np.testing.assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.array([1.0, None], dtype=object), "model argument 'y': expected numbers, got an array .* dtype object"),
        (["a", "b"], "model argument 'y': expected numbers"),
        (np.ma.masked_array([1.0, 2.0], [0, 1]), "model argument 'y': masked arrays are not understood"),
    ],
    ids=["objects", "strings", "masked"],
)
def test_what_holds_no_numbers_is_refused(data, words):
    with pytest.raises(TypeError, match=words):
        vi.from_numpyro(mean_model, data)


@pytest.mark.parametrize("data", [np.zeros(0), []], ids=["array", "list"])
def test_no_rows_are_refused(data):
    with pytest.raises(ValueError, match="model argument 'y': it is empty"):
        vi.from_numpyro(mean_model, data)


def test_a_plate_of_no_rows_is_named():
    def model(y):
        with numpyro.plate("row", 0):
            numpyro.sample("y", dist.Normal(numpyro.sample("mean", dist.Normal()), 1.0), obs=y)

    with pytest.raises(ValueError, match=r"at site 'row'.*size of plate should be positive"):
        vi.from_numpyro(model, Y)


def counts(y):
    numpyro.sample("y", dist.Poisson(numpyro.sample("rate", dist.Gamma(2.0, 1.0))), obs=y)


def switches(y):
    numpyro.sample("y", dist.Bernoulli(numpyro.sample("share", dist.Beta(2.0, 1.0))), obs=y)


def test_whole_numbers_are_data_of_a_normal_and_of_a_poisson():
    np.testing.assert_allclose(
        vi.from_numpyro(mean_model, np.array([1, 2])).log_density(jnp.array([1.0])),
        vi.from_numpyro(mean_model, np.array([1.0, 2.0])).log_density(jnp.array([1.0])),
        rtol=1e-12,
    )
    value = vi.from_numpyro(counts, np.array([1, 3])).log_density(jnp.zeros(1))  # at rate one
    np.testing.assert_allclose(value, -1.0 - 2.0 - np.log(6.0), rtol=1e-12)


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        (
            counts,
            [1.5, 2.0],
            r"'y' \(Poisson\): 1 of 2 .*the value 1.5 at index 0, which is outside of its support \(Integer",
        ),
        (
            counts,
            [2, -1],
            r"'y' \(Poisson\): 1 of 2 .*the value -1 at index 1, which is outside of its support \(Integer",
        ),
        (switches, [0, 2], r"'y' \(BernoulliProbs\): 1 of 2 .*the value 2 at index 1, which is outside .*Boolean"),
    ],
    ids=["a fraction", "negative", "two"],
)
def test_a_value_outside_of_its_support_is_named(model, data, words):
    with pytest.raises(ValueError, match=words):
        vi.fit(KEY, vi.from_numpyro(model, np.array(data)))
