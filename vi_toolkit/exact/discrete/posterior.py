"""A posterior over discrete unknowns that is known by exact sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpyro.distributions import Distribution

from vi_toolkit._checks import describe
from vi_toolkit._types import Key
from vi_toolkit.exact.discrete._vectors import as_exact
from vi_toolkit.exact.posterior import ExactPosterior, check_draw_request


@dataclass(frozen=True, eq=False)
class DiscretePosterior:
    """A posterior P(x | data) over discrete unknowns x, known by exact sums; everything is NumPy, in float64.

    It is what a guide over the model's continuous unknowns is held against where the discrete ones are summed out, and
    what a sampler over the discrete ones is held against. `as_exact` gives it a target, for guides over discrete
    unknowns.

    An assignment x gives every unknown one of the states 0, 1, ..., states - 1. The model's joint log density of x and
    the data is ``log_prob(x) + log_evidence``.

    Attributes:
        name: what it is called.
        how: how it is known, in a few words.
        site: the name of the model's discrete site, whose value is x.
        log_evidence: log P(data), in nats.
        log_probs: (draws, ...) -> (draws,), log P(x | data) of whole assignments; `log_prob` calls it.
        sampler: (generator, num_draws) -> draws of whole assignments, (num_draws, ...); `sample` calls it.
        marginals: P(x_i = k | data), of shape (..., states).
        mode: the most probable assignment, of shape (...); one of them where several are equally probable.
        model: the NumPyro model of the same posterior, with its discrete site.
        args: its positional arguments.
        kwargs: its named arguments.
        pair_marginals: P(x_i = k, x_j = l | data) of the pairs that the entry's docstring names, of shape
            (..., states, states); None where unknowns are independent, or there is one only.
        predictive: what is known of further observations: a function, as the entry's docstring says; or None.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro.distributions as dist
        >>> from vi_toolkit import exact
        >>> components = dist.Normal(jnp.array([0.0, 4.0]), 1.0)
        >>> posterior = exact.finite_mixture([0.0, 3.0], weights=[0.5, 0.5], components=components)
        >>> posterior.mode, posterior.marginals.round(4)
        (array([0, 1]), array([[9.997e-01, 3.000e-04],
               [1.800e-02, 9.820e-01]]))
        >>> round(posterior.log_prob([0, 1]), 4)
        -0.0185
        >>> posterior.sample(jax.random.key(0), 5).shape
        (5, 2)
    """

    name: str
    how: str
    site: str
    log_evidence: float
    log_probs: Callable[[np.ndarray], np.ndarray]
    sampler: Callable[[np.random.Generator, int], np.ndarray]
    marginals: np.ndarray
    mode: np.ndarray
    model: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    pair_marginals: np.ndarray | None = None
    predictive: Callable[..., Distribution] | None = None

    def log_prob(self, x: Any) -> float:
        """log P(x | data) of ONE assignment x, in nats; -inf where it is impossible.

        Raises:
            TypeError: if x is not numeric.
            ValueError: if x has another shape than ``mode``, or a state that does not exist.
        """
        x = np.asarray(x)
        if x.dtype.kind not in "biuf":
            raise TypeError(f"x: expected whole numbers, got {describe(x)}.")
        if x.shape != self.mode.shape:
            raise ValueError(f"x: expected one assignment, of shape {self.mode.shape}, got shape {x.shape}.")
        states = self.marginals.shape[-1]
        if ((x != np.round(x)) | (x < 0) | (x >= states)).any():
            raise ValueError(f"x: expected states among 0 to {states - 1}, got {x}.")
        return float(self.log_probs(x[None].astype(np.int64))[0])

    def as_exact(self) -> ExactPosterior:
        """The same posterior of x as a vector of whole numbers, row by row, with a target and moments.

        `vi.fit` takes its target with `vi.MeanFieldCategorical`, and `vi.diagnose` and `vi.compare` take it as a
        reference. An impossible assignment, with a log mass of -inf, makes reverse KL infinite.

        Example:
            >>> import jax, numpy as np, vi_toolkit as vi
            >>> exact = vi.exact.ising(np.array([[0.0, 0.5], [0.5, 0.0]]), np.array([0.2, 0.0])).as_exact()
            >>> exact.mean.round(4), exact.target.num_values
            (array([0.5987, 0.5456]), (2, 2))
            >>> objective = vi.ReverseKL(vi.estimators.enumerated)
            >>> fit = vi.fit(jax.random.key(0), exact.target, vi.gradient(vi.MeanFieldCategorical((2, 2)), objective))
            >>> vi.diagnose(jax.random.key(1), fit, reference=exact).reverse_kl < 0.15
            True
        """
        return as_exact(self)

    def sample(self, key: Key, num_draws: int) -> np.ndarray:
        """``num_draws`` independent draws of whole assignments, (num_draws, ...), whole numbers."""
        return self.sampler(*check_draw_request(key, num_draws))
