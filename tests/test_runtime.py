"""The settings of a process: where compiled programs go, and that they are found again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vi_toolkit import runtime

PROBE = """
import jax, jax.numpy as jnp
from vi_toolkit import runtime
runtime.configure(float32={float32})
import numpyro.distributions as dist
d = dist.MultivariateStudentT(3.0, jnp.array([1.0, -1.0]), jnp.array([[1.0, 0.0], [0.5, 2.0]]))
value = jax.jit(lambda d: d.log_prob(jnp.ones(2)))(d)
print(value.dtype, float(value))
"""


def run(folder, seed, float32=False, **environment):
    """What the probe prints in a process of its own."""
    given = {**os.environ, "PYTHONHASHSEED": str(seed), "VI_TOOLKIT_CACHE": str(folder), **environment}
    command = [sys.executable, "-c", PROBE.format(float32=float32)]
    return subprocess.run(command, env=given, capture_output=True, text=True, check=True).stdout.split()


def entries(folder):
    return {path.name for path in Path(folder).glob("*-cache")}


def test_programs_are_found_again_whatever_the_hash_seed(tmp_path):
    """The fields of this distribution come in another order under each of these seeds, unless they are sorted."""
    first = run(tmp_path, 1)
    kept = entries(tmp_path)
    assert kept
    for seed in (2, 3):
        assert run(tmp_path, seed) == first
        assert entries(tmp_path) == kept


def test_precision_and_no_cache(tmp_path):
    assert run("", 1, XDG_CACHE_HOME=str(tmp_path))[0] == "float64"
    assert not (tmp_path / "vi-toolkit").exists()


def test_single_precision_and_the_default_folder(tmp_path):
    assert run("1", 1, float32=True, XDG_CACHE_HOME=str(tmp_path))[0] == "float32"
    assert entries(tmp_path / "vi-toolkit" / "jax")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"VI_TOOLKIT_CACHE": ""}, None),
        ({"VI_TOOLKIT_CACHE": "0"}, None),
        ({"VI_TOOLKIT_CACHE": "/some/where"}, Path("/some/where")),
        ({"XDG_CACHE_HOME": "/caches"}, Path("/caches/vi-toolkit/jax")),
        ({"XDG_CACHE_HOME": "not/absolute", "HOME": "/home/someone"}, Path("/home/someone/.cache/vi-toolkit/jax")),
        ({"HOME": "/home/someone"}, Path("/home/someone/.cache/vi-toolkit/jax")),
    ],
)
def test_where_programs_are_kept(monkeypatch, environment, expected):
    for name in ("VI_TOOLKIT_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert runtime.cache_directory() == expected


def test_a_folder_that_cannot_be_written_is_no_cache(tmp_path):
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file" / "below", 1)[0] == "float64"
