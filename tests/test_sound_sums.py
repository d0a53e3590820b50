"""Sums that JAX's CPU compiler is known to get wrong are right in a process that imports vi_toolkit."""

import os
import subprocess
import sys
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vi_toolkit._sound_sums import AFFECTED, FLAG, OPTION, sums_are_sound

TOO_LATE = """
import jax, jax.numpy as jnp
jnp.zeros(3).block_until_ready()
import vi_toolkit
"""


@pytest.mark.any_precision
def test_the_known_sum_is_right():
    assert sums_are_sound()


@pytest.mark.any_precision
@pytest.mark.parametrize("n", [100, 8_000, 60_000])
@pytest.mark.parametrize("name", ["log1p", "expm1"])
def test_long_sums_of_two_terms(name, n):
    x = np.random.default_rng(0).normal(size=n) ** 2
    ours, numpys = getattr(jnp, name), getattr(np, name)
    expected = np.sum(numpys(x) - 0.3 * numpys(0.3 * x))
    computed = jax.jit(lambda x: jnp.sum(ours(x) - 0.3 * ours(0.3 * x)))(x)
    np.testing.assert_allclose(computed, expected, rtol=1e-10 if jnp.result_type(float) == jnp.float64 else 1e-4)


@pytest.mark.skipif(not version("jaxlib").startswith(AFFECTED), reason="another version of jaxlib")
def test_an_import_that_comes_too_late_says_so():
    flags = " ".join(flag for flag in os.environ.get("XLA_FLAGS", "").split() if not flag.startswith(OPTION))
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONWARNINGS": "default"}
    done = subprocess.run([sys.executable, "-c", TOO_LATE], env=environment, capture_output=True, text=True, check=True)
    assert f'XLA_FLAGS="{FLAG}"' in done.stderr
    assert "Import vi_toolkit first" in done.stderr
