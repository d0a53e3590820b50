"""Draws of a fitted q with log p~ and log q there: two compiled programs, the statistics then in NumPy's float64."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._pieces import in_pieces
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
    return _scored(fit, np.asarray(_draw(fit.method, fit.params, key, num_draws)))


def joined(first: Scores, second: Scores) -> Scores:
    """The draws of both."""
    draws, log_p, log_q = (np.concatenate(pair) for pair in zip(first[:3], second[:3], strict=True))
    return Scores(draws, log_p, log_q, max(first.rounding, second.rounding))


def score(fit: Fit, draws: Any) -> Scores:
    """log p~ and log q at given draws (draws, dim)."""
    return _scored(fit, np.asarray(draws, jnp.result_type(float)))


def _scored(fit: Fit, draws: np.ndarray) -> Scores:
    log_p, log_q = in_pieces(lambda piece: _score(fit.method, fit.target, fit.params, piece), draws)
    return _as_scores(draws, log_p, log_q)


@partial(jax.jit, static_argnames="num_draws")
def _draw(method: Method, params: Any, key: Key, num_draws: int) -> Any:
    return method.posterior(params).sample(key, (num_draws,))


@jax.jit
def _score(method: Method, target: Target, params: Any, draws: Any) -> tuple[Any, Any]:
    return jax.vmap(target.log_density)(draws), method.posterior(params).log_prob(draws)


def _as_scores(draws: np.ndarray, log_p: np.ndarray, log_q: np.ndarray) -> Scores:
    digits = float(np.finfo(log_p.dtype).eps)
    draws, log_p, log_q = (np.asarray(array, np.float64) for array in (draws, log_p, log_q))
    finite = [np.abs(a[np.isfinite(a)]) for a in (log_p, log_q)]
    size = max(1.0, *(float(np.median(a)) if len(a) else 1.0 for a in finite))  # not the size of a stray draw
    return Scores(draws, log_p, log_q, 8.0 * digits * size)
