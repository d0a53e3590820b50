"""What is peculiar about the shape of a posterior as q's draws see it, with the sites that it is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import check_instance, check_key, describe
from vi_toolkit._types import Key
from vi_toolkit.diagnostics.shape import _shape_words as words
from vi_toolkit.diagnostics.shape._curvatures import Curvatures, curvatures
from vi_toolkit.diagnostics.shape._shape_curvature import (
    BENT,
    FLAT,
    FUNNEL,
    MIN_POINTS,
    PART,
    bends_explained,
    correlations,
    flattest,
    scales_explained,
)
from vi_toolkit.diagnostics.shape._shape_draws import apart_where_zero, falls, plain_correlations, weighted_correlations
from vi_toolkit.diagnostics.shape._shape_words import Finding as Finding
from vi_toolkit.diagnostics.weights.evidence import effective_draws
from vi_toolkit.diagnostics.weights.psis import smooth
from vi_toolkit.fit import Fit
from vi_toolkit.targets import Target

MOST_PAIRS = 5  # that are named
CORRELATION = 0.3  # by which p's may differ from q's
ORDERS = 0.4  # by which the falls of log p and log q may differ
NORMAL = 2.0  # the power by which the log density of a normal falls
HEAVY_KHAT = 0.5  # above which weights say that a tail matters
USABLE_KHAT, MIN_EFFECTIVE = 0.7, 200.0  # of weights from which correlations are taken


@dataclass(frozen=True)
class Shape:
    """What was found about the shape of p.

    Attributes:
        records: one `Finding` each: kind, sites, size, words, advice.
        num_gradients: log-density gradients spent.
        findings: the words of each.
        advice: what to try, without repeats.

    Example:
        >>> from vi_toolkit.diagnostics.shape.shape import Shape
        >>> Shape().findings
        ()
    """

    records: tuple[Finding, ...] = ()
    num_gradients: float = field(default=0.0, repr=False)

    @property
    def findings(self) -> tuple[str, ...]:
        """A sentence for each."""
        return tuple(record.words for record in self.records)

    @property
    def advice(self) -> tuple[str, ...]:
        """What to try next."""
        return tuple(dict.fromkeys(record.advice for record in self.records if record.advice))

    def __str__(self) -> str:
        return "\n".join(self.findings) or "Nothing peculiar was found about the shape of p."


def find_shape(key: Key, fit: Fit, draws: Any, log_weights: Any) -> Shape:
    r"""Looks for what makes a posterior hard to approximate, and names the sites.

    From gradients g and Hessians H of log p~ at 16 to 64 draws of q, in units of q's standard deviations, and from
    the weighted draws:

    - *funnel*: the rank of coordinate j explains log |H_ii|: the scale of i depends on j. Reported where the variances
      of log |H_ii| that j explains add up to 0.8 or more over i.
    - *bent*: z_i - g_i / H_ii, where p has its top in i with all others held, is a parabola in j, with an sd of its
      bend above 0.3 conditional sds.
    - *tails*: log p falls more slowly than log q by 0.4 or more in the power of the distance, between 2 and 4 sds
      out, on both sides with k-hat above 0.5 or on one side with k-hat above 0.7; or faster, where q's own tails are
      heavier than normal.
    - *boundary*: draws of q where p is zero, and the coordinates by which they are told apart.
    - *correlation*: of the reweighted draws where k-hat < 0.5, else of -E_q[H]^-1, by more than 0.3 apart from q's own.
    - *flat*: a direction in which the curvature -E_q[H] is below 1 % of what q's own width there asks for.

    They are looks at where q is: what q does not visit is not seen. With more than 200 coordinates, 200 evenly chosen
    ones are looked at.

    Args:
        key: a JAX random key.
        fit: from `vi.fit`, on R^dim; for a target over whole numbers nothing is looked for.
        draws: of q, of shape (draws, dim).
        log_weights: log p~ - log q there, in nats, of shape (draws,).

    Returns:
        `Shape`.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the shapes do not fit.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> from vi_toolkit.diagnostics.shape.shape import find_shape
        >>> fit = vi.fit(jax.random.key(0), vi.zoo.funnel(4).target)
        >>> found = vi.reweight(jax.random.key(1), fit)
        >>> find_shape(jax.random.key(2), fit, found.draws, found.raw_log_weights).records[0].sites
        ('z[1]', 'z[2]', 'z[3]', 'z[0]')

    Source: Betancourt & Girolami (2015), Hamiltonian Monte Carlo for hierarchical models, arXiv:1312.0906 (funnels and
    their other parametrisation); Yao, Vehtari, Simpson & Gelman (2018), arXiv:1802.02538 (what weights can show).
    """
    check_key(key)
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    draws, log_weights = _checked(draws, log_weights, fit.target.dim)
    if fit.target.num_values is not None:
        return Shape()
    found = curvatures(key, fit.target, draws, log_weights)
    out_there, spent = _tails(fit, draws, log_weights)
    records = [
        *curved(fit.target, found),
        *out_there,
        *_boundary(fit.target, draws, log_weights),
        *_correlated(fit.target, found, draws, log_weights),
        *_flat(fit.target, found, draws),
    ]
    return Shape(tuple(records), found.num_gradients + spent)


def _checked(draws: Any, log_weights: Any, dim: int) -> tuple[np.ndarray, np.ndarray]:
    draws, log_weights = np.asarray(draws, np.float64), np.asarray(log_weights, np.float64)
    if draws.ndim != 2 or draws.shape[1] != dim:
        raise ValueError(f"draws: expected shape (draws, {dim}), the fit's dim last, got {describe(draws)}.")
    if log_weights.shape != draws.shape[:1]:
        raise ValueError(f"log_weights: expected shape ({len(draws)},), one a draw, got {describe(log_weights)}.")
    usable = np.isfinite(draws).all(axis=1)
    return draws[usable], log_weights[usable]


def curved(target: Target, found: Curvatures) -> list[Finding]:
    """Funnels, and bends; a pair that looks like both is what explains more."""
    if len(found.points) < MIN_POINTS:
        return []
    scales, signs = scales_explained(found)
    bends = bends_explained(found)
    is_scale = scales.share >= bends.share.T
    size = np.where(is_scale & (scales.size >= PART), scales.size, 0.0)
    records = []
    for j in np.argsort(-size.sum(axis=0)):
        scaled = np.flatnonzero(size[:, j])
        if size[:, j].sum() < FUNNEL:
            break
        factor = float(np.exp(4 * np.sqrt(size[scaled, j].max())))
        falling = bool(np.median(signs[scaled, j]) < 0)
        names = [int(i) for i in found.columns[scaled]]
        records.append(words.funnel(target, names, int(found.columns[j]), float(size[:, j].sum()), factor, falling))
    bend = np.where((bends.share > scales.share.T) & (scales.share < 0.5), bends.size, 0.0)
    pairs = [(int(i), int(j)) for i, j in _largest(bend) if bend[i, j] > BENT]
    if pairs:
        named = [(int(found.columns[i]), int(found.columns[j])) for i, j in pairs]
        records.append(words.bent(target, named, float(bend.max())))
    return records


def _tails(fit: Fit, draws: np.ndarray, log_weights: np.ndarray) -> tuple[list[Finding], float]:
    """Tails of another kind than q's, where the weights show that it matters."""
    khat = smooth(log_weights).khat
    matters = effective_draws(log_weights) < 0.9 * len(draws)
    if len(draws) <= draws.shape[1] or not (khat > HEAVY_KHAT or matters):
        return [], 0.0
    rays = falls(fit, draws.mean(axis=0), np.atleast_2d(np.cov(draws.T)))
    with np.errstate(invalid="ignore"):
        excess = rays.of_p - rays.of_q
        both = (excess < -ORDERS).all(axis=1) & (khat > HEAVY_KHAT)
        one = (excess < -ORDERS).any(axis=1) & ~both & (khat > USABLE_KHAT)
        light = ((excess > ORDERS) & (rays.of_q < NORMAL - 0.5 * ORDERS)).all(axis=1)
    found = ((both, words.HEAVIER), (one, words.HEAVIER_ONE_SIDE), (light, words.LIGHTER))
    records = [
        words.tails(fit.target, [int(i) for i in rays.columns[which]], float(np.nanmin(rays.of_p[which])), kind)
        for which, kind in found
        if which.any()
    ]
    return records, rays.num_gradients


def _boundary(target: Target, draws: np.ndarray, log_weights: np.ndarray) -> list[Finding]:
    share = float(np.mean(log_weights == -np.inf))
    return [words.boundary(target, share, apart_where_zero(draws, log_weights))] if share > 0 else []


def _correlated(target: Target, found: Curvatures, draws: np.ndarray, log_weights: np.ndarray) -> list[Finding]:
    smoothed = smooth(log_weights)
    columns = found.columns
    if len(columns) < 2 or len(draws) < 2 * MIN_POINTS:
        return []
    known = correlations(found) if len(columns) == target.dim and len(found.points) >= MIN_POINTS else None
    usable = USABLE_KHAT if known is None else HEAVY_KHAT  # the curvature is the better of the two before weights fail
    if smoothed.khat < usable and effective_draws(smoothed.log_weights) >= MIN_EFFECTIVE:
        known = weighted_correlations(draws[:, columns], smoothed.log_weights)
    if known is None:
        return []
    p, se = known
    q, se_q = plain_correlations(draws[:, columns])
    off = np.abs(np.triu(p - q, 1))
    pairs = [(i, j) for i, j in _largest(off) if off[i, j] > CORRELATION and off[i, j] > 5 * np.hypot(se, se_q)[i, j]]
    if not pairs:
        return []
    rows, others = np.array(pairs).T
    named = [(int(columns[i]), int(columns[j])) for i, j in pairs]
    return [words.correlation(target, named, p[rows, others], q[rows, others])]


def _flat(target: Target, found: Curvatures, draws: np.ndarray) -> list[Finding]:
    c = len(found.columns)
    if len(found.points) < MIN_POINTS:
        return []
    enough = len(draws) > 5 * c
    correlation = np.atleast_2d(np.corrcoef(draws[:, found.columns].T)) if enough and c > 1 else np.eye(c)
    values, vectors = np.linalg.eigh(correlation)
    curvature, direction = flattest(found, vectors * np.sqrt(np.maximum(values, 0.0)))
    noise = 10 * np.finfo(jnp.result_type(float)).eps * np.abs(found.hessians).max()
    if not curvature < max(FLAT, noise):
        return []
    if curvature > noise:
        return [words.flat(target, direction, found.columns, curvature)]
    _, direction = flattest(found, np.eye(c))  # without end: q's own correlation only adds to the rounding
    return [words.flat(target, direction, found.columns, 0.0)]


def _largest(matrix: np.ndarray) -> list[tuple[int, int]]:
    """The places of the largest entries."""
    order = np.argsort(-matrix, axis=None)[:MOST_PAIRS]
    return [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, matrix.shape), strict=True)]
