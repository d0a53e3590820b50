"""When a fit ends: windows of steps, faster on the way, then slower and longer until the average stands still."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FIRST_WINDOW = 100
GROWTH = 1.5  # of the window, each time the rate is lowered or the average is too noisy
FASTER = 2.0
MAX_SPEED_UPS = 3
SLOWER = 0.5
MIN_HALVINGS = 2
MAX_SLOW_DOWNS = 8
RETREAT = 0.25  # of the rate, after a window that went wrong
TRAVELLING = 1.5  # R-hat of a course that goes somewhere: sqrt(7) for a straight one
AT_HOME = 1.1  # R-hat of a course about its place
TOLERANCE = 5e-5  # nats for each dimension: an error of 0.01 standard deviations in a mean
ACCURACY = 0.02  # nats of error that are put up with where less would cost more than all that was spent
WRONG = 10.0  # nats that the average must have moved, with a rise of the loss, for a window to be undone


class Window(NamedTuple):
    """What is known of a window of steps; divergences in nats."""

    losses: np.ndarray  # of its steps; non-finite ones are left out
    change: float  # D(average before || average now)
    noise: float  # D(average of the first half || average of the second half)
    rhat: float  # of the parameters, between its halves
    share_skipped: float = 0.0  # of its steps, as not finite


class Schedule(NamedTuple):
    """Where a fit stands between windows; plain numbers, saved with the fit."""

    length: int = FIRST_WINDOW
    slow_downs: int = 0  # halvings of the rate on the whole; below zero where it was raised
    halvings: int = 0  # of those, at home
    windows: int = 0
    steps: int = 0  # of all windows
    may_speed_up: bool = True
    just_lowered: bool = False
    loss: float = float("inf")  # mean loss of the window before
    loss_se: float = 0.0
    ceiling: float = float("inf")  # nine in ten of its losses were lower
    error: float = float("inf")  # Monte-Carlo error of its average, in nats
    bias: float = float("inf")  # of the average at the present rate, in nats, as the last halving showed it


class Verdict(NamedTuple):
    """What follows from a window."""

    schedule: Schedule
    pace: float  # factor for the learning rate
    converged: bool
    went_wrong: bool  # whether the fit is set back to where the window began


class _Look(NamedTuple):
    """A window seen beside the one before."""

    loss: float
    loss_se: float
    ceiling: float
    falling: bool
    rising: bool
    went_wrong: bool
    level: bool  # neither falls nor went wrong
    at_home: bool
    error: float  # of the window's average, in nats
    bias: float
    steps: int


def judge(schedule: Schedule, window: Window, dim: int, searches_rate: bool) -> Verdict:
    r"""Decides after a window whether to go on faster, as before, slower and longer, or to stop.

    On the way, while the mean loss still falls by more than its standard error explains, the rate stays, and is
    doubled where the parameters go somewhere (R-hat above 1.5). A window of which half the losses are above nine
    tenths of those of the window before, while the average moved by more than 10 nats, went wrong: the fit is set
    back, with a quarter of the rate.

    At home, where the loss is level and R-hat at most 1.1, the rate is halved and the window grows. The average at
    rate r is off by a bias of order r, a divergence of order r^2; so the divergence between the averages before and
    after a halving, less their Monte-Carlo errors, is about the bias that is left. The Monte-Carlo error of an average
    over both halves is a quarter of the divergence between them, and falls as 1 / length.

    The fit has converged when change and error are below a tolerance; or when both are below 0.02 nats, and to
    bring the error under the tolerance would take more steps than all that were taken.

    Args:
        schedule: where the fit stood before the window.
        window: its losses, and what its average says.
        dim: the target's dimension; the tolerance is 5e-5 nats for each.
        searches_rate: whether the rate may be raised.

    Source: Welandawe, Andersen, Vehtari and Huggins (2022), Robust, automated, and accurate black-box variational
    inference, arXiv:2203.15945 (R-hat, Monte-Carlo error, gain of a lower rate against its cost).
    """
    look = _look(schedule, window)
    tolerance = TOLERANCE * max(dim, 2)
    slowed = schedule.halvings >= MIN_HALVINGS
    pace = _pace(schedule, window, look, tolerance, searches_rate)
    lowered_at_home = pace == SLOWER and look.at_home
    longer = look.level and (not look.at_home or look.error > tolerance)
    following = Schedule(
        length=int(schedule.length * GROWTH) if longer else schedule.length,
        slow_downs=schedule.slow_downs - round(np.log2(pace)),
        halvings=schedule.halvings + lowered_at_home,
        windows=schedule.windows + 1,
        steps=look.steps,
        may_speed_up=schedule.may_speed_up and pace >= 1,
        just_lowered=lowered_at_home,
        loss=schedule.loss if look.went_wrong else look.loss,
        loss_se=schedule.loss_se if look.went_wrong else look.loss_se,
        ceiling=schedule.ceiling if look.went_wrong else look.ceiling,
        error=look.error,
        bias=look.bias,
    )
    return Verdict(following, pace, _converged(window, look, tolerance, slowed), look.went_wrong)


def _look(schedule: Schedule, window: Window) -> _Look:
    losses = np.where(np.isfinite(window.losses), window.losses, np.inf)
    finite = losses[np.isfinite(losses)]
    mean, se = _mean_and_error(finite) if len(finite) else (float("inf"), 0.0)
    first = schedule.windows == 0
    noise = 3.0 * float(np.hypot(se, schedule.loss_se)) + 1e-6 * min(abs(mean), abs(schedule.loss))
    falling = first or schedule.loss - mean > noise
    went_wrong = float(np.median(losses)) > schedule.ceiling and not window.change < WRONG
    level = not falling and not went_wrong
    error = window.noise / 4
    return _Look(
        loss=mean,
        loss_se=se,
        ceiling=float(np.quantile(losses, 0.9, method="lower")),
        falling=falling,
        rising=not first and not mean - schedule.loss <= noise,
        went_wrong=went_wrong,
        level=level,
        at_home=level and window.rhat <= AT_HOME,
        error=error,
        bias=max(window.change - error - schedule.error, 0.0) if schedule.just_lowered else schedule.bias,
        steps=schedule.steps + len(losses),
    )


def _pace(schedule: Schedule, window: Window, look: _Look, tolerance: float, searches_rate: bool) -> float:
    """The factor for the learning rate."""
    if look.went_wrong:
        return RETREAT
    unsettled = schedule.halvings < MIN_HALVINGS or look.bias > tolerance
    if (look.at_home and unsettled) or window.share_skipped > 0.05:
        return SLOWER if schedule.slow_downs < MAX_SLOW_DOWNS else 1.0
    travels = look.falling and schedule.windows > 0 and window.rhat > TRAVELLING and window.share_skipped == 0
    may = searches_rate and schedule.may_speed_up and schedule.slow_downs > -MAX_SPEED_UPS
    return FASTER if travels and may else 1.0


def _converged(window: Window, look: _Look, tolerance: float, slowed: bool) -> bool:
    if not look.level or look.rising:
        return False
    exact = window.change < tolerance / 10 and look.error < tolerance / 10
    precise = window.change < 4 * tolerance and look.error < tolerance
    dear = len(window.losses) * (look.error / tolerance - 1) > look.steps
    good_enough = dear and look.at_home and max(window.change, look.bias, 4 * look.error) < ACCURACY
    return exact or (slowed and (precise or good_enough))


def _mean_and_error(values: np.ndarray, batches: int = 10) -> tuple[float, float]:
    """The mean and its standard error from the means of ten batches, which allows for correlated steps."""
    means = np.array([part.mean() for part in np.array_split(values, min(batches, len(values)))])
    return float(values.mean()), float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else 0.0
