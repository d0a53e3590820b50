"""The stopping rule, window by window."""

from __future__ import annotations

import numpy as np

from vi_toolkit.stopping import GROWTH, MAX_SLOW_DOWNS, MIN_SLOW_DOWNS, TOLERANCE, Schedule, judge

FLAT = np.tile([1.0, 1.2], 50)


def after_one_window(loss: float = 1.1, **changes) -> Schedule:
    return Schedule(windows=1, loss=loss, loss_se=0.01)._replace(**changes)


def test_the_first_window_never_ends_a_fit():
    verdict = judge(Schedule(), FLAT, change=0.0, noise=0.0, dim=2)
    assert (verdict.converged, verdict.slow_down) == (False, 1.0)
    assert np.isclose(verdict.schedule.loss, 1.1)


def test_while_the_loss_falls_nothing_changes():
    verdict = judge(after_one_window(loss=5.0), FLAT, change=1.0, noise=1.0, dim=2)
    assert (verdict.slow_down, verdict.schedule.length, verdict.schedule.slow_downs) == (1.0, 100, 0)


def test_a_flat_loss_makes_the_fit_slower_and_the_window_longer():
    verdict = judge(after_one_window(), FLAT, change=1.0, noise=1.0, dim=2)
    assert (verdict.converged, verdict.slow_down) == (False, 0.5)
    assert (verdict.schedule.length, verdict.schedule.slow_downs) == (int(100 * GROWTH), 1)


def test_the_rate_has_a_floor():
    verdict = judge(after_one_window(slow_downs=MAX_SLOW_DOWNS), FLAT, change=1.0, noise=1.0, dim=2)
    assert (verdict.slow_down, verdict.schedule.length) == (1.0, 150)


def test_convergence_needs_both_a_small_change_and_a_small_error():
    slowed, tolerance = after_one_window(slow_downs=MIN_SLOW_DOWNS), TOLERANCE * 5
    assert judge(slowed, FLAT, change=3.9 * tolerance, noise=3.9 * tolerance, dim=5).converged
    assert not judge(slowed, FLAT, change=4.1 * tolerance, noise=3.9 * tolerance, dim=5).converged
    assert not judge(slowed, FLAT, change=3.9 * tolerance, noise=4.1 * tolerance, dim=5).converged
    assert not judge(after_one_window(), FLAT, change=3.9 * tolerance, noise=3.9 * tolerance, dim=5).converged


def test_a_fit_without_noise_ends_at_once():
    assert judge(after_one_window(), FLAT, change=1e-9, noise=1e-9, dim=2).converged


def test_nan_never_converges_and_skipped_steps_slow_the_fit():
    slowed = after_one_window(slow_downs=MIN_SLOW_DOWNS)
    assert not judge(slowed, FLAT, change=float("nan"), noise=0.0, dim=2).converged
    losses = np.where(np.arange(100) % 10 == 0, np.nan, FLAT)
    verdict = judge(after_one_window(loss=5.0), losses, change=1.0, noise=1.0, dim=2, share_skipped=0.1)
    assert verdict.slow_down == 0.5
    assert np.isclose(verdict.schedule.loss, np.nanmean(losses))
