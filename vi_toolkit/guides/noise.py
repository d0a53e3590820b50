"""Where normal noise comes from: independent draws, mirrored pairs, or points that fill the space evenly."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from scipy.stats import qmc

from vi_toolkit._types import Draws, Key

SOBOL_BITS = 30
SOBOL_MAX_DIM = 21_201  # of SciPy's direction numbers


class Noise(Protocol):
    """``num_draws`` points of R^dim, each standard normal by itself, whatever they are together.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> noise = vi.estimators.antithetic(jax.random.key(0), 4, 2, jnp.float64)
        >>> bool(jnp.all(noise[:2] == -noise[2:]))
        True
    """

    def __call__(self, key: Key, num_draws: int, dim: int, dtype: Any) -> Draws: ...


def independent(key: Key, num_draws: int, dim: int, dtype: Any) -> Draws:
    """Independent standard normal points.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> vi.estimators.independent(jax.random.key(0), 3, 2, jnp.float64).shape
        (3, 2)
    """
    return jax.random.normal(key, (num_draws, dim), dtype)


def antithetic(key: Key, num_draws: int, dim: int, dtype: Any) -> Draws:
    """Standard normal points in pairs e and -e.

    The odd part of any function cancels within a pair: on a posterior that is nearly normal, most of the noise in
    the gradient of the location.

    Source: Hammersley & Morton (1956), A new Monte Carlo technique: antithetic variates,
    doi:10.1017/S0305004100031455.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> float(vi.estimators.antithetic(jax.random.key(0), 4, 2, jnp.float64).sum())
        0.0
    """
    half = independent(key, -(-num_draws // 2), dim, dtype)
    return jnp.concatenate([half, -half])[:num_draws]


def quasi_random(key: Key, num_draws: int, dim: int, dtype: Any) -> Draws:
    """Sobol points, shifted at random and sent through the normal quantile function.

    Every call flips the same random bits in all points (a digital shift), so that each point is uniform on the cube
    and any mean over the points is unbiased, while together they fill the cube evenly. For smooth functions of few
    effective dimensions the error of a mean falls nearly like 1 / num_draws. Powers of two are best.

    Raises:
        ValueError: if there are more than 21,201 dimensions.

    Source: Owen (1998), Scrambling Sobol' and Niederreiter-Xing points, doi:10.1006/jcom.1998.0487; Buchholz, Wenzel &
    Mandt (2018), Quasi-Monte Carlo variational inference, arXiv:1807.01604.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> noise = vi.estimators.quasi_random(jax.random.key(0), 1024, 2, jnp.float64)
        >>> bool(jnp.all(jnp.abs(noise.mean(0)) < 0.005))  # independent draws: 0.03
        True
    """
    if dim > SOBOL_MAX_DIM:
        raise ValueError(f"noise: quasi_random has at most {SOBOL_MAX_DIM:,} dimensions, got {dim:,}. Use antithetic.")
    flips = jax.random.bits(key, (dim,), jnp.uint32) >> (32 - SOBOL_BITS)
    shifted = jnp.bitwise_xor(_sobol(num_draws, dim), flips)
    # the middle of the cell that the bits leave open, so that neither 0 nor 1 is met, even where float32 rounds
    uniform = (shifted.astype(dtype) + 0.5) / 2**SOBOL_BITS
    tiny = float(np.finfo(dtype).eps) / 2
    return ndtri(jnp.clip(uniform, tiny, 1 - tiny))


@lru_cache(maxsize=64)
def _sobol(num_draws: int, dim: int) -> np.ndarray:
    """The first points of a scrambled Sobol sequence as integers of SOBOL_BITS bits."""
    points = qmc.Sobol(dim, bits=SOBOL_BITS, rng=np.random.default_rng(0)).random_base2(_exponent(num_draws))
    return (points[:num_draws] * 2**SOBOL_BITS).astype(np.uint32)


def _exponent(num_draws: int) -> int:
    return max(0, (num_draws - 1).bit_length())
