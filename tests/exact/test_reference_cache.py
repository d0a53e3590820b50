"""The cache of NUTS runs: the same call finds the same run, and whatever differs does not."""

import functools
import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from vi_toolkit import exact, from_log_density, from_numpyro
from vi_toolkit.exact._hash import NotHashableError, digest

DATA = np.array([0.5, 1.5, -0.3])
SMALL = {"num_warmup": 200, "num_draws": 2500}
FACTOR = 2.0


def model(y, sd):
    mean = numpyro.sample("mean", dist.Normal(0.0, sd))
    numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


@pytest.fixture
def count_runs(monkeypatch):
    """The number of runs of NUTS so far."""
    module = sys.modules["vi_toolkit.exact.reference"]
    runs = []
    run = module._run
    monkeypatch.setattr(module, "_run", lambda *arguments: (runs.append(1), run(*arguments))[1])
    return runs


def test_a_second_call_finds_the_same_draws(tmp_path, key, count_runs):
    target = from_numpyro(model, DATA, sd=2.0)
    first = exact.reference(key, target, cache=tmp_path / "runs", **SMALL)
    second = exact.reference(key, from_numpyro(model, DATA, sd=2.0), cache=str(tmp_path / "runs"), **SMALL)
    assert len(count_runs) == 1
    for name in ("draws", "mean", "covariance", "mcse", "sd_mcse"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    np.testing.assert_array_equal(first.sample(key, 5), second.sample(key, 5))
    assert [path.suffix for path in (tmp_path / "runs").iterdir()] == [".npz"]
    uncached = exact.reference(key, target, **SMALL)
    np.testing.assert_array_equal(first.draws, uncached.draws)
    assert len(count_runs) == 2


def test_a_damaged_or_foreign_file_is_run_again(tmp_path, key, count_runs):
    target = from_numpyro(model, DATA, sd=2.0)
    first = exact.reference(key, target, cache=tmp_path, **SMALL)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for content in (b"", b"not a file of NumPy", whole[: len(whole) // 2]):
        path.write_bytes(content)
        np.testing.assert_array_equal(exact.reference(key, target, cache=tmp_path, **SMALL).draws, first.draws)
    np.savez(path, chains=np.zeros((1, 2, 3)))
    np.testing.assert_array_equal(exact.reference(key, target, cache=tmp_path, **SMALL).draws, first.draws)
    np.savez(path, other=np.zeros(3))
    np.testing.assert_array_equal(exact.reference(key, target, cache=tmp_path, **SMALL).draws, first.draws)
    assert len(count_runs) == 6
    assert len(list(tmp_path.iterdir())) == 1


def test_runs_that_did_not_pass_are_not_kept(tmp_path, key):
    with pytest.raises(RuntimeError, match="did not pass"):
        exact.reference(key, from_numpyro(model, DATA, sd=2.0), cache=tmp_path, num_warmup=50, num_draws=50)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_be_hashed_runs_each_time(tmp_path, key, count_runs):
    lock = iter([1.0])  # an object whose content cannot be looked at

    def strange(y):
        assert lock is not None
        numpyro.sample("y", dist.Normal(numpyro.sample("mean", dist.Normal(0.0, 1.0)), 1.0), obs=y)

    for _ in range(2):
        with pytest.warns(UserWarning, match=r"cache: this run is not kept.*list_iterator"):
            exact.reference(key, from_numpyro(strange, DATA), cache=tmp_path, **SMALL)
    assert len(count_runs) == 2


# What the names tell apart.


def hash_of(target):
    return digest(target.program, target.data)


def scaled(y, scale=1.0):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(scale * mean, FACTOR), obs=y)


def with_helper(helper):
    def inner(y):
        mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(helper(mean), 1.0), obs=y)

    return inner


def double(x):
    return 2.0 * x


def triple(x):
    return 3.0 * x


def quadratic(matrix, z):
    return -0.5 * z @ matrix @ z


def test_the_same_model_built_twice_has_one_name():
    assert hash_of(from_numpyro(model, DATA, sd=2.0)) == hash_of(from_numpyro(model, DATA.copy(), sd=2.0))
    assert hash_of(from_numpyro(with_helper(double), DATA)) == hash_of(from_numpyro(with_helper(double), DATA))
    partial = [
        from_log_density(jax.tree_util.Partial(quadratic, jnp.eye(2)), dim=2),
        from_log_density(jax.tree_util.Partial(quadratic, jnp.eye(2)), dim=2),
    ]
    assert hash_of(partial[0]) == hash_of(partial[1])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda: from_numpyro(model, DATA, sd=2.0), lambda: from_numpyro(model, DATA, sd=2.5)),
        (lambda: from_numpyro(model, DATA, sd=2.0), lambda: from_numpyro(model, DATA + 1e-12, sd=2.0)),
        (lambda: from_numpyro(model, DATA, sd=2.0), lambda: from_numpyro(model, DATA[:2], sd=2.0)),
        (lambda: from_numpyro(scaled, DATA), lambda: from_numpyro(scaled, DATA, scale=2.0)),
        (lambda: from_numpyro(with_helper(double), DATA), lambda: from_numpyro(with_helper(triple), DATA)),
        (
            lambda: from_numpyro(functools.partial(scaled, scale=1.5), DATA),
            lambda: from_numpyro(functools.partial(scaled, scale=1.6), DATA),
        ),
        (
            lambda: from_log_density(jax.tree_util.Partial(quadratic, jnp.eye(2)), dim=2),
            lambda: from_log_density(jax.tree_util.Partial(quadratic, 2.0 * jnp.eye(2)), dim=2),
        ),
        (
            lambda: from_log_density(lambda z: -jnp.sum(z**2), dim=1),
            lambda: from_log_density(lambda z: -2.0 * jnp.sum(z**2), dim=1),
        ),
        (
            lambda: from_log_density(lambda z: -jnp.sum(jnp.sin(z) ** 2), dim=1),
            lambda: from_log_density(lambda z: -jnp.sum(jnp.cos(z) ** 2), dim=1),
        ),
    ],
)
def test_what_differs_has_another_name(first, second):
    assert hash_of(first()) == hash_of(first())
    assert hash_of(first()) != hash_of(second())


def test_a_global_that_a_model_uses_counts(monkeypatch):
    before = hash_of(from_numpyro(scaled, DATA))
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert hash_of(from_numpyro(scaled, DATA)) != before


def test_key_and_settings_count(tmp_path, key):
    path = sys.modules["vi_toolkit.exact._cache"].path_of_run
    target = from_numpyro(model, DATA, sd=2.0)
    names = {
        path(tmp_path, key, target, {"draws": 10}),
        path(tmp_path, jax.random.key(99), target, {"draws": 10}),
        path(tmp_path, key, target, {"draws": 11}),
    }
    assert len(names) == 3
    assert path(tmp_path, key, target, {"draws": 10}) in names


def test_the_name_is_the_same_in_another_process():
    """Neither addresses nor the seed of Python's hashes enter it."""
    program = textwrap.dedent("""
        import jax, numpy as np, numpyro, numpyro.distributions as dist
        jax.config.update("jax_enable_x64", True)
        from vi_toolkit import from_numpyro
        from vi_toolkit.exact._hash import digest

        def helper(x):
            return {"a", "b", "c"} and 2.0 * x

        def model(y, *, scale=1.0):
            mean = numpyro.sample("mean", dist.Normal(0.0, helper(scale)))
            numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)

        target = from_numpyro(model, np.arange(3.0), scale=2.0)
        print(digest(target.program, target.data))
    """)
    names = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(names) == 1


def test_objects_without_known_content_are_refused():
    with pytest.raises(NotHashableError, match="array of objects"):
        digest(np.array([object()]))
    with pytest.raises(NotHashableError, match="generator"):
        digest(x for x in ())
