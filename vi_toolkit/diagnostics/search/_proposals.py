"""Where else to look than at draws of q: Student's t about q and about every top of the density, as one mixture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, logsumexp

DEGREES = 5.0  # of freedom: tails heavier than most posteriors'
WIDER = 1.5  # standard deviations of the t about q, in q's own
WIDEST = 10.0  # standard deviations of a proposal, in q's own
MAX_CONDITION = 1e12


class Proposal(NamedTuple):
    """A multivariate Student's t: center + factor @ t."""

    center: np.ndarray  # (dim,)
    factor: np.ndarray  # (dim, dim), lower triangular


def about_draws(draws: np.ndarray, log_weights: np.ndarray | None = None, *, wider: float = WIDER) -> Proposal:
    """A t ``wider`` than the draws, or than what draws with normalised log weights stand for."""
    weights = None if log_weights is None else np.exp(log_weights)
    covariance = np.atleast_2d(np.cov(draws.T, aweights=weights))
    return Proposal(np.average(draws, axis=0, weights=weights), wider * _root(covariance))


def about_top(top: np.ndarray, curvature: np.ndarray, scale: np.ndarray) -> Proposal:
    """A t of the curvature at a top, nowhere wider than ``WIDEST`` of q's standard deviations ``scale``."""
    values, vectors = np.linalg.eigh(scale[:, None] * curvature * scale)
    sd = np.minimum(1 / np.sqrt(np.maximum(values, WIDEST**-2)), WIDEST)
    root = scale[:, None] * vectors * sd
    return Proposal(top, _root(root @ root.T))


def draw_from(rng: np.random.Generator, proposal: Proposal, num_draws: int) -> np.ndarray:
    """Draws, (num_draws, dim)."""
    noise = rng.standard_normal((num_draws, len(proposal.center)))
    stretch = np.sqrt(DEGREES / rng.chisquare(DEGREES, (num_draws, 1)))
    return proposal.center + stretch * noise @ proposal.factor.T


def log_prob(proposal: Proposal, draws: np.ndarray) -> np.ndarray:
    """The log density of a proposal at draws (draws, dim)."""
    dim = len(proposal.center)
    x = np.linalg.solve(proposal.factor, (draws - proposal.center).T)
    constant = gammaln((DEGREES + dim) / 2) - gammaln(DEGREES / 2) - 0.5 * dim * np.log(DEGREES * np.pi)
    size = np.log(np.diag(proposal.factor)).sum()
    return np.asarray(constant - size - 0.5 * (DEGREES + dim) * np.log1p((x**2).sum(axis=0) / DEGREES))


def log_mixture(
    log_q: np.ndarray, num_q: int, proposals: Sequence[Proposal], nums: Sequence[int], draws: np.ndarray
) -> np.ndarray:
    """log of (num_q q + sum_j nums_j t_j) / all at every draw."""
    total = num_q + sum(nums)
    terms = [np.log(num_q / total) + log_q]
    terms += [np.log(num / total) + log_prob(t, draws) for t, num in zip(proposals, nums, strict=True)]
    return np.asarray(logsumexp(np.stack(terms), axis=0))


def _root(covariance: np.ndarray) -> np.ndarray:
    """A lower triangular root, of a matrix that may be singular to rounding."""
    scale = np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
    correlation = covariance / scale[:, None] / scale
    values, vectors = np.linalg.eigh(correlation)
    values = np.maximum(values, values.max() / MAX_CONDITION)
    r = np.linalg.qr((vectors * np.sqrt(values)).T, mode="r")
    signs = np.where(np.diag(r) < 0, -1.0, 1.0)
    return np.asarray(scale[:, None] * (signs[:, None] * r).T)
