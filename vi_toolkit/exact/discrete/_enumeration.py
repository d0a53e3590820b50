"""Every assignment of states to the vertices of a small graph, with its probability.

An assignment x has the weight exp(s), s = sum_i field[i, x_i] + sum_{i<j} coupling[i, j] 1[x_i = x_j].
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vi_toolkit._checks import describe
from vi_toolkit.exact._inputs import as_array

MAX_ASSIGNMENTS = 2**20


class Enumeration(NamedTuple):
    """What the sums over all assignments are."""

    log_partition: float  # log of the sum of all weights
    probabilities: np.ndarray  # (K^n,), of the assignments in lexicographic order
    marginals: np.ndarray  # (n, K)
    pair_marginals: np.ndarray  # (n, n, K, K)
    mode: np.ndarray  # (n,)


def log_weights(coupling: np.ndarray, field: np.ndarray, x: np.ndarray) -> np.ndarray:
    """s of every assignment x (assignments, n)."""
    total = np.zeros(len(x))
    for i in range(len(field)):
        total += field[i, x[:, i]]
    for i, j in zip(*np.nonzero(np.triu(coupling)), strict=True):
        total += coupling[i, j] * (x[:, i] == x[:, j])
    return total


def enumerate_assignments(coupling: np.ndarray, field: np.ndarray) -> Enumeration:
    """Sums over all K^n assignments, for a field (n, K)."""
    n, K = field.shape
    everything = np.indices((K,) * n, dtype=np.uint8).reshape(n, -1).T  # each vertex contiguous in memory
    s = log_weights(coupling, field, everything)
    best = int(s.argmax())
    weights = np.exp(s - s[best])
    probabilities = weights / weights.sum()
    pairs = np.empty((n, n, K, K))
    for i in range(n):
        pairs[i, i] = np.diag(probabilities.reshape(K**i, K, -1).sum(axis=(0, 2)))
        for j in range(i + 1, n):
            blocks = probabilities.reshape(K**i, K, K ** (j - i - 1), K, K ** (n - j - 1))
            pairs[i, j] = blocks.sum(axis=(0, 2, 4))
            pairs[j, i] = pairs[i, j].T
    marginals = np.einsum("iikk->ik", pairs)
    log_partition = float(s[best] + np.log(weights.sum()))
    return Enumeration(log_partition, probabilities, marginals, pairs, everything[best].astype(np.int64))


def draw_assignments(
    cumulative: np.ndarray, n: int, K: int, generator: np.random.Generator, num_draws: int
) -> np.ndarray:
    """Assignments (num_draws, n), by inversion of the distribution function over all of them."""
    index = np.searchsorted(cumulative, generator.random(num_draws) * cumulative[-1], side="right")
    return np.stack(np.unravel_index(index, (K,) * n), axis=1).astype(np.int64)


def as_coupling(value: Any) -> np.ndarray:
    """A symmetric matrix with zeros on its diagonal."""
    coupling = as_array(value, "coupling", 2)
    if coupling.shape[0] != coupling.shape[1]:
        raise ValueError(f"coupling: expected a square matrix, got {describe(coupling)}.")
    if not np.array_equal(coupling, coupling.T):
        i, j = np.argwhere(coupling != coupling.T)[0]
        raise ValueError(
            f"coupling: expected a symmetric matrix, got {coupling[i, j]} at ({i}, {j}) and {coupling[j, i]} at "
            f"({j}, {i}). An edge stands at both places, and counts once."
        )
    if np.diag(coupling).any():
        raise ValueError(f"coupling: expected zeros on the diagonal, got {np.diag(coupling)}.")
    return coupling


def check_size(n: int, K: int) -> None:
    """Raises if there are too many assignments."""
    if K**n > MAX_ASSIGNMENTS:
        raise ValueError(
            f"coupling: {n} vertices of {K} states have {K}^{n} = {float(K) ** n:.2g} assignments, and at most 2^20 = "
            f"{MAX_ASSIGNMENTS} are summed over. Take a smaller graph; a chain of any length is a hidden_markov."
        )
