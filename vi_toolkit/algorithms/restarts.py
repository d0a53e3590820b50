"""Restarts: many runs of one method side by side, each from a region of its own, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass
from jaxtyping import Array
from numpyro.distributions import Distribution

from vi_toolkit._checks import check_instance, check_positive_int, describe
from vi_toolkit._start import Start
from vi_toolkit._types import Draws, Key, Params, Scalar
from vi_toolkit.algorithms._diverse_starts import diverse_candidates, search_gradients
from vi_toolkit.algorithms._each import where_each
from vi_toolkit.algorithms._run_mixture import leading, run_mixture
from vi_toolkit.algorithms._run_state import RunsState, apart, strong, together, words_of_runs
from vi_toolkit.algorithms._stacking import BLOCK, BLOCKS, MAX_ASCENTS, NONE, RunDraws, RunValues, Weighed, weigh
from vi_toolkit.algorithms.algorithm import Method, Outcome, Turn
from vi_toolkit.algorithms.natural_gradient import NaturalGradient
from vi_toolkit.targets import Target

ASCENTS = {"best": 0, "mixture": 1, "stack": MAX_ASCENTS}  # steps from equal weights
EARLY = 4 ** np.arange(10)  # steps after which the runs are weighed with few draws, for fits that are cut short
ALIKE = 0.01  # nats, within which a run that converged is preferred
AFTERWARDS = {
    "best": 'Only the first is reported; combine="stack" gives a mixture.',
    "mixture": "Each restart that did not fail has a share in the mixture.",
    "stack": "Those that raise the ELBO of the mixture have a share in it.",
}
GIVEN_UP = 256  # steps, after which a run that was found to have failed is ended
KEPT = 1e-3  # of the weight, below which a run does not count


@partial(register_dataclass, data_fields=["method"], meta_fields=["num", "combine"])
@dataclass(frozen=True)
class Restarts(Method):
    """Many runs of one method; made by `restarts`."""

    method: Method
    num: int
    combine: str

    @property
    def max_steps(self) -> int:  # type: ignore[override]
        return self.method.max_steps

    @property
    def ends_itself(self) -> bool:  # type: ignore[override]
        return self.method.ends_itself

    @property
    def distances(self) -> tuple[tuple[str, str], ...]:  # type: ignore[override]
        return self.method.distances

    @property
    def searches_rate(self) -> bool:
        return self.method.searches_rate

    @property
    def tracked(self) -> tuple[str, ...]:
        return (*self.method.tracked, "going", "failed", "combining")

    def check(self, target: Target) -> None:
        self.method.check(target)

    def init(self, key: Key, target: Target, candidates: Draws) -> tuple[RunsState, Start]:
        key_regions, key_runs = jax.random.split(key)
        regions = diverse_candidates(key_regions, target, candidates, self.num, self.method.spreads)
        one = self.method.as_one_of_many() if self.num > 1 else self.method
        runs, starts = jax.vmap(one.init, in_axes=(0, None, 0))(jax.random.split(key_runs, self.num), target, regions)
        dtype = starts.location.dtype
        each = jnp.zeros(self.num, dtype)
        state = RunsState(
            runs=strong(runs),
            facts=dict.fromkeys(self.method.tracked, each),
            outcomes=jnp.where(starts.finite, Outcome.GOES_ON.value, Outcome.DIVERGED.value).astype(int),
            weighed=Weighed(each, each, jnp.zeros((self.num, self.num), dtype)),
            taken=jnp.asarray(0, int),
            halves=jnp.asarray(0, int),
            due=jnp.asarray(False),
            spent=jnp.asarray(search_gradients(self.num), dtype),
            outcome=jnp.asarray(Outcome.GOES_ON.value, int),
        )
        return state, jax.tree.map(lambda leaf: leaf[jnp.argmax(starts.finite)], starts)

    def begin_half(self, state: RunsState) -> RunsState:
        if self.ends_itself:
            return state
        halves = state.halves + 1
        # In the middle of a window: the average over its first half is what the window will report, up to its noise.
        return state._replace(runs=jax.vmap(self.method.begin_half)(state.runs), halves=halves, due=halves % 2 == 0)

    def step(self, key: Key, state: RunsState, target: Target) -> tuple[RunsState, dict[str, Scalar]]:
        key_runs, key_look = jax.random.split(key)
        going = state.outcomes == Outcome.GOES_ON.value
        # All runs share their noise: it costs as much as all else in a step, and what differs is where they are.
        runs, facts = jax.vmap(self.method.step, in_axes=(None, 0, None))(key_runs, state.runs, target)
        facts = {name: value.astype(state.facts["loss"].dtype) for name, value in facts.items()}
        runs, facts = where_each(going, (runs, facts), (state.runs, state.facts))
        outcomes = jnp.where(going, jax.vmap(self.method.outcome)(runs), state.outcomes).astype(int)
        ended = jnp.all(outcomes != Outcome.GOES_ON.value)
        full, taken = ended | state.due, state.taken + 1
        state = state._replace(runs=runs, facts=facts, outcomes=outcomes, taken=taken, due=jnp.asarray(False))
        early = jnp.any(taken == EARLY)
        blocks = jnp.where(full, BLOCKS, early)
        weighed = jax.lax.cond(
            full | early,
            partial(self._weigh, key_look, target, blocks),
            lambda *_: state.weighed,
            self._reported(key_look, runs),
            outcomes,
        )
        combining = state.spent + blocks * BLOCK * self.num / 3
        if self.ends_itself:  # a run that failed may look for a way out without end
            hopeless = jnp.isneginf(weighed.elbo) & (taken >= GIVEN_UP)
            outcomes = jnp.where(going & hopeless, Outcome.DIVERGED.value, outcomes).astype(int)
        state = state._replace(weighed=weighed, outcomes=outcomes, spent=jnp.zeros_like(state.spent))
        state = state._replace(outcome=jnp.where(ended, self._outcome(state), state.outcome))
        return state, self._facts(state, going, combining)

    def _reported(self, key: Key, runs: Any) -> Params:
        """The parameters of the runs as they would be reported."""
        turns: Turn = jax.vmap(self.method.turn, in_axes=(None, 0))(key, runs)
        return turns.params

    def _weigh(self, key: Key, target: Target, blocks: Array, runs: Params, outcomes: Array) -> Weighed:
        """What draws of all runs say of them."""
        draws = RunDraws(key, self.method.posterior, runs)
        found = weigh(draws, target, outcomes == Outcome.DIVERGED.value, blocks, ASCENTS[self.combine])
        if self.combine != "best":
            return found
        rank = found.elbo + ALIKE * (outcomes == Outcome.CONVERGED.value)
        best = jnp.arange(self.num) == jnp.argmax(jnp.where(jnp.isfinite(rank), rank, -jnp.inf))
        return found._replace(log_weights=jnp.where(best, 0.0, NONE).astype(found.elbo.dtype))

    def _outcome(self, state: RunsState) -> Array:
        """CONVERGED where a run that counts has; else that of the run that counts most."""
        log_weights, elbo, _ = state.weighed
        kept = jax.nn.softmax(log_weights) > KEPT
        well = jnp.any(kept & (state.outcomes == Outcome.CONVERGED.value))
        ended = jnp.where(well, Outcome.CONVERGED.value, state.outcomes[jnp.argmax(log_weights)])
        return jnp.where(jnp.any(jnp.isfinite(elbo)), ended, Outcome.DIVERGED.value)

    def _facts(self, state: RunsState, going: Array, combining: Scalar) -> dict[str, Scalar]:
        """Those of the run that counts most; a step was skipped where every run skipped it.

        Runs that share windows are judged together, by the mean loss of those that have not failed.
        """
        leader = jnp.argmax(state.weighed.log_weights)
        facts = {name: value[leader] for name, value in state.facts.items()}
        if not self.ends_itself:
            losses = state.facts["loss"]
            facts["loss"] = jnp.mean(losses, where=jnp.isfinite(losses) & ~jnp.isneginf(state.weighed.elbo))
        facts["ok"] = jnp.max(jnp.where(going | ~going.any(), state.facts["ok"], 0.0))
        if "gradients" in facts:
            facts["gradients"] = jnp.sum(jnp.where(going, state.facts["gradients"], 0.0)) + combining
        failed = jnp.isneginf(state.weighed.elbo).sum()
        numbers = {"going": going.sum(), "failed": failed, "combining": combining}
        return facts | {name: value.astype(facts["loss"].dtype) for name, value in numbers.items()}

    def outcome(self, state: RunsState) -> Array:
        return state.outcome

    def turn(self, key: Key, state: RunsState) -> Turn:
        turns = jax.vmap(self.method.turn, in_axes=(None, 0))(key, state.runs)
        counts = ~jnp.isneginf(state.weighed.elbo)
        counts = counts | ~counts.any()

        def worst(values: RunValues) -> Scalar:
            return jnp.max(jnp.where(counts, values, -jnp.inf)).astype(values.dtype)

        scalars = {name: worst(getattr(turns, name)) for name in Turn._fields if name != "params"}
        return turns._replace(params=self._params(turns.params, state.weighed), **scalars)

    def next_window(self, state: RunsState, average: Params, pace: float) -> RunsState:
        pairs = zip(apart(state.runs, self.num), apart(average["runs"], self.num), strict=True)
        return state._replace(runs=together([self.method.next_window(*pair, pace) for pair in pairs]))

    def set_back(self, state: RunsState) -> RunsState:
        return state._replace(runs=together([self.method.set_back(run) for run in apart(state.runs, self.num)]))

    def latest(self, state: RunsState) -> Params:
        return self._params(jax.vmap(self.method.latest)(state.runs), state.weighed)

    def _params(self, runs: Params, weighed: Weighed) -> Params:
        return {"runs": runs, **weighed._asdict()}

    def posterior(self, params: Params) -> Distribution:
        if self.combine == "best":
            return self.method.posterior(leading(params))
        return run_mixture(self.method, params["runs"], params["log_weights"])

    def num_gradients(self, target: Target, history: dict[str, np.ndarray]) -> float:
        if self.ends_itself:
            return float(np.sum(history["gradients"])) if "gradients" in history else 0.0
        combining = float(np.sum(history["combining"])) if "combining" in history else 0.0
        return self.num * self.method.num_gradients(target, history) + combining

    def collapsed(self, history: dict[str, np.ndarray]) -> bool:
        return self.method.collapsed(history)

    def warnings(self, history: dict[str, np.ndarray]) -> list[str]:
        return self.method.warnings(history)

    def remarks(self, target: Target, params: Params) -> list[str]:
        elbo, between = np.asarray(params["elbo"]), np.asarray(params["apart"])
        return self.method.remarks(target, leading(params)) + words_of_runs(elbo, between, AFTERWARDS[self.combine])


def restarts(method: Method, num: int = 8, combine: str = "best") -> Restarts:
    """Many runs of one method at once, each from a region of its own; the best of them, or a mixture.

        best:     q = q_k with the highest ELBO_k = E_k[log p~ - log q_k]                              (nats)
        stack:    q = sum_k w_k q_k,   w = argmax sum_k w_k E_k[log p~ - log sum_j w_j q_j]
        mixture:  q = sum_k w_k q_k,   w_k = exp(E_k[log p~ - log sum_j q_j]) / sum

    A fit by reverse KL takes one mode and does not know of any other. The runs begin in regions from which short climbs
    end far apart, the first run where a single fit would, so that every mode that a climb reached has a run before any
    has two; one that no climb reaches, from between -2 and 2 or from the prior, is not found. All take their steps in
    one compiled program, with the same noise. ``fit.warnings`` say how many runs
    failed, and in how many places apart (by more than 1 nat, the two divergences added) the others ended.

    The weights of "stack" are those of the highest ELBO that a mixture of the runs can have; the problem is concave,
    and a run that adds nothing gets next to none. Those of "mixture" are the first step of its ascent from equal
    weights: runs in one place have equal parts in it, and a place counts as exp(ELBO), however many runs ended there.
    For runs that are each either in one place or apart, both are the same mixture. Where a run fits its mode badly, the
    weight falls short of the mode's mass by exp(-D(q_k || p there)); `vi.reweight` mends that.

    The runs are weighed by 1,024 fresh draws of each, from common noise: where a method knows its end, once all runs
    have ended; else in the middle of each window, where the averages stand still before the fit ends. So that a fit
    that is cut short has weights too, 64 draws are looked at after 1, 4, 16, ... steps. A run whose density is not
    finite at more than 1 % of its draws, or that diverged, has failed and counts nothing.

    ``fit.params`` are, with a leading axis of runs, ``runs`` (the method's own parameters), ``log_weights``, ``elbo``
    (-inf of a run that failed) and ``apart`` (runs, runs), the divergences of each pair, added. The history is that of
    the run that counts most, with ``going`` and ``failed``, how many runs go on and have failed, and ``combining``, the
    gradients that weighing took. A method with windows (`vi.gradient`) has the same for all runs, judged by the mean of
    their losses and the worst change and noise; one that knows its end leaves each run as it ended, and is CONVERGED
    where a run with a part in the result is.

    Args:
        method: such as ``vi.gradient(guide, objective)`` or ``vi.natural_gradient()``.
        num: how many runs.
        combine: "best", "stack" or "mixture".

    Returns:
        A method for `vi.fit`.

    Raises:
        TypeError: if ``method`` is none, or is itself of restarts; if ``num`` is not a whole number.
        ValueError: if ``num`` is below 1, ``combine`` is another word, or the method has a start of its own.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> exact = vi.zoo.two_modes(separation=8.0, weights=(0.3, 0.7), dim=1)
        >>> fit = vi.fit(jax.random.key(0), exact.target, vi.restarts(vi.natural_gradient(), 4, "stack"))
        >>> fit.status.name, fit.posterior.mean.round(2), exact.mean.round(2)
        ('CONVERGED', Array([1.6], dtype=float64), array([1.6]))

    Source: Yao, Vehtari, Simpson & Gelman (2018), Using stacking to average Bayesian predictive distributions,
    arXiv:1704.02030 (weights by optimisation); Morningstar et al. (2021), Automatic differentiation variational
    inference with mixtures, arXiv:2003.01687 (the ELBO of a mixture); Beck & Teboulle (2003), Mirror descent and
    nonlinear projected subgradient methods for convex optimization, doi:10.1016/S0167-6377(02)00231-6 (the ascent).
    """
    check_instance(method, Method, "method", "Make one with vi.gradient(guide, objective) or vi.natural_gradient().")
    if isinstance(method, Restarts):
        raise TypeError("method: expected one that is run once, got restarts already. Raise their num instead.")
    if getattr(method, "start", None) is not None and not isinstance(method, NaturalGradient):
        raise ValueError(
            "method: expected one that looks for its own start, got one with start=..., from which all runs would "
            "begin alike. Leave start out."
        )
    if combine not in ASCENTS:
        raise ValueError(
            f'combine: expected one of {", ".join(map(repr, ASCENTS))}, got {describe(combine)}. Use "best" for one of '
            'the runs, "stack" for a mixture of them.'
        )
    return Restarts(method, check_positive_int(num, "num"), combine)
