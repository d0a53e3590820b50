"""What draws of q, their weights and rays out of q say: tails, draws where p is zero, correlations."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import ks_2samp

from vi_toolkit.diagnostics.scores._scores import score
from vi_toolkit.diagnostics.shape._curvatures import evenly
from vi_toolkit.diagnostics.weights.evidence import effective_draws
from vi_toolkit.fit import Fit

NEAR, FAR = 2.0, 4.0  # sds out on a ray, between which the order of the fall is taken
MOST_RAYS = 50  # coordinates
GROUPS = 8
FALSE_ALARMS = 1e-3  # of all coordinates together


class Falls(NamedTuple):
    """By what power of the distance -log p~ and -log q grow along each coordinate, (rays, 2 sides); NaN unknown."""

    columns: np.ndarray
    of_p: np.ndarray
    of_q: np.ndarray
    num_gradients: float


def falls(fit: Fit, centre: np.ndarray, covariance: np.ndarray) -> Falls:
    """The order of the fall on rays on which a coordinate moves and the others follow by regression.

        order = log2 [D(4) / D(2)],   D(t) = log p~(centre) - log p~(t sds out)

    It is 2 for normal tails, 1 for exponential ones, and goes to 0 for a power of the distance. Where the density does
    not fall all the way, as beside another mode, it is not known.
    """
    columns = evenly(len(centre), MOST_RAYS)
    sd = np.sqrt(np.diag(covariance))
    rays = (covariance / np.where(sd > 0, sd, 1.0))[:, columns].T
    steps = np.array([-FAR, -NEAR, NEAR, FAR])
    points = centre + steps[:, None, None] * rays
    found = score(fit, np.concatenate([centre[None], points.reshape(-1, len(centre))]))

    def order(values: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            fall = values[0] - values[1:].reshape(4, len(columns))
            order = np.log2(np.stack([fall[0] / fall[1], fall[3] / fall[2]], axis=1))
        known = np.stack([(fall[1] > 0) & (fall[0] > fall[1]), (fall[2] > 0) & (fall[3] > fall[2])], axis=1)
        return np.where(known & np.isfinite(order), order, np.nan)

    return Falls(columns, order(found.log_p), order(found.log_q), (1 + 4 * len(columns)) / 3)


def apart_where_zero(draws: np.ndarray, log_weights: np.ndarray) -> list[int]:
    """Coordinates whose draws are of two kinds: where p is zero, and where it is not. The most different first."""
    zero = log_weights == -np.inf
    if min(zero.sum(), (~zero).sum()) < 5:
        return []
    tests = [ks_2samp(column[zero], column[~zero], method="asymp") for column in draws.T]
    certain = [i for i, test in enumerate(tests) if test.pvalue < FALSE_ALARMS / draws.shape[1]]
    most = max((tests[i].statistic for i in certain), default=0.0)
    kept = [i for i in certain if tests[i].statistic > 0.5 * most]
    return sorted(kept, key=lambda i: -tests[i].statistic)


def weighted_correlations(draws: np.ndarray, log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlations of weighted draws (draws, c), and their standard errors, (1 - r^2) / sqrt(effective draws)."""
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    centred = draws - weights @ draws
    covariance = (centred * weights[:, None]).T @ centred
    sd = np.sqrt(np.diag(covariance))
    sd = np.where(sd > 0, sd, 1.0)
    correlation = covariance / sd / sd[:, None]
    return correlation, (1 - np.clip(correlation, -1, 1) ** 2) / np.sqrt(max(effective_draws(log_weights), 1.0))


def plain_correlations(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlations of draws (draws, c), and their standard errors by eight groups, which heavy tails make large."""
    parts = [weighted_correlations(part, np.zeros(len(part)))[0] for part in np.array_split(draws, GROUPS)]
    whole, _ = weighted_correlations(draws, np.zeros(len(draws)))
    return whole, np.std(parts, axis=0, ddof=1) / np.sqrt(GROUPS)
