"""Sums and maxima over the paths of a chain of discrete states, in logarithms, and draws of paths.

A path x of T steps among K states has the weight exp(s), s = initial[x_0] + sum_t transition[x_t, x_t+1] +
sum_t local[t, x_t].
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vi_toolkit.exact.discrete._states import draw_states


class Chain(NamedTuple):
    """The logarithms of a chain's factors."""

    initial: np.ndarray  # (K,)
    transition: np.ndarray  # (K, K), from row to column
    local: np.ndarray  # (T, K), of each step's observation


def log_weights(chain: Chain, paths: np.ndarray) -> np.ndarray:
    """s of every path (paths, T)."""
    start = chain.initial[paths[:, 0]]
    moves = chain.transition[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    return start + moves + chain.local[np.arange(paths.shape[1]), paths].sum(axis=1)


def forward(chain: Chain) -> np.ndarray:
    """(T, K): log of the sum over all paths that are in state k at step t, of the weights up to step t."""
    rows = [chain.initial + chain.local[0]]
    for local in chain.local[1:]:
        rows.append(np.logaddexp.reduce(rows[-1][:, None] + chain.transition, axis=0) + local)
    return np.stack(rows)


def backward(chain: Chain) -> np.ndarray:
    """(T, K): log of the sum over all ways on from state k at step t, of the weights after step t."""
    rows = [np.zeros_like(chain.initial)]
    for local in chain.local[:0:-1]:
        rows.append(np.logaddexp.reduce(chain.transition + local + rows[-1], axis=1))
    return np.stack(rows[::-1])


def best_path(chain: Chain) -> np.ndarray:
    """The path of greatest weight, by Viterbi's recursion."""
    best, origins = chain.initial + chain.local[0], []
    for local in chain.local[1:]:
        candidates = best[:, None] + chain.transition
        origins.append(candidates.argmax(axis=0))
        best = candidates.max(axis=0) + local
    path = [int(best.argmax())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return np.array(path[::-1])


def draw_paths(chain: Chain, alpha: np.ndarray, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    """Paths (num_draws, T) with probabilities in proportion to their weights: backward, given ``alpha = forward``."""
    T = len(alpha)
    paths = np.empty((num_draws, T), dtype=np.int64)
    paths[:, -1] = draw_states(generator, normalised(alpha[-1]), (num_draws,))
    for t in range(T - 2, -1, -1):
        given_next = normalised(alpha[t] + chain.transition.T)  # row: the next state; column: the state at t
        paths[:, t] = draw_states(generator, given_next[paths[:, t + 1]], (num_draws,))
    return paths


def normalised(log_weights: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis; where every weight is zero, they stay zero."""
    peak = log_weights.max(axis=-1, keepdims=True)
    weights = np.exp(log_weights - np.where(np.isneginf(peak), 0.0, peak))
    total = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(total > 0, total, 1.0)
