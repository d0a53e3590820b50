"""One Gaussian by reverse KL against two modes of equal weight, as they move apart: where its solutions change.

With p_s = (N(-s/2, 1) + N(s/2, 1)) / 2 and q = N(m, sd^2), the loss is L(m, sd; s) = -log sd - E_q[log p_s] + constant.
By Bonnet's and Price's theorems its derivatives are dL/dm = -E_q[(log p)'] and dL/dsd = -1/sd - sd E_q[(log p)''], and
the second derivative by m is -E_q[(log p)''], which is 1/sd^2 > 0 wherever dL/dsd = 0: a solution at m = 0 never loses
its stability to a move of the mean. The other solutions are born away from it, in a fold.

All in NumPy's float64; expectations by the trapezoidal rule in z = (x - m) / sd.

Source: Opper and Archambeau (2009), The variational Gaussian approximation revisited, doi:10.1162/neco.2008.08-07-592,
for the derivatives.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar, root
from scipy.stats import norm

from vi_toolkit.experiments._direction_targets import line_of_modes

NODES = np.arange(-9.0, 9.0 + 0.005, 0.01)
NODE_WEIGHTS = 0.01 * norm.pdf(NODES)
SEPARATIONS = np.linspace(0.0, 8.0, 81)
NARROWEST, WIDEST = 1.001, 4.0  # sds of the solutions off the middle


class Branches(NamedTuple):
    """The solutions of reverse KL over the separation s; every solution with mean m has a twin with mean -m."""

    separations: np.ndarray  # (81,): of the solution with mean 0
    middle_sds: np.ndarray  # (81,)
    middle_values: np.ndarray  # (81,): its D(q‖p)
    off_separations: np.ndarray  # (sds,): of the solutions off the middle, in order of their sd, through the fold
    off_means: np.ndarray  # (sds,)
    off_sds: np.ndarray  # (sds,)
    off_values: np.ndarray  # (sds,)
    fold: tuple[float, float, float]  # (s, m, sd) where they are born
    takeover: tuple[float, float, float]  # (s, m, sd) from where they are better than the one in the middle
    middle_curvature: float  # the least of sd^2 d2L/dm2 along the middle


def trace_branches() -> Branches:
    middle = np.array([middle_sd(s) for s in SEPARATIONS])
    sds = np.concatenate([np.geomspace(NARROWEST, 1.3, 60), np.geomspace(1.31, WIDEST, 60)])
    off = np.empty((len(sds), 2))
    guess = np.array([4.0, 8.0])
    for i, sd in enumerate(sds):
        off[i] = guess = off_middle(sd, guess)
    narrow = int(np.argmin(off[:, 1]))
    nearby = off[narrow]
    fold_sd = minimize_scalar(
        lambda sd: off_middle(sd, nearby)[1],
        bounds=(sds[narrow - 1], sds[narrow + 1]),
        options={"xatol": 1e-8},
        method="bounded",
    ).x

    def advantage(sd: float) -> float:
        m, s = off_middle(sd, nearby)
        return divergence(m, sd, s) - divergence(0.0, middle_sd(s), s)

    takeover_sd = brentq(advantage, 1.02, fold_sd)
    curvatures = [-(sd**2) * _expectations(0.0, sd, s)[1] for sd, s in zip(middle, SEPARATIONS, strict=True)]
    return Branches(
        separations=SEPARATIONS,
        middle_sds=middle,
        middle_values=np.array([divergence(0.0, sd, s) for sd, s in zip(middle, SEPARATIONS, strict=True)]),
        off_separations=off[:, 1],
        off_means=off[:, 0],
        off_sds=sds,
        off_values=np.array([divergence(m, sd, s) for (m, s), sd in zip(off, sds, strict=True)]),
        fold=_with_sd(fold_sd, nearby),
        takeover=_with_sd(takeover_sd, nearby),
        middle_curvature=float(min(curvatures)),
    )


def middle_sd(separation: float) -> float:
    """The sd of the solution with mean 0: 1/sd^2 = -E_q[(log p)'']."""
    return float(
        brentq(lambda sd: 1 / sd**2 + _expectations(0.0, sd, separation)[1], 0.5, 2.0 + separation, xtol=1e-13)
    )


def off_middle(sd: float, guess: np.ndarray) -> np.ndarray:
    """(m, s) of the solution with this sd and a mean above 0."""

    def residual(unknown: np.ndarray) -> np.ndarray:
        slope, curvature = _expectations(unknown[0], sd, unknown[1])
        return np.array([slope, 1 / sd**2 + curvature])

    return np.asarray(root(residual, guess, tol=1e-13).x)


def _with_sd(sd: float, guess: np.ndarray) -> tuple[float, float, float]:
    m, s = off_middle(sd, guess)
    return float(s), float(m), float(sd)


def divergence(m: float, sd: float, separation: float) -> float:
    """D(q‖p_s) = E_q[log q - log p_s]."""
    log_q = norm.logpdf(NODES) - np.log(sd)
    return float(NODE_WEIGHTS @ (log_q - line_of_modes(separation, m + sd * NODES)))


def _expectations(m: float, sd: float, separation: float) -> tuple[float, float]:
    """E_q[(log p_s)'] and E_q[(log p_s)'']."""
    x, half = m + sd * NODES, separation / 2
    pull = np.tanh(half * x)
    return float(NODE_WEIGHTS @ (half * pull - x)), float(NODE_WEIGHTS @ (half**2 * (1 - pull**2) - 1))
