"""The ELBO at draws that stay fixed, by Newton's method: no learning rate, and an error that is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.tree_util import register_dataclass
from jaxtyping import Array
from numpyro.distributions import Distribution

from vi_toolkit import _start
from vi_toolkit._checks import check_continuous, check_instance, check_positive, check_positive_int
from vi_toolkit._types import Draws, Key, Params, Scalar
from vi_toolkit.algorithms._conjugate_gradients import Solution, solve
from vi_toolkit.algorithms._fixed_state import (
    GROUPS,
    LOOK,
    MEASURE,
    OPTIMISE,
    FixedState,
    draws_to_look_at,
    first_blocks,
    next_radius,
    units,
)
from vi_toolkit.algorithms._sampled_elbo import BLOCK, SampledElbo, noise_for
from vi_toolkit.algorithms.algorithm import Outcome, SelfEnding
from vi_toolkit.guides import Guide
from vi_toolkit.targets import Target

CURVATURE_BLOCKS = 4  # the Hessian is that of the first blocks: it is less noisy than the gradient, and costs more
MAX_PRODUCTS = 200  # Hessian-vector products a step
PATIENCE = 20  # idle steps in a row
NOT_CONVEX = -1e-3  # a curvature that is more than rounding, where a standard deviation has one of about 1
SHORT = 1e-6  # a trust region in which nothing is left to be tried
SETTLED = 0.1  # of the tolerance: the error that the optimisation may leave, beside that of the draws
MOST_DOUBLINGS = 4  # at once
ROUGH = 0.01  # nats a parameter, as a share of one over the draws: where a set of draws that is too small is left


@partial(register_dataclass, data_fields=["start", "tolerance", "max_draws"], meta_fields=["guide"])
@dataclass(frozen=True)
class FixedDraws(SelfEnding):
    """The sample-average ELBO by trust-region Newton steps; made by `fixed_draws`."""

    guide: Guide
    tolerance: Any  # numbers: traced, so that another tolerance compiles nothing
    max_draws: Any
    start: Params | None = None

    distances: ClassVar[tuple[tuple[str, str], ...]] = (("decrement", "what a full Newton step would gain"),)

    @property
    def tracked(self) -> tuple[str, ...]:
        return ("loss", "elbo", "ok", "gradients", "draws", "draw_error", "decrement", "radius", "products")

    def check(self, target: Target) -> None:
        check_continuous(target, "fixed_draws")
        self.guide.check(target.dim)

    def init(self, key: Key, target: Target, candidates: Draws) -> tuple[FixedState, _start.Start]:
        key_guide, key_draws = jax.random.split(key)
        climbs = self.start is None and self.guide.needs_start
        start = (_start.find_start if climbs else _start.no_search)(target, candidates)
        params = self.guide.init(key_guide, start) if self.start is None else self.start
        zero = jnp.zeros((), start.location.dtype)
        both = jnp.zeros(2 * target.dim, zero.dtype)
        state = FixedState(
            params=params,
            key=jax.random.bits(key_draws, (2,), jnp.uint32),
            blocks=jnp.asarray(first_blocks(params), int),  # int: a weak type would compile a second program
            bends=jnp.asarray(first_blocks(params), int),
            idle=jnp.asarray(0, int),
            task=jnp.asarray(LOOK, int),
            loss=zero + jnp.inf,
            gradient=jnp.zeros_like(ravel_pytree(params)[0]),
            radius=zero + np.sqrt(target.dim),
            shifts=jnp.zeros((GROUPS, *both.shape), zero.dtype),
            spread=both,
            error=zero + jnp.inf,
            spent=zero + _start.num_gradients() * climbs,
            outcome=jnp.asarray(Outcome.GOES_ON.value, int),
        )
        return state, start

    def step(self, key: Key, state: FixedState, target: Target) -> tuple[FixedState, dict[str, Scalar]]:
        """Solves H x = -g for the gradient in hand, and looks at the loss and one gradient more."""
        f = SampledElbo(self.guide, target, state.draws_key, noise_for(self.guide, state.params))
        radius = jnp.where(state.task == OPTIMISE, state.radius, jnp.inf)
        most = min(MAX_PRODUCTS, 3 * state.gradient.size)
        view = f.view(state.params)
        found = solve(f.curvature(state.params, state.bends), -state.gradient, radius, most, view=view)
        products = 2 * found.iterations * state.bends
        state = self._measured(state, found, view(found.x), f.scales(state.params))
        tried = f.moved(state.params, jnp.where(state.task == OPTIMISE, found.x, 0.0))
        first, last = draws_to_look_at(state)
        loss, gradient = f.evaluate(tried, first, last)
        spent = (last - first + products) * BLOCK + state.spent
        gain = jnp.where(state.task == OPTIMISE, found.gain, 0.0)
        state = self._judged(state, found, tried, loss, gradient)._replace(spent=jnp.zeros_like(state.spent))
        facts = {
            "loss": state.loss, "elbo": -state.loss, "draws": BLOCK * state.blocks, "draw_error": state.error,
            "decrement": gain, "radius": state.radius, "products": found.iterations, "gradients": spent,
            "ok": jnp.isfinite(state.loss),
        }  # fmt: skip
        return state, {name: jnp.asarray(fact, loss.dtype) for name, fact in facts.items()}

    def _measured(self, state: FixedState, found: Solution, shift: Array, scales: Array) -> FixedState:
        """What the k-th group of draws says of the error; after the last of them, how many draws come next."""
        group = state.task - MEASURE - 1  # of the gradient in hand
        shift = jnp.where(found.least > NOT_CONVEX, shift, jnp.inf)  # a minimum says nothing where there is none
        shifts = state.shifts.at[group].set(jnp.where(group >= 0, shift, state.shifts[group]))
        spread = jnp.maximum(state.spread, found.spread)
        error = jnp.max(jnp.std(shifts, axis=0, ddof=1) / units(spread, scales)) / np.sqrt(GROUPS)
        error = jnp.where(jnp.isnan(error), jnp.inf, error)
        last = group == GROUPS - 1
        doublings = jnp.ceil(2 * jnp.log2(error / self.tolerance)).astype(int)
        most = jnp.maximum(self.max_draws // BLOCK, max(GROUPS, first_blocks(state.params)))
        more = jnp.minimum(state.blocks << jnp.clip(doublings, 1, MOST_DOUBLINGS), most)
        enough = error <= self.tolerance
        outcome = jnp.select(
            [last & enough, last & (state.blocks >= most)],
            [Outcome.CONVERGED.value, Outcome.STALLED.value],
            state.outcome,
        )
        return state._replace(
            shifts=shifts,
            spread=spread,
            error=jnp.where(last, error, state.error),
            blocks=jnp.where(last & (outcome == Outcome.GOES_ON.value), more, state.blocks),
            outcome=outcome,
        )

    def _judged(self, state: FixedState, found: Solution, tried: Params, loss: Scalar, gradient: Array) -> FixedState:
        """What follows from the gradient that was looked at."""
        finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(gradient))
        optimising, looking = state.task == OPTIMISE, (state.task == LOOK) | (state.task == MEASURE + GROUPS)
        rounding = float(np.finfo(loss.dtype).eps) * jnp.abs(state.loss)
        ratio = (state.loss - loss + rounding) / (found.gain + rounding)
        accepted = optimising & finite & (ratio > 1e-3)
        enough = state.blocks >= GROUPS
        goal = jnp.where(enough, 0.5 * (SETTLED * self.tolerance) ** 2, ROUGH * gradient.size / (BLOCK * state.blocks))
        little = optimising & (found.gain <= goal + rounding)
        settled = little & (found.inside | (state.radius >= 1.0))  # a whole unit further there is nothing to gain
        idle = jnp.where(little & ~settled, state.idle + 1, 0)
        radius = next_radius(state.radius, found, jnp.where(finite, ratio, -jnp.inf))
        task = jnp.select(
            [looking, settled & enough, settled, optimising], [OPTIMISE, MEASURE, LOOK, OPTIMISE], state.task + 1
        )
        outcome = jnp.select(
            [looking & ~finite, optimising & ~settled & ((radius < SHORT) | (idle > PATIENCE))],
            [Outcome.DIVERGED.value, Outcome.STALLED.value],
            Outcome.GOES_ON.value,
        )
        blocks = jnp.where(settled & ~enough, GROUPS, state.blocks)
        wrong = jnp.where(optimising, ~(jnp.abs(jnp.log2(ratio)) < 1), (found.least < NOT_CONVEX) & ~looking)
        following = state._replace(
            params=jax.tree.map(partial(jnp.where, accepted), tried, state.params),
            blocks=blocks,
            bends=self._bends(state, wrong, blocks),
            idle=idle,
            task=task,
            loss=jnp.where(accepted | (looking & finite), loss, state.loss),
            gradient=jnp.where(settled, 0.0, jnp.where(optimising & ~accepted, state.gradient, gradient)),
            radius=jnp.where(optimising, radius, jnp.maximum(state.radius, 1.0)),
            outcome=outcome,
        )
        return jax.tree.map(partial(jnp.where, state.outcome == Outcome.GOES_ON.value), following, state)

    def _bends(self, state: FixedState, wrong: Array, blocks: Array) -> Array:
        """The blocks that the next Hessian is of: few at first, and twice as many each time that they mislead."""
        few = max(CURVATURE_BLOCKS, first_blocks(state.params))
        return jnp.minimum(jnp.maximum(few, jnp.where(wrong, 2 * state.bends, state.bends)), blocks)

    def outcome(self, state: FixedState) -> Array:
        return state.outcome

    def latest(self, state: FixedState) -> Params:
        return state.params

    def posterior(self, params: Params) -> Distribution:
        return self.guide.distribution(params)

    def warnings(self, history: dict[str, np.ndarray]) -> list[str]:
        if not len(history["draw_error"]):
            return []
        error, draws = float(history["draw_error"][-1]), int(history["draws"][-1])
        if error <= self.tolerance:
            return []
        if not np.isfinite(error):
            return [f"The fit ended before the error that its {draws} draws induce was measured."]
        return [
            f"Its {draws} draws leave a mean, in posterior standard deviations, or a log standard deviation uncertain "
            f"by {error:.2g}, more than the tolerance of {self.tolerance:.2g}. Allow more: max_draws={4 * draws}."
        ]


def fixed_draws(
    guide: Guide,
    *,
    tolerance: float = 0.05,
    max_draws: int = 16_384,
    start: Params | None = None,
) -> FixedDraws:
    """Fits a guide by reverse KL with draws that stay the same, so that the fit is an ordinary minimisation.

        f(params) = -(1 / n) sum_i [log p~(z_i) - log q(z_i)],   z_i = g(params, e_i),   e_1, ..., e_n fixed    (nats)

    With fixed noise e the ELBO is a smooth function of the parameters: it is minimised by Newton's steps within a trust
    region, each a few Hessian-vector products (conjugate gradients), in the guide's own coordinates, so that units do
    not matter. There is no learning rate, and the end is seen, not guessed. The noise is quasi-random in mirrored pairs
    (`vi.estimators.quasi_random`), in independent blocks of 32 draws.

    What fixed draws cost is an error that they bring in, and that is measured. With H the Hessian of f at its minimum
    and g_b its gradient over one of B = 8 groups of blocks,

        delta_b = -H^-1 g_b,   error^2 = (1 / (B (B - 1))) sum_b (delta_b - mean)^2

    the sandwich estimate H^-1 cov(g) H^-1 / B of the variance of the minimum, seen through the means, in standard
    deviations of the posterior, and the log standard deviations. While the largest of all these exceeds ``tolerance``,
    the draws are doubled, as often as the error asks for, and the fit goes on from where it is. A fit whose draws
    reached ``max_draws`` ends as STALLED, with the error in its warnings.

    A family whose scale is a matrix could be flattened, without bound, along directions in which no draw lies: such a
    guide begins with more than four draws for each of its directions (`FullRankNormal`: dim; `LowRankNormal`: rank;
    `BlockNormal`: the largest block). Where the draws of a guide are not made of normal noise, they are independent
    ones of its own.

    In the history, beside ``loss`` and ``elbo`` at the fixed draws: ``draws``, how many; ``draw_error``, the largest
    error as measured last, infinite until then; ``decrement``, the nats that a step was to gain; ``radius`` of the
    trust region; ``products`` with the Hessian, each two gradients a draw. A group of draws is looked at in a step of
    its own. The Hessian is that of the first 128 draws, or of more once these mislead.

    Args:
        guide: the family; its draws must carry gradients.
        tolerance: the draw-induced error that is let be: of a mean, in posterior standard deviations, and of a log
            standard deviation.
        max_draws: the most draws.
        start: parameters of the guide to begin with; by default the guide's own, at a point of high density that is
            searched for.

    Returns:
        A method for `vi.fit`.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the draws of the guide carry no gradients, or a number is not above 0; when a fit begins, if the
            target is over whole numbers.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> precision = jnp.array([[2.0, 0.8], [0.8, 1.0]])
        >>> target = vi.from_log_density(lambda z: -0.5 * (z - 3.0) @ precision @ (z - 3.0), dim=2)
        >>> fit = vi.fit(jax.random.key(0), target, vi.fixed_draws(vi.MeanFieldNormal(), tolerance=0.02))
        >>> fit.status.name, fit.posterior.mean.round(3).tolist(), bool(fit.history["draw_error"][-1] < 0.02)
        ('CONVERGED', [3.0, 3.0], True)

    Source: Giordano, Ingram & Broderick (2024), Black box variational inference with a deterministic objective: faster,
    more accurate, and even more black box, arXiv:2304.05527; Burroni, Domke & Sheldon (2023), Sample average
    approximation for black-box VI, arXiv:2304.06803; Byrd, Chin, Neveitt & Nocedal (2011), On the use of stochastic
    Hessian information in optimization methods for machine learning, doi:10.1137/10079923X (the Hessian of some draws).
    """
    check_instance(guide, Guide, "guide", "Use for example vi.MeanFieldNormal().")
    if not guide.reparameterised:
        raise ValueError(
            f"guide: fixed_draws moves draws with the parameters, and those of {guide} carry no gradients. "
            "Use vi.gradient(guide, vi.ReverseKL(vi.estimators.score_function))."
        )
    return FixedDraws(guide, check_positive(tolerance, "tolerance"), check_positive_int(max_draws, "max_draws"), start)
