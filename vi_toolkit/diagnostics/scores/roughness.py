"""Whether a log density follows its own gradient, or is lost in rounding or in steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from vi_toolkit._checks import check_instance, check_key
from vi_toolkit._types import Key, numpy_generator
from vi_toolkit.diagnostics.scores._scores import score
from vi_toolkit.diagnostics.scores.stein_test import scores_of
from vi_toolkit.fit import Fit

POINTS = 64
SCORED = 500  # at which gradients are taken, as for Stein's test
STEP = 0.02  # of q's standard deviations
ROUGH = 0.25  # of the gradient, from which what it leaves unexplained is more than curvature


def roughness(key: Key, fit: Fit, draws: Any) -> float:
    """How far differences of log p~ are from what its gradient says, as a share of that.

        median_i |log p~(z_i + u_i) - log p~(z_i - u_i) - d_i| / median_i |d_i|,    d_i = 2 u_i . grad log p~(z_i)

    with u_i a random direction of 0.02 standard deviations of q. Of a smooth density it is of the order of that step,
    squared. It is not small where the density has been rounded (a sum over many data, or data far from zero, in single
    precision), has steps or kinks all over, is random itself, or has a gradient of its own that is wrong: then neither
    the fit nor its weights can be relied on.

    Args:
        key: a JAX random key, for the directions.
        fit: from `vi.fit`.
        draws: of q, of shape (draws, dim), of which at most 64 are looked at.

    Returns:
        The share; nan where fewer than half of the points have finite values.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> from vi_toolkit import diagnostics
        >>> def rounded(z):
        ...     return jnp.sum(-0.5 * z**2) + jax.lax.stop_gradient(0.1 * jnp.sin(1e6 * z[0]))
        >>> fit = vi.fit(jax.random.key(0), vi.from_log_density(rounded, dim=2))
        >>> draws = fit.posterior.sample(jax.random.key(1), (64,))
        >>> diagnostics.roughness(jax.random.key(2), fit, draws) > 0.25
        True
    """
    check_key(key)
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    draws = np.asarray(draws, np.float64)
    points = np.resize(draws, (SCORED, draws.shape[1]))  # one shape, one program
    gradients = scores_of(fit, points).p[:POINTS]
    generator = numpy_generator(key)
    directions = STEP * draws.std(axis=0) * generator.standard_normal((POINTS, draws.shape[1])) / draws.shape[1] ** 0.5
    ends = np.concatenate([points[:POINTS] + directions, points[:POINTS] - directions])
    ahead, behind = np.split(score(fit, ends).log_p, 2)
    with np.errstate(invalid="ignore"):
        found, expected = ahead - behind, 2 * (directions * gradients).sum(axis=1)
    usable = np.isfinite(found) & np.isfinite(expected)
    if 2 * usable.sum() < POINTS:
        return float("nan")
    size = float(np.median(np.abs(expected[usable])))
    return float(np.median(np.abs(found - expected)[usable])) / max(size, float(np.finfo(float).tiny))
