"""A fit piece by piece: its beginning, a slice of steps, and the turn between two windows of steps."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, field, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from vi_toolkit._start import NUM_STARTS, Start
from vi_toolkit._types import Key, Params, raw_key
from vi_toolkit.algorithms import Method, Outcome
from vi_toolkit.programs import (
    BUFFER,
    Purpose,
    advance_program,
    begin_program,
    prior_draws,
    stream,
    turn_program,
)
from vi_toolkit.progress import Progress
from vi_toolkit.stopping import Schedule, Window, judge
from vi_toolkit.targets import Target

SECONDS_PER_CALL = 0.25  # what an interrupt has to wait for
MAX_SKIPPED = 0.5  # share of a window's steps that may be skipped before the fit is given up
NEARER = (1e-6, 1e-3)  # of the way from the origin, for densities that overflow further out
WINDOW_ARRAYS = ("window_end", "change", "noise", "rhat")  # the part of the history with one entry a window


class Status(enum.Enum):
    """How a fit ended.

    Example:
        >>> import vi_toolkit as vi
        >>> [status.name for status in vi.Status]
        ['CONVERGED', 'MAX_STEPS', 'STALLED', 'DIVERGED', 'INTERRUPTED', 'COLLAPSED']
    """

    CONVERGED = "the guide stands still within its own Monte-Carlo error"
    MAX_STEPS = "the steps ran out before the guide stood still"
    STALLED = "no further step improved the guide, though it does not stand still"
    DIVERGED = "loss or parameters stayed non-finite, and the last finite state is kept"
    INTERRUPTED = "it was interrupted, and what there was is kept"
    COLLAPSED = "the importance weights rested on a few draws to the end, so the fit is not to the target"


@dataclass(frozen=True)
class Checkpoint:
    """All that is needed to go on exactly where a fit stopped."""

    key: np.ndarray  # raw key data, so that it can be saved
    key_kind: str
    state: Any
    schedule: Schedule = field(default_factory=Schedule)
    step: int = 0
    steps_in_window: int = 0
    losses: np.ndarray = field(default_factory=lambda: np.zeros(0))  # of this window
    skipped: int = 0  # steps of this window
    seconds_per_step: float = 0.0  # sizes the calls; has no say in the result


@dataclass(frozen=True)
class Log:
    """Collects the history of a run."""

    before: dict[str, np.ndarray]
    steps: list[dict[str, np.ndarray]] = field(default_factory=list)
    turns: list[tuple[int, float, float, float]] = field(default_factory=list)

    def arrays(self, num_steps: int) -> dict[str, np.ndarray]:
        """Everything so far as arrays, cut at the last step that counts."""
        names = self.steps[0] if self.steps else [name for name in self.before if name not in WINDOW_ARRAYS]
        empty = np.zeros(0)
        parts = {name: [self.before.get(name, empty), *(part[name] for part in self.steps)] for name in names}
        by_step = {name: np.concatenate(part)[:num_steps] for name, part in parts.items()}
        turns = np.array(self.turns, dtype=float).reshape(-1, len(WINDOW_ARRAYS))
        by_window = {n: np.concatenate([self.before.get(n, empty), turns[:, i]]) for i, n in enumerate(WINDOW_ARRAYS)}
        return {"loss": empty, "ok": empty} | by_step | by_window


def begin(key: Key, method: Method, target: Target) -> tuple[Checkpoint, Params, Start]:
    """The state before the first step, and where it starts.

    Candidates are uniform on (-2, 2); where those fail, the prior's, and then uniform ones nearer to the origin.
    """
    data, kind = raw_key(key)
    dtype = jnp.result_type(float)
    uniform = np.random.default_rng(stream(data, Purpose.CANDIDATES)).uniform(-2, 2, (NUM_STARTS, target.dim))
    guide_key = stream(data, Purpose.GUIDE)
    state, params, start = begin_program(method, target, guide_key, uniform.astype(dtype), kind)
    if not bool(start.finite):
        from_prior = prior_draws(target, stream(data, Purpose.CANDIDATES, 1), kind)
        nearer = [(uniform * share).astype(dtype) for share in NEARER]
        for points in nearer if from_prior is None else [from_prior, *nearer]:
            state, params, start = begin_program(method, target, guide_key, points, kind)
            if bool(start.finite):
                break
    return Checkpoint(data, kind, state), params, start


def advance(
    method: Method, target: Target, point: Checkpoint, last_step: int, log: Log, progress: Progress
) -> Checkpoint:
    """Takes as many steps as one call should: not across a half of a window, and not for too long."""
    half = point.schedule.length // 2
    in_first_half = point.steps_in_window < half
    remaining = (half if in_first_half else point.schedule.length) - point.steps_in_window
    remaining = BUFFER if method.ends_itself else remaining
    patient = int(SECONDS_PER_CALL / point.seconds_per_step) if point.seconds_per_step else 16
    count = max(1, min(remaining, last_step - point.step, BUFFER, patient))
    begins = point.steps_in_window in (0, half)
    began = time.perf_counter()
    key = stream(point.key, Purpose.STEP)
    state, info, taken = advance_program(
        method, target, key, point.state, np.uint32(point.step), np.int32(count), np.bool_(begins), point.key_kind
    )
    count = int(taken)
    record = {name: np.asarray(values)[:count] for name, values in info.items()}
    seconds = (time.perf_counter() - began) / count if point.step else 0.0  # the first call compiles
    log.steps.append(record)
    progress.update(point.step + count, float(record["loss"][-1]))
    return replace(
        point,
        state=state,
        step=point.step + count,
        steps_in_window=point.steps_in_window + count,
        losses=np.concatenate([point.losses, record["loss"]]),
        skipped=point.skipped + int((record["ok"] < 1).sum()),
        seconds_per_step=seconds,
    )


def ended_itself(method: Method, point: Checkpoint) -> Status | None:
    """How a method that knows its own end has ended; None while it goes on."""
    if not method.ends_itself:
        return None
    outcome = Outcome(int(method.outcome(point.state)))
    return None if outcome is Outcome.GOES_ON else Status[outcome.name]


def turn(method: Method, target: Target, point: Checkpoint, log: Log) -> tuple[Checkpoint, Params, Status | None]:
    """Closes a full window: its average, and whether the fit ends here."""
    closed = turn_program(method, point.state, stream(point.key, Purpose.TURN, point.step), point.key_kind)
    change, noise, rhat = float(closed.change), float(closed.noise), float(closed.rhat)
    log.turns.append((point.step, change if point.schedule.windows else float("nan"), noise, rhat))
    share_skipped = point.skipped / max(point.steps_in_window, 1)
    window = Window(point.losses, change, noise, rhat, share_skipped)
    verdict = judge(point.schedule, window, target.dim, method.searches_rate)
    state = method.set_back(point.state) if verdict.went_wrong else point.state
    average = method.latest(state) if verdict.went_wrong else closed.params
    state = method.next_window(state, average, verdict.pace)
    following = replace(point, state=state, schedule=verdict.schedule, steps_in_window=0, losses=np.zeros(0), skipped=0)
    if share_skipped > MAX_SKIPPED:
        return following, average, Status.DIVERGED
    return following, average, Status.CONVERGED if verdict.converged else None


def report_of_part(method: Method, point: Checkpoint, before: Params) -> Params:
    """What to report from a window that was cut short: its average once it is long enough, else what went before."""
    if point.schedule.windows == 0:
        return method.latest(point.state)
    if point.steps_in_window <= point.schedule.length // 2:
        return before
    return turn_program(method, point.state, stream(point.key, Purpose.TURN, point.step), point.key_kind).params
