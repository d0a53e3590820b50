"""Keeps JAX's CPU compiler from a fused sum that is wrong.

In jaxlib 0.12 a sum over some thousands of terms with two log1p or two expm1 in them is handed to a library
that returns another number, without a word: sum(log1p(x^2) - 0.3 log1p(0.3 x^2)) over 8,000 x is off by a factor. Log
likelihoods are such sums. The compiler has an option that leaves this fusion out; it is read when JAX first computes.
"""

from __future__ import annotations

import os
import warnings
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
from jax._src.xla_bridge import backends_are_initialized  # no public name asks without starting them

AFFECTED = "0.12."  # other versions may not know the option, and end the process over it
OPTION = "--xla_cpu_experimental_ynn_fusion_type"
FLAG = f"{OPTION}=-LIBRARY_FUSION_TYPE_REDUCE"


def keep_sums_sound() -> None:
    """Sets the option, and warns where JAX has computed already and its sums are wrong."""
    flags = os.environ.get("XLA_FLAGS", "")
    if not version("jaxlib").startswith(AFFECTED) or OPTION in flags:
        return
    os.environ["XLA_FLAGS"] = f"{flags} {FLAG}".strip()
    if backends_are_initialized() and not sums_are_sound():
        warnings.warn(
            f"JAX {jax.__version__} computed before vi_toolkit was imported, and its CPU compiler gets some sums wrong "
            "(two log1p or expm1 under one sum of thousands of terms). Import vi_toolkit first, or set the environment "
            f'variable XLA_FLAGS="{FLAG}" before Python starts.',
            RuntimeWarning,
            stacklevel=2,
        )


def sums_are_sound() -> bool:
    """Whether the sum that is known to go wrong is right in this process."""
    x = np.linspace(-3.0, 3.0, 8000)
    exact = np.sum(np.log1p(x**2) - 0.3 * np.log1p(0.3 * x**2))
    computed = jax.jit(lambda x: jnp.sum(jnp.log1p(x**2) - 0.3 * jnp.log1p(0.3 * x**2)))(x)
    return bool(abs(float(computed) - exact) < 1e-3 * abs(exact))


keep_sums_sound()  # when the package is imported
