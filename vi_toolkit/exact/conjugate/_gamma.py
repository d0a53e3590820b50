"""Draws of log Gamma(shape, 1)."""

from __future__ import annotations

import numpy as np


def log_gamma_draws(generator: np.random.Generator, shape: float, num_draws: int) -> np.ndarray:
    """log g for g ~ Gamma(shape, 1), of shape (num_draws,).

    By g = h u^(1 / shape) with h ~ Gamma(shape + 1, 1), u uniform: a small shape gives a g that underflows to zero,
    whose logarithm is -inf, and so the logarithm is drawn instead.
    """
    h = generator.gamma(shape + 1.0, size=num_draws)
    return np.log(h) - generator.standard_exponential(num_draws) / shape
