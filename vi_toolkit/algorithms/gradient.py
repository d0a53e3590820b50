"""Stochastic gradients of any objective, in any guide's own coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import register_dataclass
from jaxtyping import Array
from numpyro.distributions import Distribution

from vi_toolkit import _start
from vi_toolkit._checks import check_instance, check_positive_int
from vi_toolkit._types import Draws, Key, Params, Scalar
from vi_toolkit.algorithms._averages import (
    Averages,
    add,
    begin_half,
    divergence,
    halves_and_whole,
    no_averages,
    split_rhat,
)
from vi_toolkit.algorithms._optimizer import DEFAULT, Optimizer
from vi_toolkit.algorithms._space import check_space
from vi_toolkit.algorithms.algorithm import Method, Turn
from vi_toolkit.guides import Guide
from vi_toolkit.objectives import Objective
from vi_toolkit.targets import Target


class GradientState(NamedTuple):
    """Parameters, the optimiser's state, and the sums for the averages of this window."""

    params: Params
    optimizer: Any
    learning_rate: Scalar
    averages: Averages  # of the parameters
    memory: Any  # what the objective carries from step to step


@partial(register_dataclass, data_fields=["objective", "start"], meta_fields=["guide", "optimizer", "num_draws"])
@dataclass(frozen=True)
class GradientMethod(Method):
    """Stochastic gradient descent on an objective over a guide; made by `gradient`."""

    guide: Guide
    objective: Objective
    optimizer: Optimizer | None
    num_draws: int
    start: Params | None = None

    @property
    def transformation(self) -> optax.GradientTransformation:
        return self.optimizer.transformation if self.optimizer else DEFAULT

    @property
    def tracked(self) -> tuple[str, ...]:
        return ("loss", "ok", *self.objective.tracked)

    def check(self, target: Target) -> None:
        self.guide.check(target.dim)
        check_space(self.guide, target)
        self.objective.check(self.guide, target.dim)

    def init(self, key: Key, target: Target, candidates: Draws) -> tuple[GradientState, _start.Start]:
        key_guide, key_memory = jax.random.split(key)
        start = _start.find_start(target, candidates) if self._climbs else _start.no_search(target, candidates)
        params = self.guide.init(key_guide, start) if self.start is None else self.start
        memory = self.objective.begin(key_memory, params, self.guide, target, self.num_draws)
        rate = 1.0 if self.optimizer else self.guide.learning_rate(target.dim)
        dtype = start.location.dtype
        averages = no_averages(params, dtype)
        return GradientState(
            params, self.transformation.init(params), jnp.asarray(rate, dtype), averages, memory
        ), start

    @property
    def _climbs(self) -> bool:
        return self.start is None and self.guide.needs_start

    def begin_half(self, state: GradientState) -> GradientState:
        return state._replace(averages=begin_half(state.averages))

    def step(self, key: Key, state: GradientState, target: Target) -> tuple[GradientState, dict[str, Scalar]]:
        def loss_at(params: Params) -> tuple[Scalar, tuple[dict[str, Scalar], Any]]:
            loss, info, memory = self.objective.loss_with_memory(
                key, params, self.guide, target, self.num_draws, state.memory
            )
            return loss, (info, memory)

        (loss, (info, memory)), gradient = jax.value_and_grad(loss_at, has_aux=True)(state.params)
        own = self._in_own_coordinates(state.params, gradient)
        update, optimizer = self.transformation.update(own, state.optimizer, state.params)
        # A user's optimiser ends in a negative learning rate, as optax has it; the default one does not.
        sign = 1.0 if self.optimizer else -1.0
        params = self.guide.move(state.params, jax.tree.map(lambda u: sign * state.learning_rate * u, update))
        ok = jnp.isfinite(loss) & _all_finite(params)
        params, optimizer, memory = jax.tree.map(
            partial(jnp.where, ok), (params, optimizer, memory), (state.params, state.optimizer, state.memory)
        )
        averages = add(state.averages, params)
        state = state._replace(params=params, optimizer=optimizer, averages=averages, memory=memory)
        return state, {"loss": loss, **info, "ok": ok.astype(loss.dtype)}

    def _in_own_coordinates(self, params: Params, gradient: Params) -> Params:
        """d loss(move(params, step)) / d step at step = 0."""
        zero = jax.tree.map(jnp.zeros_like, params)
        _, pull_back = jax.vjp(lambda step: self.guide.move(params, step), zero)
        return pull_back(gradient)[0]

    def turn(self, key: Key, state: GradientState) -> Turn:
        first, second, whole = halves_and_whole(state.averages)
        q = self.guide.distribution
        change = divergence(key, q(state.averages.before), q(whole))
        return Turn(whole, change, divergence(key, q(first), q(second)), split_rhat(state.averages))

    @property
    def searches_rate(self) -> bool:
        return self.optimizer is None

    @property
    def spreads(self) -> bool:
        return self.guide.stratified

    def next_window(self, state: GradientState, average: Params, pace: float) -> GradientState:
        rate = np.asarray(state.learning_rate) * np.asarray(pace, state.learning_rate.dtype)
        state = state._replace(averages=state.averages._replace(before=average), learning_rate=rate)
        if pace < 1 or self.optimizer is not None:
            return state
        # On its way, Adam forgets at every turn, lest the gradients that it began with hold it up.
        return state._replace(optimizer=jax.tree.map(np.zeros_like, state.optimizer))

    def set_back(self, state: GradientState) -> GradientState:
        before = state.averages.before
        return state._replace(params=before, optimizer=self.transformation.init(before))

    def latest(self, state: GradientState) -> Params:
        return state.params

    def posterior(self, params: Params) -> Distribution:
        return self.guide.distribution(params)

    def num_gradients(self, target: Target, history: dict[str, np.ndarray]) -> float:
        begun = _start.num_gradients() * self._climbs + self.objective.gradients_to_begin(self.num_draws)
        return begun + len(history["loss"]) * self.objective.gradients_over(self.guide, self.num_draws)

    def collapsed(self, history: dict[str, np.ndarray]) -> bool:
        return self.objective.collapsed(history)

    def warnings(self, history: dict[str, np.ndarray]) -> list[str]:
        return self.objective.warnings(history)


def _all_finite(tree: Any) -> Array:
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def gradient(
    guide: Guide,
    objective: Objective,
    optimizer: optax.GradientTransformation | None = None,
    *,
    num_draws: int | None = None,
    start: Params | None = None,
) -> GradientMethod:
    """Fits a guide by stochastic gradients of an objective.

    Every step draws afresh, and is taken in the guide's own coordinates (`Guide.move`), so that the units and
    the scale of the model do not matter. The parameters are averaged over windows of steps. `fit` raises the learning
    rate while they travel (split R-hat above 1.5) and lowers it where a window went wrong; once they are at home (R-hat
    at most 1.1, a level loss) it lowers the rate and lengthens the windows until the average stands still within its
    own Monte-Carlo error, or until a smaller error, below 0.02 nats already, would cost more than all steps so far.

    Args:
        guide: the family, such as ``vi.FullRankNormal()``.
        objective: what is minimised, such as ``vi.ReverseKL()``.
        optimizer: an optax optimiser with its own learning rate, counted in the guide's own coordinates. By
            default Adam, at a rate of the guide's choice that `fit` searches from; it cuts entries of a gradient at ten
            times their own root-mean-square. A rate of your own is lowered only.
        num_draws: draws a step; by default the objective's own number (32 for reverse KL, 512 for forward KL).
        start: parameters of the guide to begin with, such as ``fit.params`` of an earlier fit; by default the guide's
            own, at a point of high density that is searched for.

    Returns:
        A method for `vi.fit`.

    Raises:
        TypeError: if a part is of the wrong kind, or a class was passed for its instance.
        ValueError: if ``num_draws`` is below 1.

    Example:
        >>> import optax, vi_toolkit as vi
        >>> method = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), optax.adam(0.05), num_draws=64)
        >>> method.num_draws
        64

    Source: Kucukelbir et al. (2017), arXiv:1603.00788; Dhaka et al. (2020), Robust, accurate stochastic optimization
    for variational inference, arXiv:2009.00666 (iterate averaging); Welandawe et al. (2022), Robust, automated, and
    accurate black-box variational inference, arXiv:2203.15945 (when to lower the rate, and when to stop).
    """
    check_instance(guide, Guide, "guide", "Use for example vi.FullRankNormal(), or vi.from_autoguide(...).")
    check_instance(objective, Objective, "objective", "Use for example vi.ReverseKL().")
    if optimizer is not None:
        check_instance(optimizer, optax.GradientTransformation, "optimizer", "Use for example optax.adam(0.05).")
    num_draws = check_positive_int(objective.num_draws if num_draws is None else num_draws, "num_draws")
    return GradientMethod(guide, objective, Optimizer(optimizer) if optimizer is not None else None, num_draws, start)
