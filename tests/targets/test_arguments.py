"""What a model may be called with, and what is refused with which words."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from scipy import stats

import vi_toolkit as vi


def linear(X, y=None, *, scale=1.0, kind="normal"):
    weights = numpyro.sample("weights", dist.Normal(0.0, 1.0).expand([np.shape(X)[1]]).to_event(1))
    noise = dist.Normal(X @ weights, scale) if kind == "normal" else dist.StudentT(4.0, X @ weights, scale)
    numpyro.sample("y", noise, obs=y)


X = np.arange(6.0).reshape(3, 2) / 5
Y = np.array([0.5, -1.0, 2.0])
Z = np.array([0.3, -0.7])
VALUE = stats.norm.logpdf(Z).sum() + stats.norm.logpdf(Y, X @ Z).sum()


@pytest.mark.parametrize(
    ("design", "response"),
    [
        (X, Y),
        (jnp.asarray(X), jnp.asarray(Y)),
        (X.tolist(), Y.tolist()),
        (pd.DataFrame(X, columns=["a", "b"]), pd.Series(Y, index=[7, 8, 9])),
        (X.astype(np.float32).astype(float), Y.astype("f4")),
    ],
    ids=["numpy", "jax", "lists", "pandas", "float32"],
)
def test_any_holder_of_numbers_will_do(design, response):
    target = vi.from_numpyro(linear, design, y=response)
    assert sorted(leaf.shape for leaf in jax.tree.leaves(target)) == [(3,), (3, 2)]
    np.testing.assert_allclose(target.log_density(jnp.asarray(Z)), VALUE, rtol=1e-6)


def test_settings_are_part_of_the_program():
    normal, wide = vi.from_numpyro(linear, X, y=Y), vi.from_numpyro(linear, X, y=Y, scale=2.0)
    heavy = vi.from_numpyro(linear, X, y=Y, kind="student")
    expected = stats.norm.logpdf(Z).sum() + stats.t.logpdf(Y, 4.0, X @ Z).sum()
    np.testing.assert_allclose(heavy.log_density(jnp.asarray(Z)), expected, rtol=1e-12)
    assert len({normal.program, wide.program, heavy.program}) == 3


def test_a_count_may_come_from_numpy():
    def model(group, size, y):
        effect = numpyro.sample("effect", dist.Normal(0.0, 1.0).expand([size]).to_event(1))
        numpyro.sample("y", dist.Normal(effect[group], 1.0), obs=y)

    group = np.array([0, 1, 1])
    target = vi.from_numpyro(model, group, group.max() + 1, Y)  # no warning that the data are built in
    assert [leaf.shape for leaf in jax.tree.leaves(target)] == [(3,), (3,)]
    assert target.dim == 2


def test_a_dict_of_arrays_is_taken_apart():
    def model(data, prior):
        mean = numpyro.sample("mean", dist.Normal(prior["mean"], prior["sd"]))
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=data["y"])

    target = vi.from_numpyro(model, {"y": Y}, {"mean": 1.0, "sd": 2.0})
    expected = stats.norm.logpdf(0.5, 1.0, 2.0) + stats.norm.logpdf(Y, 0.5).sum()
    np.testing.assert_allclose(target.log_density(jnp.array([0.5])), expected, rtol=1e-12)
    assert [leaf.shape for leaf in jax.tree.leaves(target)] == [(3,)]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array(["a", "b", "c"]), "model argument 'y': expected numbers"),
        (np.array([1.0, None, 2.0], dtype=object), "model argument 'y': expected numbers"),
        (["a", "b", "c"], "model argument 'y': expected numbers"),
        (pd.Series(["a", "b", "c"]), "model argument 'y': expected numbers"),
        (np.ma.masked_array(Y, [0, 1, 0]), "model argument 'y': masked arrays are not understood"),
        ({1.0, 2.0}, "model argument 'y': expected arrays, numbers, strings or hashable objects"),
    ],
    ids=["strings", "objects", "list of strings", "series of strings", "masked", "set"],
)
def test_what_is_no_number_is_refused(value, words):
    with pytest.raises(TypeError, match=words):
        vi.from_numpyro(linear, X, y=value)


@pytest.mark.parametrize("empty", [np.zeros(0), [], pd.Series([], dtype=float), jnp.zeros(0)], ids=str)
def test_no_rows_are_refused(empty):
    with pytest.raises(ValueError, match="model argument 'y': it is empty"):
        vi.from_numpyro(linear, X, y=empty)


def test_a_name_inside_a_dict_is_told():
    with pytest.raises(TypeError, match=r"model argument \"data\['y'\]\": expected numbers"):
        vi.from_numpyro(lambda data: None, {"y": np.array(["a"])})


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((X,), {"Y": Y}, r"unexpected keyword argument 'Y'. Expected \(X, y, scale, kind\)"),
        ((), {"y": Y}, "missing a required argument: 'X'"),
        ((X, Y, 1.0), {}, "too many positional arguments"),
    ],
)
def test_a_call_that_does_not_fit_the_model(args, kwargs, words):
    with pytest.raises(TypeError, match=words):
        vi.from_numpyro(linear, *args, **kwargs)


def test_a_model_must_be_a_function(without_type_checks):
    with pytest.raises(TypeError, match="model: expected a NumPyro model"):
        vi.from_numpyro("linear", X)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_numbers_are_named_with_their_place(bad):
    broken = Y.copy()
    broken[1] = bad
    with pytest.raises(ValueError, match=r"model argument 'y': 1 of 3 entries .* at index 1. Drop or impute"):
        vi.from_numpyro(linear, X, y=broken)
    design = X.copy()
    design[2, 0] = bad
    with pytest.raises(ValueError, match=r"model argument 'X': 1 of 6 entries .* at index \(2, 0\)"):
        vi.from_numpyro(linear, design, y=Y)


def masked(x, y):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.handlers.mask(mask=~jnp.isnan(y)):
        numpyro.sample("y", dist.Normal(slope * x, 1.0), obs=jnp.where(jnp.isnan(y), 0.0, y))


def filled(x, y):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    known = jnp.where(jnp.isnan(x), 0.0, x)
    numpyro.sample("y", dist.Normal(slope * known, 1.0), obs=y)


@pytest.mark.parametrize("model", [masked, filled])
def test_bad_numbers_that_the_model_masks_are_accepted(model):
    x, y = np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.5, 2.5])
    (y if model is masked else x)[1] = np.nan
    target = vi.from_numpyro(model, x, y)
    slope = 0.4
    kept = [0, 2] if model is masked else [0, 1, 2]
    known = np.where(np.isnan(x), 0.0, x)
    expected = stats.norm.logpdf(slope) + stats.norm.logpdf(y[kept], slope * known[kept]).sum()
    np.testing.assert_allclose(target.log_density(jnp.array([slope])), expected, rtol=1e-12)
