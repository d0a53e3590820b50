"""Natural gradients of the ELBO of a mixture of normals, a trust region each, from every point ever looked at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass
from jaxtyping import Array
from numpyro.distributions import Distribution

from vi_toolkit import _start
from vi_toolkit._start import Start
from vi_toolkit._types import Draws, Key, Params, Scalar
from vi_toolkit.algorithms._each import where_each
from vi_toolkit.algorithms._known_points import Points, add, no_points
from vi_toolkit.algorithms._mixture_move import MixtureMove, move
from vi_toolkit.algorithms._mixture_start import found, of_params
from vi_toolkit.algorithms._mixture_state import Batch, Mixture, MixtureState, elbo, own_objectives
from vi_toolkit.algorithms._natural_trial import (
    ACCURACY,
    DISTANCES,
    MEAN_ACCURACY,
    PATIENCE,
    RETREAT,
    Trial,
    batch_size,
    judge,
    rounding,
    shrunk,
    words,
)
from vi_toolkit.algorithms._space import check_space
from vi_toolkit.algorithms.algorithm import Outcome, SelfEnding
from vi_toolkit.guides import FullRankNormal, MeanFieldNormal, NormalMixture
from vi_toolkit.guides.noise import quasi_random
from vi_toolkit.targets import Target

KNOWN = 4096  # points that are kept


@partial(register_dataclass, data_fields=["start"], meta_fields=["guide"])
@dataclass(frozen=True)
class MixtureNaturalGradient(SelfEnding):
    """Natural-gradient steps of a mixture of normals; made by `natural_gradient`."""

    distances: ClassVar[tuple[tuple[str, str], ...]] = DISTANCES
    guide: NormalMixture
    start: Params | None = None

    @property
    def family(self) -> FullRankNormal | MeanFieldNormal:
        """Of each component."""
        return cast(FullRankNormal | MeanFieldNormal, self.guide.covariance)

    @property
    def tracked(self) -> tuple[str, ...]:
        return ("loss", "elbo", "ok", "gradients", "length", "accuracy", "mean_accuracy", "rounding")

    @property
    def spreads(self) -> bool:
        return True

    def check(self, target: Target) -> None:
        self.guide.check(target.dim)
        check_space(self.guide, target)

    def init(self, key: Key, target: Target, candidates: Draws) -> tuple[MixtureState, Start]:
        size, dim, dtype = self.guide.num_components, target.dim, candidates.dtype
        if self.start is None:
            first, start, spent = found(key, target, candidates, size)
        else:
            components = self.start["components"]
            factor = self.family.factor(components).matrix()
            first = of_params(key, self.start["log_weights"], components["location"], factor)
            start, spent = _start.no_search(target, first.normals.location), jnp.zeros((), dtype)
        batch, zeros = batch_size(dim), jnp.zeros(size, dtype)
        state = MixtureState(
            proposal=first,
            anchors=first,
            batch=Batch(jnp.zeros((size, batch, dim), dtype), jnp.full((size, batch), -jnp.inf, dtype)),
            gain=zeros,
            length=zeros,
            points=no_points(self.num_batches(dim), batch, dim, dtype),
            radius=zeros + max(1.0, dim / 4),
            refused=jnp.zeros(size, int),
            rested=jnp.asarray(0),
            spent=spent,
            outcome=jnp.asarray(Outcome.GOES_ON.value),
        )
        return state, start

    def num_batches(self, dim: int) -> int:
        """How many of them are kept, of all components together."""
        size = self.guide.num_components
        return size * max(8, min(64, KNOWN // (size * batch_size(dim))))

    def step(self, key: Key, state: MixtureState, target: Target) -> tuple[MixtureState, dict[str, Scalar]]:
        batch, score = self._look(key, state.proposal, target)
        points = _added(state.points, state.proposal, batch, score)
        kept, radius = _judged(state, batch)
        normals, batch = where_each(kept, (state.proposal.normals, batch), (state.anchors.normals, state.batch))
        anchors = Mixture(state.proposal.log_weights, normals)
        refused = jnp.where(kept, 0, state.refused + 1)
        # A normal that keeps being preferred to its neighbours owes that to draws that missed where it fails.
        finite = jnp.all(jnp.isfinite(batch.value), axis=1)
        lost = ~finite | (refused % RETREAT == RETREAT - 1)
        moved = move(points, anchors, radius, ~finite, batch_size(target.dim), self.family.diagonal)
        bound = elbo(anchors, batch)
        smaller = jax.vmap(shrunk)(normals)
        following = moved.following._replace(normals=where_each(lost, smaller, moved.following.normals))
        batch = batch._replace(value=jnp.where(lost[:, None], -jnp.inf, batch.value))
        rested = state.rested + (jnp.all(kept | ~anchors.counts) & moved.rests)
        ended = self._outcome(state, moved, bound, kept, refused, rested, anchors)
        facts = {
            "loss": -bound,
            "elbo": bound,
            "ok": jnp.all(finite | ~anchors.counts).astype(bound.dtype),
            "gradients": batch.value.size + state.spent,
            "length": moved.total_length,
            "accuracy": moved.accuracy,
            "mean_accuracy": moved.mean_accuracy,
            "rounding": rounding(bound),
        }
        anchors = anchors._replace(normals=where_each(lost, smaller, anchors.normals))
        none = jnp.zeros_like(state.spent)
        return MixtureState(
            following, anchors, batch, moved.gain, moved.length, points, radius, refused, rested, none, ended
        ), facts

    def _look(self, key: Key, q: Mixture, target: Target) -> tuple[Batch, Array]:
        """Draws of every component, and the target there."""
        keys = jax.random.split(key, self.guide.num_components)
        dim, dtype = target.dim, q.log_weights.dtype
        half = jax.vmap(lambda key: quasi_random(key, batch_size(dim) // 2, dim, dtype))(keys)
        noise = jnp.concatenate([half, -half], axis=1)
        z = q.normals.location[:, None] + noise @ jnp.swapaxes(q.normals.factor, 1, 2)
        value, score = jax.vmap(jax.vmap(jax.value_and_grad(target.log_density)))(z)
        return Batch(z, value), score

    def _outcome(
        self, state: MixtureState, moved: MixtureMove, bound: Scalar, kept: Array, refused: Array, rested: Array,
        anchors: Mixture,
    ) -> Array:  # fmt: skip
        aside = ~anchors.counts
        precise = (moved.accuracy < ACCURACY) & (moved.mean_accuracy < MEAN_ACCURACY)
        enough = rested >= len(state.points.log_proposals) // (2 * self.guide.num_components)
        tired = jnp.any((refused > PATIENCE) & ~aside)
        rests = moved.rests & (moved.total_length < jnp.maximum(moved.accuracy, ACCURACY))
        return jnp.select(
            [tired & ~jnp.isfinite(bound), jnp.all(kept | aside) & rests & (precise | enough), tired],
            [Outcome.DIVERGED.value, Outcome.CONVERGED.value, Outcome.STALLED.value],
            Outcome.GOES_ON.value,
        )

    def outcome(self, state: MixtureState) -> Array:
        return state.outcome

    def latest(self, state: MixtureState) -> Params:
        converged = state.outcome == Outcome.CONVERGED.value
        q = jax.tree.map(partial(jnp.where, converged), state.proposal, state.anchors)
        components = jax.vmap(self.family.of_normal)(q.normals.location, q.normals.factor)
        return {"log_weights": q.log_weights, "components": components}

    def posterior(self, params: Params) -> Distribution:
        return self.guide.distribution(params)

    def warnings(self, history: dict[str, np.ndarray]) -> list[str]:
        return words(history, "its mean")


def _added(points: Points, q: Mixture, batch: Batch, score: Array) -> Points:
    """The points with the batches of all components."""

    def one(points: Points, of_one: Any) -> tuple[Points, None]:
        normal, z, value, score = of_one
        return add(points, normal, z, value, score), None

    return jax.lax.scan(one, points, (q.normals, batch.z, batch.value, score))[0]


def _judged(state: MixtureState, batch: Batch) -> tuple[Array, Array]:
    """Which of the new normals are kept, and the radii of the next steps, each by the component's own objective.

    A component that gives way to others is predicted to lose by that; it is held to the prediction all the same.
    """
    before, error_before = own_objectives(state.anchors, state.batch, state.anchors.normals)
    after, error = own_objectives(state.anchors, batch, state.proposal.normals)
    loses = jnp.abs(state.gain) - state.gain
    trial = Trial(state.anchors.normals, before, error_before, jnp.abs(state.gain), state.length)
    return jax.vmap(judge)(trial, after + loses, error, state.radius)
