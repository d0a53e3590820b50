"""When a fit ends: windows of steps, slower and longer until the average stands still within its own error."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FIRST_WINDOW = 100
GROWTH = 1.5  # of the window, each time the rate is lowered or the average is too noisy
SLOW_DOWN = 0.5
MAX_SLOW_DOWNS = 4  # a rate lowered further would freeze the average rather than settle it
MIN_SLOW_DOWNS = 2
TOLERANCE = 5e-5  # nats for each dimension: an error of 0.01 standard deviations in a mean


class Schedule(NamedTuple):
    """Where a fit stands between windows; plain numbers, saved with the fit."""

    length: int = FIRST_WINDOW
    slow_downs: int = 0
    windows: int = 0
    loss: float = float("inf")  # mean loss of the window before
    loss_se: float = 0.0


class Verdict(NamedTuple):
    """What follows from a window."""

    schedule: Schedule
    slow_down: float  # factor for the learning rate
    converged: bool


def judge(
    schedule: Schedule, losses: np.ndarray, change: float, noise: float, dim: int, share_skipped: float = 0.0
) -> Verdict:
    """Decides after a window whether to go on as before, go on slower and longer, or stop.

    While the mean loss still falls by more than its standard error explains, nothing changes. Once it does not,
    the rate is halved and the window grows. The fit has converged when both the change of the averaged
    guide since the window before and the Monte-Carlo error of this window's average are below a tolerance; the
    error of an average over both halves is a quarter of the divergence between the halves.

    Args:
        schedule: where the fit stood before the window.
        losses: the losses of its steps, in nats; non-finite ones are left out.
        change: D(average before || average now), in nats.
        noise: D(average of the first half || average of the second half), in nats.
        dim: the target's dimension; the tolerance is 5e-5 nats for each.
        share_skipped: the share of its steps that were skipped as not finite; above 5 % the rate is halved too.
    """
    finite = losses[np.isfinite(losses)]
    mean, se = _mean_and_error(finite) if len(finite) else (float("inf"), 0.0)
    first = schedule.windows == 0
    falling = first or schedule.loss - mean > 3.0 * float(np.hypot(se, schedule.loss_se)) + 1e-6 * abs(mean)
    tolerance = TOLERANCE * max(dim, 2)
    error = noise / 4
    still = not first and change < 4 * tolerance and error < tolerance
    exact = not first and change < tolerance / 10 and error < tolerance / 10
    converged = exact or (still and schedule.slow_downs >= MIN_SLOW_DOWNS and not falling)
    slow = (not falling or share_skipped > 0.05) and schedule.slow_downs < MAX_SLOW_DOWNS
    longer = not falling
    following = Schedule(
        length=int(schedule.length * GROWTH) if longer else schedule.length,
        slow_downs=schedule.slow_downs + slow,
        windows=schedule.windows + 1,
        loss=mean,
        loss_se=se,
    )
    return Verdict(following, SLOW_DOWN if slow else 1.0, converged)


def _mean_and_error(values: np.ndarray, batches: int = 10) -> tuple[float, float]:
    """The mean and its standard error from the means of ten batches, which allows for correlated steps."""
    means = np.array([part.mean() for part in np.array_split(values, min(batches, len(values)))])
    return float(values.mean()), float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else 0.0
