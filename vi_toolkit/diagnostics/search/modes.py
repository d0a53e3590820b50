"""How much mass lies at each mode."""

from __future__ import annotations

from typing import Any

import numpy as np

from vi_toolkit._checks import describe
from vi_toolkit.diagnostics.moments import Measured
from vi_toolkit.diagnostics.weights.evidence import correlated_error
from vi_toolkit.exact.posterior import nearest_mode


def mode_masses(draws: Any, modes: Any, *, scale: Any = 1.0) -> Measured:
    """The share of the draws whose nearest mode is each of the modes.

    Args:
        draws: of shape (draws, dim).
        modes: of shape (modes, dim).
        scale: what one unit of distance is: posterior standard deviations, of shape (dim,), or a lower triangular
            Cholesky factor of the covariance, of shape (dim, dim), in which distances are then Mahalanobis'.

    Returns:
        The masses, of shape (modes,), summing to one, with their standard errors for independent draws.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.mode_masses(np.array([[-3.0], [2.5], [4.0], [3.0]]), np.array([[-3.0], [3.0]])).values
        array([0.25, 0.75])
    """
    draws, modes, scale = (np.asarray(array, np.float64) for array in (draws, modes, scale))
    if draws.ndim != 2 or modes.ndim != 2 or draws.shape[1] != modes.shape[1]:
        raise ValueError(
            f"modes: expected shape (modes, dim) for draws (draws, dim), got {describe(modes)} and {describe(draws)}."
        )
    if scale.ndim == 2:
        draws, modes = np.linalg.solve(scale, draws.T).T, np.linalg.solve(scale, modes.T).T
    else:
        draws, modes = draws / scale, modes / scale
    return masses_of_shares(nearest_mode(modes, draws))


def masses_of_shares(shares: Any, log_weights: Any = None, *, correlated: bool = False) -> Measured:
    """Mass per mode from the shares that every draw gives to every mode, by their (weighted) mean.

    Args:
        shares: of shape (draws, modes), each row summing to one, as `ExactPosterior.mode_shares` returns them.
        log_weights: normalised, of shape (draws,), or None.
        correlated: whether the draws come from a Markov chain, in order.

    Example:
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.masses_of_shares([[1.0, 0.0], [0.5, 0.5]]).values
        array([0.75, 0.25])
    """
    shares = np.asarray(shares, np.float64)
    weights = np.full(len(shares), 1.0 / len(shares)) if log_weights is None else np.exp(np.asarray(log_weights))
    masses = shares.mean(axis=0) if log_weights is None else weights @ shares
    independent = np.sqrt(((weights[:, None] * (shares - masses)) ** 2).sum(axis=0))
    return Measured(masses, correlated_error(shares) if correlated else independent)
