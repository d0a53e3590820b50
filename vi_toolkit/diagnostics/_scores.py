"""Draws of a fitted q with log p~ and log q there: one compiled program, the statistics then in NumPy's float64."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._types import Key
from vi_toolkit.algorithms import Method
from vi_toolkit.fit import Fit
from vi_toolkit.targets import Target


class Scores(NamedTuple):
    draws: np.ndarray  # (draws, dim)
    log_p: np.ndarray  # (draws,), nats, up to log Z
    log_q: np.ndarray  # (draws,), nats
    rounding: float  # nats by which log_p - log_q may be off for want of digits

    @property
    def log_weights(self) -> np.ndarray:
        """log p~ - log q, with -inf where p~ is zero whatever q is."""
        with np.errstate(invalid="ignore"):
            return np.where(self.log_p == -np.inf, -np.inf, self.log_p - self.log_q)


def draw_and_score(key: Key, fit: Fit, num_draws: int) -> Scores:
    """``num_draws`` draws of q, with log p~ and log q at each."""
    return _as_scores(*_draw_and_score(fit.method, fit.target, fit.params, key, num_draws))


def score(fit: Fit, draws: Any) -> Scores:
    """log p~ and log q at given draws (draws, dim)."""
    draws = jnp.asarray(draws, jnp.result_type(float))
    return _as_scores(draws, *_score(fit.method, fit.target, fit.params, draws))


@partial(jax.jit, static_argnames="num_draws")
def _draw_and_score(method: Method, target: Target, params: Any, key: Key, num_draws: int) -> tuple[Any, Any, Any]:
    q = method.posterior(params)
    draws = q.sample(key, (num_draws,))
    return draws, jax.vmap(target.log_density)(draws), q.log_prob(draws)


@jax.jit
def _score(method: Method, target: Target, params: Any, draws: Any) -> tuple[Any, Any]:
    return jax.vmap(target.log_density)(draws), method.posterior(params).log_prob(draws)


def _as_scores(draws: Any, log_p: Any, log_q: Any) -> Scores:
    digits = float(np.finfo(draws.dtype).eps)
    draws, log_p, log_q = (np.asarray(array, np.float64) for array in (draws, log_p, log_q))
    finite = [np.abs(a[np.isfinite(a)]) for a in (log_p, log_q)]
    size = max(1.0, *(float(np.median(a)) if len(a) else 1.0 for a in finite))  # not the size of a stray draw
    return Scores(draws, log_p, log_q, 8.0 * digits * size)
