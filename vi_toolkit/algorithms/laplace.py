"""Laplace's approximation: the normal that has the mode and the curvature of the posterior."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass
from jaxtyping import Array
from numpyro.distributions import Distribution

from vi_toolkit import _start
from vi_toolkit._checks import check_continuous, check_positive_int
from vi_toolkit._types import Draws, Key, Params, Scalar
from vi_toolkit.algorithms._curvature import Curvature, cholesky_of_columns, curvature_at, newton_step
from vi_toolkit.algorithms._laplace_state import (
    LaplaceState,
    axis_columns,
    entries,
    is_clear,
    known_directions,
    least_fall,
    lengths,
    next_radius,
    not_asked,
    rounding_floor,
    shares,
)
from vi_toolkit.algorithms._starting_points import starting_points
from vi_toolkit.algorithms.algorithm import Outcome, SelfEnding
from vi_toolkit.guides import FullRankNormal
from vi_toolkit.targets import Target

MAX_TRIALS = 60  # Newton steps tried, taken or not
NEAR = 1e-4  # nats below the mode, where what is left of the steps may be rounding
WIDEST = 0.03  # over the rounding error: in units of the conditional sds, beyond which a direction counts as flat
LEAST_FALL = 0.01  # nats by which the density has to fall within one sd of the mode, where a normal falls by 1/2


@partial(register_dataclass, data_fields=[], meta_fields=["num_starts"])
@dataclass(frozen=True)
class Laplace(SelfEnding):
    """Laplace's approximation; made by `laplace`."""

    num_starts: int

    distances: ClassVar[tuple[tuple[str, str], ...]] = (("decrement", "what a full Newton step would gain"),)
    max_steps: ClassVar[int] = 10 * MAX_TRIALS  # it ends by itself long before

    @property
    def tracked(self) -> tuple[str, ...]:
        return ("loss", "ok", "gradients", "log_evidence", "decrement", "num_flat", "fall", "coordinate")

    def check(self, target: Target) -> None:
        check_continuous(target, "vi.laplace()")

    def init(self, key: Key, target: Target, candidates: Draws) -> tuple[LaplaceState, _start.Start]:
        start = _start.find_start(target, starting_points(key, candidates, self.num_starts))
        value, gradient = jax.value_and_grad(target.log_density)(start.location)
        zero, dim = jnp.zeros((), value.dtype), len(start.location)
        ones, none = jnp.ones_like(gradient), jnp.zeros_like(gradient)
        state = LaplaceState(
            location=start.location,
            value=value,
            gradient=gradient,
            scale=start.scale,
            curvature=Curvature(jnp.diag(start.scale), ones, none),
            look=jnp.asarray(True),
            radius=zero + 1 + np.sqrt(dim),
            decrement=zero + jnp.inf,
            flat=jnp.zeros(dim, bool),
            factor=jnp.diag(start.scale),
            unsettled=none,
            num_trials=jnp.asarray(0),
            spent=zero + 1 + self.num_starts * _start.NUM_STEPS,
            outcome=jnp.asarray(Outcome.GOES_ON.value),
        )
        return state, start

    def step(self, key: Key, state: LaplaceState, target: Target) -> tuple[LaplaceState, dict[str, Scalar]]:
        tiny, dim = np.finfo(state.location.dtype).eps, target.dim
        looked = state.look
        state = jax.lax.cond(looked, partial(_look, target), lambda s: s, state)
        axes, values, _ = state.curvature
        slope = axes.T @ state.gradient
        rising = state.flat & (jnp.abs(slope) > jnp.sqrt(tiny) * lengths(axes, state.scale))
        slope = jnp.where(state.flat & ~rising, 0.0, slope)
        falls = known_directions(state.curvature)
        u, predicted = newton_step(slope, falls, state.radius)
        new = state.location + axes @ u
        value, gradient = jax.value_and_grad(target.log_density)(new)

        gained = _gained(state.value, value, predicted, 0.5 * (slope + axes.T @ gradient) @ u)
        finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient))
        kept = finite & (gained >= 0.1 * predicted)

        decrement = jnp.where(falls.min() > 0, 0.5 * jnp.sum(slope**2 / jnp.abs(falls)), jnp.inf)
        resting = (decrement <= 0.1 * tiny) | ((decrement < NEAR) & (decrement > 0.25 * state.decrement))
        clear = is_clear(values, state.flat)
        done = resting & clear & ~rising.any()
        fall, worst = jax.lax.cond(done, partial(least_fall, target), not_asked, state)
        is_mode = ~state.flat.any() & (fall >= LEAST_FALL - 10 * tiny * jnp.abs(state.value))
        given_up = (state.num_trials >= MAX_TRIALS) | (state.radius < tiny)
        outcome = jnp.select(
            [~jnp.all(jnp.isfinite(values)), done & is_mode, done | given_up],
            [Outcome.DIVERGED.value, Outcome.CONVERGED.value, Outcome.STALLED.value],
            Outcome.GOES_ON.value,
        )
        blamed = jnp.where(state.flat.any() & ~rising.any(), state.flat, jnp.where(done, worst, jnp.abs(u)))
        unsettled = jnp.where(outcome == Outcome.CONVERGED.value, 0.0, shares(axes, state.scale, blamed))
        facts = _facts(state, decrement) | {
            "ok": finite.astype(value.dtype),
            "gradients": state.spent + 1 + jnp.where(looked, 2.0 * dim, 0.0) + jnp.where(done, 2 * dim / 3, 0.0),
            "fall": fall,
            "coordinate": jnp.argmax(unsettled).astype(value.dtype),
        }
        moves = kept & (outcome == Outcome.GOES_ON.value)
        state = state._replace(
            location=jnp.where(moves, new, state.location),
            value=jnp.where(moves, value, state.value),
            gradient=jnp.where(moves, gradient, state.gradient),
            look=moves | (resting & ~clear),
            radius=next_radius(state.radius, jnp.linalg.norm(u), jnp.where(finite, gained / predicted, -1.0)),
            decrement=jnp.where(moves, decrement, state.decrement),
            unsettled=unsettled,
            num_trials=state.num_trials + 1,
            spent=jnp.zeros_like(state.spent),
            outcome=outcome,
        )
        return state, facts

    def outcome(self, state: LaplaceState) -> Array:
        return state.outcome

    def latest(self, state: LaplaceState) -> Params:
        return {
            "location": state.location,
            "log_diagonal": jnp.log(jnp.diagonal(state.factor)),
            "lower": jnp.tril(state.factor, -1),
            "unsettled": state.unsettled,
        }

    def posterior(self, params: Params) -> Distribution:
        return FullRankNormal().distribution(params)

    def warnings(self, history: dict[str, np.ndarray]) -> list[str]:
        if not len(history["loss"]):
            return []
        last = {name: float(history[name][-1]) for name in self.tracked}
        place = f"coordinate {last['coordinate']:.0f} of the flat vector most of all"
        if not last["decrement"] < NEAR:
            return [
                f"Laplace: the climb did not come to rest ({place}): the joint density may have no mode, as in "
                "hierarchies, where it rises without end as a group scale goes to zero. Use vi.pathfinder() or the "
                "default method, or write the hierarchy non-centred."
            ]
        if last["num_flat"]:
            return [
                f"Laplace: the log density is flat in {last['num_flat']:.0f} direction(s) at the mode ({place}): "
                "neither data nor prior say how wide the posterior is there. The covariance keeps the start's scale in "
                "these directions, and is to be trusted in the others only. Give the unknowns a proper prior."
            ]
        if last["fall"] < LEAST_FALL:
            return [
                f"Laplace: within one standard deviation of the mode the log density falls by {last['fall']:.2g} nats "
                f"in one direction ({place}), where the curvature promises 0.5: there is no mode to speak of."
            ]
        return []

    def remarks(self, target: Target, params: Params) -> list[str]:
        """Which sites the directions consist of that are flat or did not come to rest, in words."""
        share = np.asarray(params["unsettled"])
        if not share.max(initial=0.0) > 0:
            return []
        much = share >= 0.5 * share.max()
        names = [entries(site, np.flatnonzero(much[site.start : site.stop])) for site in target.sites]
        return ["Laplace: that direction is one of " + ", ".join(name for name in names if name) + "."]


def _look(target: Target, state: LaplaceState) -> LaplaceState:
    """The state with the curvature at its location, found in axes scaled by the curvature known before."""
    before = state.curvature
    axes = before.axes / jnp.sqrt(jnp.maximum(jnp.abs(before.values), rounding_floor(before.values)))
    found = curvature_at(target, state.location, axes)
    ok = jnp.all(jnp.isfinite(found.values))
    # at the first look the axes are the coordinates, and their curvature gives the unit in which lengths are judged
    turned = jnp.sum((found.axes / state.scale[:, None]) ** 2 * found.values, axis=1)
    known = (state.num_trials == 0) & (jnp.abs(turned) > rounding_floor(turned))
    scale = jnp.where(known, state.scale / jnp.sqrt(jnp.where(known, jnp.abs(turned), 1.0)), state.scale)
    tiny = np.finfo(scale.dtype).eps
    width = lengths(found.axes, scale) / jnp.sqrt(jnp.maximum(found.values, rounding_floor(found.values)))
    tried = lengths(found.axes, scale) > 0.1 / jnp.sqrt(tiny)  # at a length at which it would have shown
    unresolved = tried & (found.values <= 4 * found.noise)
    kept = Curvature(*jax.tree.map(partial(jnp.where, ok), tuple(found), tuple(before._replace(axes=axes))))
    # values that are not finite are handed on, for the step to see
    kept = kept._replace(values=jnp.where(ok, kept.values, jnp.nan))
    state = state._replace(curvature=kept, scale=scale, flat=ok & ((width > WIDEST / tiny) | unresolved))
    return state._replace(factor=jnp.where(ok, cholesky_of_columns(axis_columns(state)), state.factor))


def _gained(before: Scalar, value: Scalar, predicted: Scalar, by_slopes: Scalar) -> Scalar:
    """What a step gained; where the values are too coarse to tell, by the mean of the slopes at both ends."""
    fine = predicted > 1e3 * np.finfo(value.dtype).eps * (1 + jnp.abs(value))
    return jnp.where(fine, value - before, by_slopes)


def _facts(state: LaplaceState, decrement: Scalar) -> dict[str, Scalar]:
    """What the normal at the present point is, for the history."""
    constant = 0.5 * len(state.location) * np.log(2 * np.pi)
    return {
        "loss": -state.value,
        "log_evidence": state.value + constant + jnp.log(jnp.diagonal(state.factor)).sum(),
        "decrement": decrement,
        "num_flat": state.flat.sum().astype(state.value.dtype),
    }


def laplace(num_starts: int = _start.NUM_STARTS) -> Laplace:
    """Laplace's approximation: the normal with the mode and the curvature of the posterior.

        q(z) = N(z; m, (-H)^-1),   m = argmax log p~,   H = the Hessian of log p~ at m

    Quasi-Newton climbs from ``num_starts`` points, side by side; from the highest, Newton steps within a trust
    region, each with the whole Hessian, until a step would gain less than rounding. The Hessian is taken by products
    with axes scaled to the curvature known so far, so that neither units nor collinear columns cost digits, in float32
    either: a covariance needs no float64.

    ``fit.params`` are those of `vi.FullRankNormal`, and ``unsettled`` (dim,), which is zero where all is well.
    In the history, ``loss`` is -log p~ at the present point, ``decrement`` what a full Newton step would gain,
    and ``log_evidence`` Laplace's estimate of log Z, all in nats:

        log Z ~ log p~(m) + (dim/2) log 2 pi - (1/2) log det(-H)

    The fit ends CONVERGED at a mode. It ends STALLED, with words that name the unknowns, where a direction has no
    curvature (the covariance is then that of the other directions, and the scale of the start in the flat ones), where
    the density does not fall within one standard deviation of the point found, or where the climb finds no rest: the
    joint density of a centred hierarchy rises without end towards zero group scale, and has no useful mode.

    Args:
        num_starts: how many climbs.

    Returns:
        A method for `vi.fit`.

    Raises:
        TypeError, ValueError: if ``num_starts`` is not a whole number of at least 1.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> from vi_toolkit.algorithms.laplace import laplace
        >>> target = vi.from_log_density(lambda z: 3 * z[0] - jnp.exp(z[0]), dim=1)  # log of a gamma variable
        >>> fit = vi.fit(jax.random.key(0), target, laplace())
        >>> fit.status.name, fit.posterior.mean.round(4), fit.posterior.variance.round(4)  # log 3 and 1/3
        ('CONVERGED', Array([1.0986], dtype=float64), Array([0.3333], dtype=float64))
        >>> float(fit.history["log_evidence"][-1].round(4))  # log Z is log 2 = 0.6931
        0.6655

    Source: Tierney & Kadane (1986), Accurate approximations for posterior moments and marginal densities,
    doi:10.1080/01621459.1986.10478240; More & Sorensen (1983), Computing a trust region step, doi:10.1137/0904038.
    """
    return Laplace(check_positive_int(num_starts, "num_starts"))
