"""All ways to allocate observations to the components of a mixture whose means are unknown, with their weights.

Given the allocation c, the component means are independent: mu_k is N(m_ck, 1 / p_ck).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array, vstack

EPSILON = 2.0**-53  # what float64 rounds away from 1


class Allocations(NamedTuple):
    """Every allocation c, in lexicographic order of (c_1, ..., c_n), each among 0 to K - 1."""

    m: np.ndarray  # (K^n, K), means of mu given c
    p: np.ndarray  # (K^n, K), precisions of mu given c
    weights: np.ndarray  # (K^n,), P(c | y)
    log_evidence: float  # log p(y)


def enumerate_allocations(y: np.ndarray, K: int, sd: float, prior_sd: float) -> Allocations:
    """Normal priors and likelihoods, component by component.

    With s the sum of the observations of a component and l their number, p = 1 / prior_sd^2 + l / sd^2 and
    m = s / (sd^2 p); their evidence is prod_i N(y_i; 0, sd) times exp(p m^2 / 2) / (prior_sd sqrt(p)).
    """
    n = len(y)
    c = np.indices((K,) * n, dtype=np.uint8).reshape(n, -1)
    p, s = np.empty((2, K**n, K))
    for k in range(K):
        p[:, k] = prior_sd**-2 + np.sum(c == k, axis=0) / sd**2
        s[:, k] = y @ (c == k)
    m = s / (sd**2 * p)
    log_terms = np.sum(0.5 * p * m**2 - np.log(prior_sd) - 0.5 * np.log(p), axis=1)
    peak = log_terms.max()
    weights = np.exp(log_terms - peak)
    common = -0.5 * np.sum((y / sd) ** 2) - n * np.log(sd * np.sqrt(2.0 * np.pi)) - n * np.log(K)
    log_evidence = float(common + peak + np.log(weights.sum()))
    return Allocations(m, p, weights / weights.sum(), log_evidence)


def heaviest(allocations: Allocations) -> Allocations:
    """Those of greatest weight, first; the others together weigh less than what float64 rounds away."""
    order = np.argsort(-allocations.weights)
    left = np.cumsum(allocations.weights[order][::-1])[::-1]  # the weight of each and of all that follow
    kept = order[left > EPSILON]
    weights = allocations.weights[kept]
    return Allocations(allocations.m[kept], allocations.p[kept], weights / weights.sum(), allocations.log_evidence)


def nearest_modes(m: np.ndarray, modes: np.ndarray, scale: float) -> csr_array:
    """(allocations, modes): one for the mode nearest to m, or equal parts where several are."""
    parts = []
    for rows in np.array_split(m, 1 + len(m) * len(modes) // 2**20):
        distance = np.sum((rows[:, None] - modes) ** 2, axis=-1)
        nearest = distance <= distance.min(axis=1, keepdims=True) + (1e-6 * scale) ** 2
        parts.append(csr_array(nearest / nearest.sum(axis=1, keepdims=True)))
    return csr_array(vstack(parts))


def allocation_probabilities(responsibilities: np.ndarray) -> np.ndarray:
    """(draws, K^n): P(c | mu, y) of every allocation, from those of each observation (draws, n, K)."""
    product = np.ones((len(responsibilities), 1))
    for of_one in np.moveaxis(responsibilities, 1, 0):
        product = (product[:, :, None] * of_one[:, None, :]).reshape(len(product), -1)
    return product
