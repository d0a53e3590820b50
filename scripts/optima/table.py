"""Fits held against minimisers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import vi_toolkit as vi
from scripts.optima.cases import INFINITE, Case, GaussianCase, gaussian
from scripts.optima.divergences import DIVERGENCES
from scripts.optima.fixed_noise import best_by_iwae, tail_adaptive_point
from scripts.optima.minimise import best_mean_field_scale, best_normal
from scripts.optima.rows import Row
from scripts.optima.scores import best_by_fisher, best_by_stein

GUIDES = {"mean field": vi.MeanFieldNormal(), "full rank": vi.FullRankNormal()}


@dataclass(frozen=True)
class Cell:
    """How far a fit ended from the minimiser, or why there is none."""

    error: float  # the worst of: locations in sds of the minimiser, relative errors of its scales along any direction
    status: str
    steps: int
    seconds: float
    reason: str = ""


def minimiser(row: Row, case: Case | GaussianCase, full_rank: bool) -> tuple[np.ndarray, np.ndarray] | None:
    """The best location and root of the covariance; None where there is no finite optimum."""
    if isinstance(case, GaussianCase):
        if full_rank:
            return case.mean, case.root  # q = p, for every divergence
        if row.minimises in DIVERGENCES:
            return case.mean, np.diag(best_mean_field_scale(DIVERGENCES[row.minimises], case) * case.scales)
    elif row.infinite_for in case.tails:
        return None
    elif row.minimises in DIVERGENCES:
        return best_normal(DIVERGENCES[row.minimises], case, full_rank)
    log_p, ranked = case.target.log_density, vi.TailAdaptive.num_draws
    special: dict[str, Any] = {
        "IWAE": lambda: best_by_iwae(5, case, full_rank, log_p),
        "Fisher": lambda: best_by_fisher(case, full_rank, weighted=False),
        "weighted Fisher": lambda: best_by_fisher(case, full_rank, weighted=True),
        "Stein": lambda: best_by_stein(case, full_rank),
        "tail adaptive": lambda: tail_adaptive_point(1.0, ranked, case, full_rank, log_p),
    }
    location, root = special[row.minimises]()
    if isinstance(case, GaussianCase) and row.minimises in ("IWAE", "tail adaptive"):
        # all coordinates are alike in units of their scales: what is left of the fixed draws' noise averages out
        common = np.exp(np.mean(np.log(np.diagonal(root) / case.scales)))
        location, root = case.mean, np.diag(common * case.scales)
    return location, root


def cell(row: Row, case: Case | GaussianCase, guide: str, seed: int = 0) -> Cell:
    """One fit with the default settings, from its own start, against the minimiser."""
    import time

    if row.unit_scales and isinstance(case, GaussianCase):
        case = gaussian(case.dim, case.correlation, unit_scales=True)
    best = minimiser(row, case, guide == "full rank")
    if best is None:
        return Cell(float("nan"), "", 0, 0.0, INFINITE[row.infinite_for])
    began = time.perf_counter()
    fit = vi.fit(jax.random.key(seed), case.target, vi.gradient(GUIDES[guide], row.make(case)))
    return Cell(error(fit, *best), fit.status.name, fit.num_steps, time.perf_counter() - began)


def error(fit: vi.Fit, location: np.ndarray, root: np.ndarray) -> float:
    """The largest of |L^-1 (m - m*)| in a coordinate, and |log| of a singular value of L*^-1 L."""
    fitted = np.asarray(fit.posterior.mean)
    if hasattr(fit.posterior, "scale_tril"):
        fitted_root = np.asarray(fit.posterior.scale_tril)
    else:
        fitted_root = np.diag(np.sqrt(np.asarray(fit.posterior.variance)))
    off = np.linalg.solve(root, fitted - location)
    stretch = np.log(np.linalg.svd(np.linalg.solve(root, fitted_root), compute_uv=False))
    return float(max(np.abs(off).max(), np.abs(stretch).max()))
