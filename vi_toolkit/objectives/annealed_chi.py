"""Chi-square divergence by annealed importance sampling with a memory: for flows on targets of many modes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass
from jaxtyping import Array, Int

from vi_toolkit._checks import check_positive, check_positive_int
from vi_toolkit._types import Density, Key, LogWeights, Params, Scalar
from vi_toolkit.guides import Guide
from vi_toolkit.objectives import _annealed_run, _buffer
from vi_toolkit.objectives._annealed_run import FACTS, Sampler, first_sampler
from vi_toolkit.objectives._buffer import Buffer
from vi_toolkit.objectives.objective import Objective

FIRST_RUNS = 4  # annealed runs before the first step, at most
MIN_SHARE = 0.25  # effective points of the memory, as a share of the draws of a step, below which weights are tempered
MIN_EFFECTIVE = 16.0  # points of the memory, below which a fit has collapsed


class AnnealedMemory(NamedTuple):
    """What is carried from step to step."""

    buffer: Buffer
    sampler: Sampler
    facts: dict[str, Scalar]  # of the newest run
    temper: Scalar  # the power of the weights by which points are drawn
    steps: Int[Array, ""]


@partial(
    register_dataclass,
    data_fields=[],
    meta_fields=["num_temperatures", "num_leapfrogs", "every", "num_runs", "acceptance"],
)
@dataclass(frozen=True)
class AnnealedChi(Objective):
    """The chi-square divergence (alpha = 2), with draws that are annealed to where p^2 / q is large, and remembered.

        loss = 1/2 log E_q[(p~(z) / q(z))^2] = log Z + 1/2 D_2(p || q)        (nats)

    with Renyi's D_2: the loss of ``vi.Chi(2)``, an upper bound of the log evidence. It is mass-covering, and its
    minimiser does not depend on Z. Draws of q alone do not find the modes that q lacks. So:

    - every ``every`` steps, ``num_draws`` draws of q are moved by Hamiltonian Monte Carlo through ``num_temperatures``
      densities q^(1 - b) g^b towards g = p~^2 / q, with annealed importance weights w, whose mean is E_q[(p~/q)^2]
      without bias;
    - points and weights are kept in a memory of the last ``num_runs`` runs. Every step draws ``num_draws`` points from
      it in proportion to w, and takes the gradient

          -1/2 sum_i v_i grad log q(z_i),    v_i proportional to q_old(z_i) / q(z_i),

      q_old being the q that the weight refers to; then the weights of these points are made to refer to the new q;
    - while the memory holds few effective points (fewer than a quarter of ``num_draws``), weights are flattened,
      w^temper, until it does not, so that q approaches p by steps instead of collapsing onto one point.

    The gradient is normalised by its own weights: biased by O(1 / num_draws), and by what the memory does not hold. The
    value of the loss is that of the newest run; as a logarithm it is too low while weights vary. Step sizes follow the
    acceptance at each temperature, and are counted in the standard deviations of the draws of q. In the history:
    ``elbo`` and ``ess`` of the newest draws of q (weights p~/q; ``ess`` is a share of the draws), ``ess_annealed``
    (that of w), ``ess_memory`` (the effective *number* of points in the memory, before flattening), ``temper``, and the
    mean ``acceptance``. `loss` by itself, outside a fit, is one annealed run without memory.

    Begin wide: where q's tails are lighter than those of p^2, g cannot be normalised, and the weights say little until
    q has grown. A flow is begun at a wide normal by ``vi.gradient(flow, objective, start=flow.start_at(key, normal))``.

    Args:
        num_temperatures: densities between q and g.
        num_leapfrogs: leapfrog steps at each of them.
        every: gradient steps for one annealed run.
        num_runs: annealed runs that are remembered.
        acceptance: the mean acceptance that step sizes are adapted to, between 0 and 1.

    Raises:
        TypeError, ValueError: if a setting is not a whole number of at least 1, or ``acceptance`` is not between 0 and
            1; when a fit begins, if the guide is costly to score or discrete.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: 7.0 - 0.5 * jnp.sum((z - 2.0) ** 2), dim=1)
        >>> method = vi.gradient(vi.FullRankNormal(), vi.AnnealedChi(num_temperatures=2, num_leapfrogs=3))
        >>> fit = vi.fit(jax.random.key(0), target, method)
        >>> round(float(fit.posterior.mean[0]), 1), round(float(fit.posterior.variance[0]), 1)
        (2.0, 1.0)

    Source: Midgley, Stimper, Simm, Schoelkopf & Hernandez-Lobato (2023), Flow annealed importance sampling bootstrap,
    arXiv:2208.01893. There the v_i are not normalised, and points are drawn from the memory without replacement; here
    they are drawn systematically. The flattening is ours.
    """

    num_temperatures: int = 4
    num_leapfrogs: int = 5
    every: int = 4
    num_runs: int = 32
    acceptance: float | int = 0.65

    num_draws: ClassVar[int] = 512

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name != "acceptance":
                check_positive_int(getattr(self, field.name), field.name)
        if not check_positive(self.acceptance, "acceptance") < 1:
            raise ValueError(f"acceptance: expected a number between 0 and 1, got {self.acceptance}. 0.65 is usual.")

    def check(self, guide: Guide, dim: Any) -> None:
        """The guide must be cheap to score, and continuous."""
        if not guide.scores_cheaply:
            raise ValueError(
                f"guide: {guide} does not go with AnnealedChi, which asks for log q and its gradient at many given "
                "points, found by this guide only by a costly inversion. Use for example vi.SplineCouplingFlow()."
            )
        if not guide.reparameterised:
            raise ValueError(f"guide: {guide} is discrete, and AnnealedChi moves draws along gradients of log q.")

    @property
    def tracked(self) -> tuple[str, ...]:
        """Of the newest annealed run, and of the memory."""
        return ("elbo", "ess", "ess_annealed", "ess_memory", "acceptance", "temper")

    def gradients_per_step(self, num_draws: int) -> float:
        """One run's, shared among the steps that it serves."""
        return self._gradients_of_a_run(num_draws) / self.every

    def gradients_to_begin(self, num_draws: int) -> float:
        """Those of the runs before the first step."""
        return self._gradients_of_a_run(num_draws) * min(FIRST_RUNS, self.num_runs)

    def _gradients_of_a_run(self, num_draws: int) -> float:
        return float(num_draws * (1 + self.num_temperatures * self.num_leapfrogs))

    def collapsed(self, history: dict[str, Any]) -> bool:
        """Whether the memory rested on a few points."""
        return bool(np.median(history["ess_memory"]) < MIN_EFFECTIVE)

    def warnings(self, history: dict[str, Any]) -> list[str]:
        """Says so when the weights were flattened to the end, or the transitions hardly moved."""
        flattened, accepted = float(np.mean(history["temper"] < 1)), float(np.mean(history["acceptance"]))
        said = []
        if flattened >= 0.05:
            said.append(
                f"annealed chi-square: in {100 * flattened:.0f} % of the last steps the weights were flattened for "
                f"want of effective points ({np.median(history['ess_memory']):.2g}, median): the fit may lack modes "
                "or be off. Take more steps, raise num_temperatures or num_draws, or begin wider."
            )
        if accepted < 0.2:
            said.append(
                f"annealed chi-square: {100 * accepted:.2g} % of the Hamiltonian transitions were accepted, so that "
                "annealing did little. Lower num_leapfrogs, or begin at a guide of the target's width."
            )
        return said

    def begin(self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> AnnealedMemory:
        """A memory of the first runs, in the course of which the step sizes are adapted."""
        key_scale, key_runs = jax.random.split(key)
        drawn = guide.draw(key_scale, params, num_draws)
        memory = AnnealedMemory(
            buffer=_buffer.empty(self.num_runs * len(drawn.points), drawn.points),
            sampler=first_sampler(drawn, self.num_temperatures),
            facts=dict.fromkeys(FACTS, jnp.zeros((), drawn.points.dtype)),
            temper=jnp.ones((), drawn.points.dtype),
            steps=jnp.zeros((), jnp.int32),
        )

        def fill(memory: AnnealedMemory, key: Key) -> tuple[AnnealedMemory, None]:
            return self._run(key, params, guide, target, num_draws, memory), None

        return jax.lax.scan(fill, memory, jax.random.split(key_runs, min(FIRST_RUNS, self.num_runs)))[0]

    def loss_with_memory(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int, memory: AnnealedMemory
    ) -> tuple[Scalar, dict[str, Scalar], AnnealedMemory]:
        """The newest run's estimate, with the gradient by points of the memory."""
        key_run, key_pick = jax.random.split(key)
        fixed = jax.lax.stop_gradient(params)
        due = memory.steps % self.every == self.every - 1
        run = partial(self._run, key_run, fixed, guide, target, num_draws)
        memory = jax.lax.cond(due, run, lambda memory: memory, memory)
        places = _buffer.pick(key_pick, memory.buffer, num_draws, memory.temper)
        log_q = guide.distribution(params).log_prob(memory.buffer.points[places])
        log_q_now = jax.lax.stop_gradient(log_q)
        loss = _loss(memory.facts["loss"], memory.temper * (memory.buffer.log_q[places] - log_q_now), log_q)
        buffer = _buffer.refer(memory.buffer, places, log_q_now)
        facts = memory.facts | {"ess_memory": _buffer.effective(buffer), "temper": memory.temper}
        del facts["loss"]  # it is in the history by itself
        return loss, facts, memory._replace(buffer=buffer, steps=memory.steps + 1)

    def loss(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """One annealed run's estimate, with the gradient by its points."""
        key_scale, key_run = jax.random.split(key)
        fixed = jax.lax.stop_gradient(params)
        sampler = first_sampler(guide.draw(key_scale, fixed, num_draws), self.num_temperatures)
        annealed, _, facts = _annealed_run.run(
            key_run, fixed, guide, target, num_draws, sampler, self.num_leapfrogs, float(self.acceptance)
        )
        log_q = guide.distribution(params).log_prob(annealed.place.points)
        facts |= {"ess_memory": facts["ess_annealed"] * len(log_q), "temper": jnp.ones_like(facts["elbo"])}
        return _loss(facts.pop("loss"), annealed.log_weights, log_q), facts

    def _run(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int, memory: AnnealedMemory
    ) -> AnnealedMemory:
        """The memory with one annealed run more."""
        annealed, sampler, facts = _annealed_run.run(
            key, params, guide, target, num_draws, memory.sampler, self.num_leapfrogs, float(self.acceptance)
        )
        place = annealed.place
        buffer = _buffer.add(memory.buffer, place.points, annealed.log_weights, place.log_q)
        temper = _buffer.temper(buffer, MIN_SHARE * num_draws)
        return memory._replace(buffer=buffer, sampler=sampler, facts=facts, temper=temper)


def _loss(value: Scalar, log_weights: LogWeights, log_q: LogWeights) -> Scalar:
    """A value with the gradient -1/2 sum_i v_i grad log q(z_i), v_i the normalised weights."""
    v = jax.lax.stop_gradient(jax.nn.softmax(log_weights))
    surrogate = -0.5 * jnp.sum(jnp.where(v > 0, v * log_q, 0.0))
    return value + surrogate - jax.lax.stop_gradient(surrogate)
