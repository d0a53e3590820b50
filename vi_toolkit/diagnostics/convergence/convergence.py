"""Whether an optimisation has come to rest, looked at with noise that it has not seen."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from vi_toolkit._checks import check_instance, check_key
from vi_toolkit._types import Key
from vi_toolkit.algorithms.laplace import Laplace
from vi_toolkit.diagnostics.convergence._at_rest import Slope, gain_of, slope_of
from vi_toolkit.diagnostics.convergence._own_loss import BATCHES, OwnLoss, gradients, own_loss
from vi_toolkit.diagnostics.weights.evidence import Estimate, mean_and_error
from vi_toolkit.fit import Fit
from vi_toolkit.windows import Status

LIMIT = 0.01  # nats to be gained: a mean that is 0.14 standard deviations from where it is going
CERTAIN = 1e-3  # chance of such a gradient at rest, below which it is taken for real
MOST_ROUNDS = 16  # of BATCHES estimates
MOST_NUMBERS = 2**24  # held at once
TRIAL = 0.05  # length of the step by which the loss's bend is measured, in the guide's own units


class Motion(enum.Enum):
    """Whether an optimisation still moves.

    Example:
        >>> from vi_toolkit.diagnostics.convergence.convergence import Motion
        >>> Motion.MOVING.value
        'still moving'
    """

    AT_REST = "at rest"
    MOVING = "still moving"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Convergence:
    """Whether a fit has come to rest, and by what.

    Attributes:
        motion: `Motion`.
        sentence: the same in words.
        gain: what a step along the gradient promises, in nats of the fit's own loss, with its error; None without one.
        ratio: the squared mean of the estimates of the gradient by what their noise explains: about 1 at rest.
        p_value: the chance of such a ratio at rest.
        drift: by how much the loss is lower than at the window before, on common noise; None where that is not kept.
        change: D(average before || last average) of the last full window, or None.
        noise: D between the halves of that window, or None.
        rhat: of the parameters' course through it, or None.
        status: the fit's own.
        num_gradients: log-density gradients spent.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> from vi_toolkit.diagnostics.convergence.convergence import find_convergence
        >>> fit = vi.fit(jax.random.key(0), vi.zoo.correlated_gaussian().target)
        >>> find_convergence(jax.random.key(1), fit).motion.name
        'AT_REST'
    """

    motion: Motion
    sentence: str
    status: Status
    gain: Estimate | None = None
    ratio: float | None = None
    p_value: float | None = None
    drift: Estimate | None = None
    change: float | None = None
    noise: float | None = None
    rhat: float | None = None
    num_gradients: float = 0.0

    def __str__(self) -> str:
        return self.sentence


def find_convergence(key: Key, fit: Fit) -> Convergence:
    r"""Whether a fit's own loss still falls, by gradients on fresh noise in the guide's own coordinates.

        gain = max over s <= 1 of s |g| - s^2 h / 2,    h = the loss's bend along the gradient g

    |g|^2 is what independent estimates of g agree on: the noise's share is taken off. The fit is still moving where
    such a gradient has a chance below 0.1 % at rest and promises more than 0.01 nats; it is at rest where less is
    promised, two standard errors included. More estimates are made until one of both holds, up to 512. Laplace's fits
    are judged by their gradient at the mode, without noise. Methods that have no loss, or one that carries draws from
    step to step, are judged by nothing but their own rule: cannot tell.

    At rest is not at the best: another start may end elsewhere (`vi.diagnostics.agreement`).

    Args:
        key: a JAX random key; take another one than for the fit.
        fit: from `vi.fit`.

    Returns:
        `Convergence`.

    Raises:
        TypeError: if an argument is of the wrong kind.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> from vi_toolkit.diagnostics.convergence.convergence import find_convergence
        >>> method = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())
        >>> fit = vi.fit(jax.random.key(0), vi.zoo.banana().target, method, max_steps=10)
        >>> find_convergence(jax.random.key(1), fit).motion.value
        'still moving'

    Source: Welandawe, Andersen, Vehtari & Huggins (2022), Robust, automated, and accurate black-box variational
    inference, arXiv:2203.15945 (averages, and R-hat of the parameters' course); Satterthwaite (1946), An approximate
    distribution of estimates of variance components, doi:10.2307/3002019.
    """
    check_key(key)
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    if isinstance(fit.method, Laplace):
        return _at_mode(fit)
    loss = own_loss(fit)
    if loss is None:
        return Convergence(Motion.CANNOT_TELL, _no_loss(fit), fit.status, **_window(fit))
    return _by_gradient(key, fit, loss)


def _by_gradient(key: Key, fit: Fit, loss: OwnLoss) -> Convergence:
    found: list[np.ndarray] = []
    spent, gain, slope, motion = 0.0, Estimate(np.nan, np.inf), None, None
    for number in range(MOST_ROUNDS):
        round_key = jax.random.fold_in(key, number)
        losses, slopes = gradients(round_key, loss, fit.target)
        spent += _cost(loss)
        if not (np.isfinite(slopes).all() and np.isfinite(losses).all()):
            break
        found.append(slopes)
        slope = slope_of(np.concatenate(found))
        if number == 0:
            bend = _bend(round_key, fit, loss, slopes)
            spent += _cost(loss)
        gain = gain_of(slope.square, bend)
        motion = _motion(slope, gain)
        if motion is not None or (number + 2) * slopes.size > MOST_NUMBERS:
            break
    drift, more = _drift(key, fit, loss)
    motion = motion or Motion.CANNOT_TELL
    known: dict[str, Any] = {"gain": gain, "ratio": slope.ratio, "p_value": slope.p_value} if slope else {}
    words = _words(motion, gain, loss, fit) if slope else "Its loss or gradient is not finite: it cannot be told."
    return Convergence(motion, words, fit.status, drift=drift, num_gradients=spent + more, **known, **_window(fit))


def _motion(slope: Slope, gain: Estimate) -> Motion | None:
    """None while more draws could tell."""
    if slope.p_value < CERTAIN and gain.value - 2 * gain.se > LIMIT:
        return Motion.MOVING
    return Motion.AT_REST if gain.value + 2 * gain.se < LIMIT else None


def _bend(key: Key, fit: Fit, loss: OwnLoss, slopes: np.ndarray) -> float:
    """The loss's second derivative along its gradient, by the gradient a step away on the same noise."""
    mean = slopes.mean(axis=0)
    size = np.linalg.norm(mean)
    if not size > 0:
        return 1.0
    _, there = gradients(key, loss, fit.target, at=-TRIAL * mean / size)
    return float((mean - there.mean(axis=0)) @ mean / (size * TRIAL))


def _drift(key: Key, fit: Fit, loss: OwnLoss) -> tuple[Estimate | None, float]:
    """How much lower the loss is than at the window before, and what it cost to know."""
    if loss.before is None:
        return None, 0.0
    now, _ = gradients(key, loss, fit.target)
    before, _ = gradients(key, loss, fit.target, params=loss.before)
    return mean_and_error(before - now), 2 * _cost(loss)


def _cost(loss: OwnLoss) -> float:
    return BATCHES * loss.objective.gradients_over(loss.guide, loss.num_draws)


@jax.jit
def _gradient_at(target: Any, z: Any) -> Any:
    return jax.grad(target.log_density)(z)


def _at_mode(fit: Fit) -> Convergence:
    """Half g' S g, S being the covariance: what Newton's step would gain in log p~."""
    location = fit.params["location"]
    slope = np.asarray(_gradient_at(fit.target, location), np.float64)
    factor = np.asarray(fit.posterior.scale_tril, np.float64)
    gain = 0.5 * float(((factor.T @ slope) ** 2).sum())
    motion = Motion.CANNOT_TELL if not np.isfinite(gain) else Motion.MOVING if gain > LIMIT else Motion.AT_REST
    words = f"{motion.value.capitalize()}: at the mode a step promises {_nats(gain)} of log density."
    return Convergence(motion, words, fit.status, Estimate(gain, 0.0), num_gradients=1.0)


def _window(fit: Fit) -> dict[str, Any]:
    """What the last full window of the fit said."""
    known = {name: fit.history[name] for name in ("change", "noise", "rhat") if len(fit.history.get(name, ()))}
    return {name: float(values[-1]) for name, values in known.items() if np.isfinite(values[-1])}


def _words(motion: Motion, gain: Estimate, loss: OwnLoss, fit: Fit) -> str:
    of = "ELBO" if loss.is_elbo else "its loss"
    if motion is Motion.MOVING:
        return f"Still moving: about {_nats(gain.value)} of {of} to gain by one step (± {gain.se:.1g}). Let it run on."
    if motion is Motion.AT_REST:
        ended = "" if fit.status is Status.CONVERGED else f", though {fit.status.name} says that {fit.status.value}"
        return f"At rest: a step promises less than {max(gain.value + 2 * gain.se, 1e-3):.1g} nats of {of}{ended}."
    return f"It cannot be told whether it is at rest: a step promises {gain.value:.2g} ± {gain.se:.1g} nats of {of}."


def _no_loss(fit: Fit) -> str:
    name = type(fit.method).__name__
    return (
        f"It cannot be told by a loss, since {name} has none to look at again. Its own rule says: {fit.status.value}."
    )


def _nats(value: float) -> str:
    return f"{value:.2g} nats" if value >= 1e-3 else "less than 0.001 nats"
