"""The only loop: windows of compiled steps, with progress, a stopping rule, and nothing lost on interrupt."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpyro.distributions import Distribution

from vi_toolkit._checks import check_instance, check_key, check_positive_int
from vi_toolkit._types import Key, Params
from vi_toolkit.algorithms import Method, gradient, natural_gradient
from vi_toolkit.guides import FullRankNormal, LowRankNormal
from vi_toolkit.interrupt import Interrupts
from vi_toolkit.keeping import Keeper, Keeping
from vi_toolkit.objectives import ReverseKL
from vi_toolkit.preflight import Preflight, below_its_best, look_back, nowhere_finite, preflight as look_ahead
from vi_toolkit.progress import Progress
from vi_toolkit.targets import Target
from vi_toolkit.windows import (
    WINDOW_ARRAYS,
    Checkpoint,
    Log,
    Status,
    advance,
    begin,
    ended_itself,
    report_of_part,
    turn,
)

FULL_RANK_DIM = 300  # above it the default guide is of low rank
LARGE_RANK = 16
TOO_SHORT = 100  # steps within which a fit that was cut short says nothing about its target


@dataclass(frozen=True)
class Fit:
    """A fitted guide, and how it came about. Nothing in it changes.

    Attributes:
        target: what was fitted to.
        method: how.
        params: the guide's parameters; of stochastic gradients, their average over the last window.
        status: how the fit ended.
        history: arrays over steps (``loss``, ``elbo``, ``ok``, ...) and over windows (``window_end``, ``change``,
            ``noise``, in nats, and the parameters' ``rhat``).
        num_steps: steps taken.
        num_gradients: log-density gradients spent, the search for a start included (the looks of `vi.preflight` are
            not); a bare density counts a third.
        warnings: what speaks against the fit, in words.
        checkpoint: what `resume` goes on from.
        preflight: what was found before the first step; its warnings come first among ``warnings``.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
        >>> fit = vi.fit(jax.random.key(0), target)
        >>> fit.status.name, fit.history["loss"].shape == (fit.num_steps,), fit.posterior.event_shape
        ('CONVERGED', True, (1,))
    """

    target: Target
    method: Method
    params: Params
    status: Status
    history: dict[str, np.ndarray]
    num_steps: int
    num_gradients: float
    warnings: tuple[str, ...]
    checkpoint: Checkpoint
    preflight: Preflight = field(default_factory=Preflight)

    @property
    def posterior(self) -> Distribution:
        """The fitted guide as a NumPyro distribution on R^dim."""
        return self.method.posterior(self.params)

    def __repr__(self) -> str:
        return (
            f"Fit({self.method}, dim={self.target.dim}, status={self.status.name}, num_steps={self.num_steps}, "
            f"num_gradients={self.num_gradients:.0f}, warnings={len(self.warnings)})"
        )


def fit(
    key: Key,
    target: Target,
    method: Method | None = None,
    *,
    max_steps: int | None = None,
    progress: bool = False,
    preflight: bool = True,
    checkpoint: Keeper | None = None,
) -> Fit:
    """Fits a guide to a target.

    Args:
        key: a JAX random key; the same key gives the same fit.
        target: from `vi.from_numpyro` or `vi.from_log_density`.
        method: such as ``vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())``. None stands for a full-rank normal by
            reverse KL, ``vi.natural_gradient()``; above 300 dimensions for ``vi.gradient(vi.LowRankNormal(16),
            vi.ReverseKL())``.
        max_steps: an upper bound on the steps, by default the method's own (50,000 for `vi.gradient`); the fit ends by
            itself before that once it stands still. It changes nothing else: a fit that ran out of steps is continued
            by `vi.resume`.
        progress: whether to show a progress line with loss, rate and status.
        preflight: whether to look at target and method first (`vi.preflight`): its errors are raised before a step is
            taken, its warnings come first among ``fit.warnings``.
        checkpoint: what keeps the fit while it runs, from `vi.checkpoint`, so that a process that is ended loses
            nothing but the last seconds.

    Returns:
        The fit. Numerical trouble does not raise: it ends with ``status`` DIVERGED, the last finite state, and
        words in ``warnings``. Ctrl-C ends it with status INTERRUPTED.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the log density is not finite at any tried start (the message names the sites), if the preflight
            finds something else that cannot work, or if the method does not go with the target.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum((z - 3.0) ** 2), dim=2)
        >>> fit = vi.fit(jax.random.key(0), target)
        >>> fit.status.name, [round(float(m), 2) for m in fit.posterior.mean]
        ('CONVERGED', [3.0, 3.0])
    """
    check_key(key)
    check_instance(
        target, Target, "target", "Make one with vi.from_numpyro(model, ...) or vi.from_log_density(f, dim=...)."
    )
    method = default_method(target.dim) if method is None else method
    check_instance(method, Method, "method", "Make one with vi.gradient(guide, objective).")
    max_steps = method.max_steps if max_steps is None else check_positive_int(max_steps, "max_steps")
    keeping = Keeping(checkpoint)
    method.check(target)
    found = look_ahead(key, target, method) if preflight else Preflight()
    if found.errors:
        raise ValueError("\n".join(found.errors))
    point, params, start = begin(key, method, target)
    if not bool(start.finite):
        raise ValueError(nowhere_finite(target, start.location))
    begun = Fit(target, method, params, Status.MAX_STEPS, {}, 0, 0.0, (), point, found)
    return _run(begun, max_steps, progress, keeping)


def default_method(dim: int) -> Method:
    """What `fit` does for a target of ``dim`` coordinates where nothing else is asked for."""
    if dim <= FULL_RANK_DIM:
        return natural_gradient(FullRankNormal())
    return gradient(LowRankNormal(LARGE_RANK), ReverseKL())


def resume(
    fit: Fit,
    method: Method | None = None,
    *,
    max_steps: int | None = None,
    progress: bool = False,
    checkpoint: Keeper | None = None,
) -> Fit:
    """Continues a fit exactly where it stopped: n steps and then m more are the same, bit for bit, as n + m.

    Args:
        fit: one that was interrupted, ran out of steps, or was loaded; a converged one of
            stochastic gradients takes further windows.
        method: the method again, needed only when the fit was unpickled with an optax optimiser of its own.
        max_steps: an upper bound on the further steps, by default the method's own.
        progress: whether to show a progress line.
        checkpoint: what keeps the fit while it runs, as for `fit`.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2)
        >>> short = vi.fit(jax.random.key(0), target, vi.gradient(vi.FullRankNormal(), vi.ReverseKL()), max_steps=10)
        >>> vi.resume(short, max_steps=20).num_steps
        30
    """
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    method = method or fit.method
    max_steps = method.max_steps if max_steps is None else check_positive_int(max_steps, "max_steps")
    return _run(replace(fit, method=method), max_steps, progress, Keeping(checkpoint))


def _run(fit: Fit, max_steps: int, show: bool, keeping: Keeping) -> Fit:
    """Takes at most ``max_steps`` further steps from the fit's checkpoint."""
    method, target, point = fit.method, fit.target, fit.checkpoint
    params, status, last_step = fit.params, Status.MAX_STEPS, fit.num_steps + max_steps
    log = Log(fit.history)
    with Interrupts(heeds_terminate=keeping.keeper is not None) as interrupts, Progress(show, last_step) as progress:
        try:
            while point.step < last_step:
                if interrupts.asked:
                    raise KeyboardInterrupt
                if ended_itself(method, point) is not None:
                    break
                if keeping.due:
                    keeping.keep(_snapshot(fit, point, params, log))
                point = advance(method, target, point, last_step, log, progress)
                if method.ends_itself or point.steps_in_window < point.schedule.length:
                    continue
                point, params, ended = turn(method, target, point, log)
                if ended is not None:
                    status = ended
                    break
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        status = ended_itself(method, point) or status
        progress.end(status.name)
        done = _judged(_as_it_stands(fit, point, params, log, status))
        keeping.keep(done)
    return done


def _as_it_stands(fit: Fit, point: Checkpoint, params: Params, log: Log, status: Status) -> Fit:
    """The fit at a point of its course, with nothing said of it yet."""
    method = fit.method
    if method.ends_itself:
        params = method.latest(point.state)
    elif point.steps_in_window:  # a window that was cut short is reported, and the checkpoint left in its middle
        params = report_of_part(method, point, params)
    history = log.arrays(point.step)
    spent = method.num_gradients(fit.target, history)
    return Fit(fit.target, method, params, status, history, point.step, spent, (), point, fit.preflight)


def _snapshot(fit: Fit, point: Checkpoint, params: Params, log: Log) -> Fit:
    """The fit as it is kept while it runs: what will be known of it if the process ends."""
    said = f"{Status.INTERRUPTED.name}: {Status.INTERRUPTED.value}."
    stands = _as_it_stands(fit, point, params, log, Status.INTERRUPTED)
    return replace(stands, warnings=(*fit.preflight.warnings, said))


def _judged(fit: Fit) -> Fit:
    """The fit with what speaks against it."""
    method, history, status, window = fit.method, fit.history, fit.status, fit.checkpoint.schedule.length
    if status in (Status.CONVERGED, Status.MAX_STEPS) and method.collapsed(_tail(history, window)):
        status = Status.COLLAPSED
    said = (*_warnings(method, status, history, window), *method.remarks(fit.target, fit.params))
    said += () if status is Status.INTERRUPTED else tuple(_afterwards(fit, fit.params, status, history, bool(said)))
    return replace(fit, status=status, warnings=(*fit.preflight.warnings, *said))


def _warnings(method: Method, status: Status, history: dict[str, np.ndarray], window: int) -> list[str]:
    """What speaks against a fit, in words."""
    said = []
    skipped = int((history["ok"] < 1).sum()) if len(history["ok"]) else 0
    if skipped:
        said.append(
            f"{skipped} of {len(history['ok'])} steps were skipped because loss or parameters became non-finite."
        )
    if status is not Status.CONVERGED:
        moved = (
            f" In its last window it changed by {history['change'][-1]:.2g} nats." if len(history["change"]) > 1 else ""
        )
        said.append(f"{status.name}: {status.value}.{moved}")
    return said + method.warnings(_tail(history, window))


def _afterwards(fit: Fit, params: Params, status: Status, history: dict[str, np.ndarray], suspect: bool) -> list[str]:
    """What the end of a fit says against it: its course always, its draws where something is said already."""
    said = below_its_best(history)
    cut_short = status is Status.MAX_STEPS and len(history["loss"]) < TOO_SHORT
    if (suspect or said) and not cut_short:
        said += look_back(fit.target, fit.method, params)
    return said


def _tail(history: dict[str, np.ndarray], window: int) -> dict[str, np.ndarray]:
    """The last window of everything that has an entry a step."""
    return {name: history[name][-window:] for name in history if name not in WINDOW_ARRAYS}
