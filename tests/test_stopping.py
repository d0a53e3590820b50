"""The stopping rule, window by window."""

from __future__ import annotations

import numpy as np
import pytest

from vi_toolkit.stopping import (
    ACCURACY,
    GROWTH,
    MAX_SLOW_DOWNS,
    MAX_SPEED_UPS,
    MIN_HALVINGS,
    TOLERANCE,
    Schedule,
    Verdict,
    Window,
    judge,
)

FLAT = np.tile([1.0, 1.2], 50)


def after_one_window(loss: float = 1.1, **changes) -> Schedule:
    begun = Schedule(windows=1, steps=100, loss=loss, loss_se=0.01, ceiling=loss + 0.1, error=0.0)
    return begun._replace(**changes)


def judged(schedule: Schedule, losses=FLAT, dim: int = 2, searches_rate: bool = True, **window) -> Verdict:
    window = {"change": 1.0, "noise": 1.0, "rhat": 1.0} | window
    return judge(schedule, Window(losses, **window), dim, searches_rate)


def test_the_first_window_never_ends_a_fit():
    verdict = judged(Schedule(), change=0.0, noise=0.0)
    assert (verdict.converged, verdict.pace, verdict.went_wrong) == (False, 1.0, False)
    assert np.isclose(verdict.schedule.loss, 1.1)


def test_while_the_loss_falls_and_the_course_is_crooked_nothing_changes():
    verdict = judged(after_one_window(loss=5.0), rhat=1.4)
    assert (verdict.pace, verdict.schedule.length, verdict.schedule.slow_downs) == (1.0, 100, 0)


def test_a_straight_course_on_which_the_loss_falls_is_taken_faster():
    verdict = judged(after_one_window(loss=5.0), rhat=1.6)
    assert (verdict.pace, verdict.schedule.slow_downs, verdict.schedule.length) == (2.0, -1, 100)
    assert judged(after_one_window(loss=5.0), rhat=1.6, searches_rate=False).pace == 1.0
    assert judged(after_one_window(loss=5.0, slow_downs=-MAX_SPEED_UPS), rhat=1.6).pace == 1.0
    assert judged(after_one_window(loss=1.1), rhat=1.6).pace == 1.0  # the loss is level
    assert judged(after_one_window(loss=5.0), rhat=1.6, share_skipped=0.01).pace == 1.0


def test_a_fit_that_was_lowered_once_is_not_taken_faster_again():
    lowered = judged(after_one_window()).schedule
    assert lowered.halvings == 1
    assert judged(lowered._replace(loss=5.0), rhat=1.6).pace == 1.0


def test_a_level_loss_at_home_makes_the_fit_slower_and_the_window_longer():
    verdict = judged(after_one_window())
    assert (verdict.converged, verdict.pace) == (False, 0.5)
    assert (verdict.schedule.length, verdict.schedule.slow_downs) == (int(100 * GROWTH), 1)
    assert (verdict.schedule.halvings, verdict.schedule.just_lowered) == (1, True)


def test_a_level_loss_on_the_way_makes_the_window_longer_only():
    verdict = judged(after_one_window(), rhat=1.2)
    assert (verdict.pace, verdict.schedule.length, verdict.schedule.just_lowered) == (1.0, 150, False)


def test_a_window_that_is_precise_enough_is_not_lengthened():
    assert judged(after_one_window(), noise=3.9 * TOLERANCE * 2).schedule.length == 100


def test_the_rate_has_a_floor():
    verdict = judged(after_one_window(slow_downs=MAX_SLOW_DOWNS))
    assert (verdict.pace, verdict.schedule.length) == (1.0, 150)


def test_the_bias_of_a_rate_is_the_change_at_its_halving_less_what_noise_explains():
    lowered = after_one_window(just_lowered=True, halvings=MIN_HALVINGS, slow_downs=2, error=0.01)
    verdict = judged(lowered, change=0.1, noise=0.08)
    assert np.isclose(verdict.schedule.bias, 0.1 - 0.02 - 0.01)
    assert verdict.pace == 0.5
    assert judged(lowered, change=0.02, noise=0.08).schedule.bias == 0.0
    assert judged(lowered, change=0.02, noise=0.08).pace == 1.0
    kept = judged(lowered._replace(just_lowered=False, bias=0.03), change=5.0, noise=0.08)
    assert kept.schedule.bias == 0.03


def test_convergence_needs_both_a_small_change_and_a_small_error():
    slowed, tolerance = after_one_window(halvings=MIN_HALVINGS), TOLERANCE * 5
    assert judged(slowed, change=3.9 * tolerance, noise=3.9 * tolerance, dim=5).converged
    assert not judged(slowed, change=4.1 * tolerance, noise=3.9 * tolerance, dim=5).converged
    assert not judged(slowed, change=3.9 * tolerance, noise=4.1 * tolerance, dim=5).converged
    assert not judged(after_one_window(), change=3.9 * tolerance, noise=3.9 * tolerance, dim=5).converged


@pytest.mark.parametrize(
    ("changes", "window", "ends"),
    [
        ({}, {}, True),
        ({"steps": 100_000}, {}, False),  # a better error would be cheap, against what was spent
        ({}, {"rhat": 1.2}, False),
        ({}, {"change": 1.1 * ACCURACY}, False),
        ({}, {"noise": 1.1 * ACCURACY}, False),
        ({"bias": 1.1 * ACCURACY}, {}, False),
        ({"halvings": 1}, {}, False),
    ],
)
def test_a_small_error_is_put_up_with_where_less_would_cost_more_than_all_before(changes, window, ends):
    slowed = after_one_window(halvings=MIN_HALVINGS, bias=0.5 * ACCURACY, steps=1000)._replace(**changes)
    assert judged(slowed, **{"change": 0.9 * ACCURACY, "noise": 0.9 * ACCURACY} | window).converged is ends


def test_a_fit_without_noise_ends_at_once():
    assert judged(after_one_window(), change=1e-9, noise=1e-9).converged


def test_a_fit_that_stands_still_where_the_loss_is_higher_has_not_converged():
    """A step into a place where the density explodes leaves a guide that no longer moves."""
    standing = {"change": 0.0, "noise": 0.0}
    assert not judged(after_one_window(loss=-5.0), **standing).converged
    assert not judged(after_one_window(), np.full(100, np.inf), **standing).converged


def test_a_window_that_went_wrong_is_undone():
    before = after_one_window()
    verdict = judged(before, np.where(np.arange(100) < 40, 1.0, 1e30), change=50.0)
    assert (verdict.went_wrong, verdict.pace, verdict.converged) == (True, 0.25, False)
    assert (verdict.schedule.slow_downs, verdict.schedule.may_speed_up) == (2, False)
    assert (verdict.schedule.loss, verdict.schedule.ceiling) == (before.loss, before.ceiling)
    assert not judged(before, np.where(np.arange(100) < 60, 1.0, 1e30), change=50.0).went_wrong  # an outlier or two
    assert not judged(before, np.full(100, 2.0), change=5.0).went_wrong  # annealed: it rises, but near by
    assert judged(before, np.full(100, np.nan), change=float("nan")).went_wrong


def test_nan_never_converges_and_skipped_steps_slow_the_fit():
    slowed = after_one_window(halvings=MIN_HALVINGS)
    assert not judged(slowed, change=float("nan"), noise=0.0).converged
    losses = np.where(np.arange(100) % 10 == 0, np.nan, FLAT)
    verdict = judged(after_one_window(loss=5.0), losses, share_skipped=0.1)
    assert (verdict.pace, verdict.schedule.halvings) == (0.5, 0)
    assert np.isclose(verdict.schedule.loss, np.nanmean(losses))
