"""What the hash of a model sees, and what it refuses: a change that it missed would give a run of another model."""

import dataclasses
import importlib
import sys
import time
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints
from numpyro.handlers import reparam
from numpyro.infer.reparam import LocScaleReparam

from vi_toolkit import exact, from_log_density, from_numpyro, zoo
from vi_toolkit.exact._cache import load_chains, path_of_run, save_chains
from vi_toolkit.exact._hash import NotHashableError, digest

Y = np.array([0.5, 1.5, -0.3])
RATES = {"slow": 1.0, "fast": np.array([2.0, 3.0])}
SETTINGS = SimpleNamespace(scale=1.0)
COUNT = 0


def hash_of(model, *args):
    target = from_numpyro(model, *args) if args else from_log_density(model, dim=1)
    return digest(target.program, target.data)


@pytest.fixture
def helpers(tmp_path, monkeypatch):
    """A module of the user's own, in a file beside the model."""
    (tmp_path / "own_helpers.py").write_text("SCALE = 1.0\n\n\ndef rate(x):\n    return SCALE * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("own_helpers")
    del sys.modules["own_helpers"]


class Table:
    rates = np.array([1.0, 2.0])

    @staticmethod
    def scaled(x):
        return 2.0 * x


class Wide(dist.Distribution):
    """A user's distribution."""

    support = constraints.real
    width = 2.0

    def log_prob(self, value):
        return -0.5 * (value / self.width) ** 2


class Pair(NamedTuple):
    a: float
    b: float

    def sum(self):
        return self.a + self.b


@dataclasses.dataclass(frozen=True)
class Line:
    slope: float

    def __call__(self, z):
        return -self.slope * z[0] ** 2


def by_global_module(helpers):
    namespace = {"helpers": helpers, "jnp": jnp}
    exec("def log_density(z):\n    return -jnp.sum(helpers.rate(z) ** 2)", namespace)
    return namespace["log_density"]


def test_a_module_of_the_users_own_is_read_through_its_functions(helpers):
    log_density = by_global_module(helpers)
    before = hash_of(log_density)
    assert hash_of(by_global_module(helpers)) == before
    helpers.SCALE = 2.0
    changed = hash_of(log_density)
    helpers.rate = lambda x: 3.0 * x
    assert len({before, changed, hash_of(log_density)}) == 3


@pytest.mark.parametrize(
    ("log_density", "owner", "name", "value"),
    [
        (lambda z: -RATES["slow"] * z[0] ** 2, RATES, "slow", 2.0),
        (lambda z: -RATES["fast"][0] * z[0] ** 2, RATES, "fast", np.array([2.5, 3.0])),
        (lambda z: -Table.rates[0] * z[0] ** 2, Table, "rates", np.array([5.0, 2.0])),
        (lambda z: -Table.scaled(z[0] ** 2), Table, "scaled", staticmethod(lambda x: 3.0 * x)),
        (lambda z: Wide().log_prob(z[0]), Wide, "width", 3.0),
        (lambda z: -Pair(1.0, 2.0).sum() * z[0] ** 2, Pair, "sum", lambda self: self.b),
        (Line(2.0), Line, "__call__", lambda self, z: -self.slope * z[0] ** 4),
    ],
)
def test_what_a_model_finds_under_a_global_name_counts(monkeypatch, log_density, owner, name, value):
    before = hash_of(log_density)
    assert hash_of(log_density) == before
    set_it = monkeypatch.setitem if isinstance(owner, dict) else monkeypatch.setattr
    set_it(owner, name, value)
    assert hash_of(log_density) != before


def test_functions_of_one_name_are_told_apart():
    """Met before, a function stands by its number, not by its name."""
    f, g = (eval(text) for text in ("lambda x: x", "lambda x: 2 * x"))

    def sum_of(functions):
        return lambda z: -sum(function(z[0] ** 2) for function in functions)

    triples = [(f, g, f), (f, g, g), (g, f, f), (g, f, g), (f, f, f)]
    assert len({hash_of(sum_of(triple)) for triple in triples}) == len(triples)


def test_neighbours_do_not_run_together():
    pairs = [("ab", "c"), ("a", "bc"), (b"ab", b"c"), (b"a", b"bc"), ([1], [2, 3]), ([1, 2], [3]), (1, 2), (1, 2.0)]
    pairs += [(True, 2), (0.0, 1.0), (-0.0, 1.0), (None, "None"), ({1: 2}, {}), ((1, 2), ()), ({1, 2}, ())]
    pairs += [(np.float32(1), 0), (np.float64(1), 0), (np.ones(2), 0), (np.ones((1, 2)), 0), (jnp.ones(2), 0)]
    pairs += [(Pair(1.0, 2.0), 0), (Pair(2.0, 1.0), 0), (Line(1.0), 0), (Line(2.0), 0)]
    assert len({digest(*pair) for pair in pairs}) == len(pairs)
    assert digest({1, 2, 3}) == digest({3, 2, 1})


def test_what_jax_and_numpyro_make_of_a_function_is_read_through():
    def model(y, power=2):
        mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        spread = numpyro.sample("spread", dist.LogNormal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(mean, spread), obs=y)

    def centred(value):
        return reparam(model, config={"mean": LocScaleReparam(value)})

    hashes = [hash_of(centred(value), Y) for value in (0.0, 0.0, 0.5)]
    assert hashes[0] == hashes[1] != hashes[2]
    for wrap in (jax.jit, jax.checkpoint, jax.grad, with_own_gradient):
        found = [digest(wrap(function)) for function in (square, square, quartic)]
        assert found[0] == found[1] != found[2]
    assert digest(with_own_gradient(square)) != digest(with_own_gradient(square, 2.0))


def with_own_gradient(function, factor=1.0):
    found = jax.custom_jvp(function)
    found.defjvp(lambda primals, tangents: (function(*primals), factor * tangents[0]))
    return found


def square(z):
    return -(z[0] ** 2)


def quartic(z):
    return -(z[0] ** 4)


def reads_a_file(z):
    return -float(open("scale.txt").read()) * z[0] ** 2


def loads(z):
    return -np.load("scale.npy") * z[0] ** 2


def draws(z):
    return -np.random.uniform() * z[0] ** 2  # noqa: NPY002 - what users write


def tells_the_time(z):
    return -time.time() * z[0] ** 2


def asks_for_a_name(z):
    return -getattr(SETTINGS, "scale") * z[0] ** 2  # noqa: B009 - the point of it


def uses_an_object(z):
    return -SETTINGS.scale * z[0] ** 2


def imports(z):
    import pandas

    return -pandas.NA * z[0] ** 2


def counts_calls(z):
    global COUNT
    COUNT += 1
    return -COUNT * z[0] ** 2


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (reads_a_file, "calls open"),
        (loads, "calls np.load"),
        (draws, "random|RandomState"),
        (tells_the_time, "time"),
        (asks_for_a_name, "calls getattr"),
        (uses_an_object, "SimpleNamespace"),
        (imports, "imports pandas"),
        (counts_calls, "changes the global COUNT"),
        (iter([1]), "list_iterator"),
        (sys, "the module sys as a whole"),
    ],
)
def test_what_cannot_be_seen_is_refused(function, words):
    with pytest.raises(NotHashableError, match=words):
        digest(function)


def test_what_holds_itself():
    endless = []
    endless.append(endless)
    with pytest.raises(NotHashableError, match="holds itself"):
        digest(endless)

    def countdown(n):
        return 0 if n == 0 else countdown(n - 1)

    assert digest(countdown) == digest(countdown)


@pytest.mark.parametrize(
    "make",
    [
        lambda: exact.beta_binomial(3, 10, a=1.0, b=1.0),
        lambda: exact.linear_regression([[1.0], [2.0]], [1.0, 2.5], noise_sd=1.0, prior_sd=2.0),
        lambda: zoo.funnel(3),
        lambda: zoo.banana(),
        lambda: exact.gaussian_mixture([0.5, 0.5], [[0.0], [1.0]], [[[1.0]], [[1.0]]]),
    ],
)
def test_models_of_the_package_have_hashes(make):
    first, second = make().target, make().target
    assert digest(first.program, first.data) == digest(second.program, second.data)


# Files.


def test_no_damage_to_a_file_does_any(tmp_path):
    path, chains = tmp_path / "run.npz", np.random.default_rng(0).normal(size=(2, 50, 3))
    save_chains(path, chains)
    np.testing.assert_array_equal(load_chains(path, chains.shape), chains)
    assert load_chains(path, (50, 2, 3)) is None
    whole = path.read_bytes()
    for place in range(0, len(whole), 17):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        found = load_chains(path, chains.shape)
        assert found is None or np.array_equal(found, chains)
    with path.open("wb") as file:
        np.save(file, chains)
    assert load_chains(path, chains.shape) is None
    path.unlink()
    path.mkdir()
    assert load_chains(path, chains.shape) is None
    with pytest.warns(UserWarning, match="cache: the run could not be kept"):
        save_chains(path, chains)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_is_refused_before_the_run(tmp_path, key):
    (tmp_path / "file").write_text("")
    target = zoo.skewed(1).target
    for folder in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(ValueError, match="cache: expected a folder"):
            exact.reference(key, target, cache=folder)


def test_precision_and_arithmetic_count(tmp_path, key, monkeypatch):
    target = zoo.skewed(1).target
    before = path_of_run(tmp_path, key, target, {})
    with jax.default_matmul_precision("bfloat16"):
        assert path_of_run(tmp_path, key, target, {}) != before
    assert path_of_run(tmp_path, key, target, {}) == before
