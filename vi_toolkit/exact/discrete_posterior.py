"""A posterior over discrete unknowns that is known by exact sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpyro.distributions import Distribution

from vi_toolkit._types import Key
from vi_toolkit.exact.posterior import check_draw_request


@dataclass(frozen=True, eq=False)
class DiscretePosterior:
    """A posterior P(x | data) over discrete unknowns x, known by exact sums; everything is NumPy, in float64.

    It has no unconstrained space and so no target: it is what a guide over the model's continuous unknowns is held
    against where the discrete ones are summed out, and what a sampler over the discrete ones is held against.

    Attributes:
        name: what it is called.
        how: how it is known, in a few words.
        log_evidence: log P(data), in nats.
        log_probs: (draws, ...) -> (draws,), log P(x | data) of whole assignments; `log_prob` calls it.
        sampler: (generator, num_draws) -> draws of whole assignments, (num_draws, ...); `sample` calls it.
        marginals: P(x_i = k | data), of shape (..., states).
        mode: the most probable assignment, of shape (...).
        model: the NumPyro model of the same posterior, with its discrete sites.
        args: its positional arguments.
        kwargs: its named arguments.
        predictive: what is known of further observations: a function, as the entry's docstring says; or None.

    Example:
        >>> import jax
        >>> from vi_toolkit import exact
        >>> posterior = exact.finite_mixture([0.0, 4.0], weights=[0.5, 0.5], means=[0.0, 4.0], sds=[1.0, 1.0])
        >>> posterior.mode, posterior.marginals.round(4)
        (array([0, 1]), array([[9.997e-01, 3.000e-04],
               [3.000e-04, 9.997e-01]]))
        >>> round(posterior.log_prob([0, 1]), 4)
        -0.0007
    """

    name: str
    how: str
    log_evidence: float
    log_probs: Callable[[np.ndarray], np.ndarray]
    sampler: Callable[[np.random.Generator, int], np.ndarray]
    marginals: np.ndarray
    mode: np.ndarray
    model: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    predictive: Callable[..., Distribution] | None = None

    def log_prob(self, x: Any) -> float:
        """log P(x | data) of ONE assignment x, in nats; -inf where it is impossible.

        Raises:
            ValueError: if x has another shape than ``mode``, or a state that does not exist.
        """
        x = np.asarray(x)
        if x.shape != self.mode.shape:
            raise ValueError(f"x: expected one assignment, of shape {self.mode.shape}, got shape {x.shape}.")
        states = self.marginals.shape[-1]
        if ((x != np.round(x)) | (x < 0) | (x >= states)).any():
            raise ValueError(f"x: expected states among 0 to {states - 1}, got {x}.")
        return float(self.log_probs(x[None].astype(np.int64))[0])

    def sample(self, key: Key, num_draws: int) -> np.ndarray:
        """``num_draws`` independent draws of whole assignments, (num_draws, ...), whole numbers."""
        return self.sampler(*check_draw_request(key, num_draws))
