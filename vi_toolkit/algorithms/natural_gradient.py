"""Natural gradients of the ELBO of a normal, within trust regions, from every point ever looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass
from jaxtyping import Array
from numpyro.distributions import Distribution

from vi_toolkit._checks import check_instance
from vi_toolkit._start import NUM_STARTS, Start
from vi_toolkit._types import Draws, Key, LogWeights, Params, Scalar
from vi_toolkit.algorithms._known_points import Normal, Points, add, no_points, seen_from
from vi_toolkit.algorithms._natural_trial import (
    ACCURACY,
    DISTANCES,
    MEAN_ACCURACY,
    PATIENCE,
    RETREAT,
    Move,
    NaturalState,
    Trial,
    batch_size,
    elbo_of_pairs,
    judge,
    rounding,
    seen_back,
    shrunk,
    words,
)
from vi_toolkit.algorithms._score_regression import errors, regress, weights
from vi_toolkit.algorithms._scouts import place
from vi_toolkit.algorithms._settle import REACH, settle
from vi_toolkit.algorithms._space import check_space
from vi_toolkit.algorithms._trust_region import step_within
from vi_toolkit.algorithms.algorithm import Outcome, SelfEnding
from vi_toolkit.algorithms.mixture_natural_gradient import MixtureNaturalGradient
from vi_toolkit.guides import FullRankNormal, Guide, MeanFieldNormal, NormalMixture
from vi_toolkit.guides.noise import quasi_random
from vi_toolkit.targets import Target

NormalGuide = FullRankNormal | MeanFieldNormal


@partial(register_dataclass, data_fields=["start"], meta_fields=["guide"])
@dataclass(frozen=True)
class NaturalGradient(SelfEnding):
    """Natural-gradient steps of a normal guide; made by `natural_gradient`."""

    distances: ClassVar[tuple[tuple[str, str], ...]] = DISTANCES
    guide: NormalGuide
    start: int | Array = 0  # where climbs from all candidates say, or round at the n-th candidate

    @property
    def tracked(self) -> tuple[str, ...]:
        return ("loss", "elbo", "ok", "gradients", "length", "radius", "accuracy", "mean_accuracy", "rounding")

    def as_one_of_many(self) -> NaturalGradient:
        return replace(self, start=1)

    def check(self, target: Target) -> None:
        self.guide.check(target.dim)
        check_space(self.guide, target)

    def init(self, key: Key, target: Target, candidates: Draws) -> tuple[NaturalState, Start]:
        location, scale, _, gradients = place(key, target, candidates, self.start)
        value, score = jax.value_and_grad(target.log_density)(location)
        dim, dtype = target.dim, location.dtype
        first = Normal(location, jnp.diag(scale), jnp.diag(1 / scale))
        zero = jnp.zeros((), dtype)
        points = no_points(self.num_batches(dim), batch_size(dim), dim, dtype)
        state = NaturalState(
            proposal=first,
            trial=Trial(first, zero - jnp.inf, zero, zero, zero),
            points=points,
            radius=jnp.maximum(1.0, zero + dim / 4),
            refused=jnp.asarray(0),
            rested=jnp.asarray(0),
            spent=zero + 1 + gradients,
            outcome=jnp.asarray(Outcome.GOES_ON.value),
        )
        finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(score))
        return state, Start(location, scale, candidates[:NUM_STARTS], finite)

    def num_batches(self, dim: int) -> int:
        """How many of them are kept."""
        return max(16, min(64, 4096 // batch_size(dim)))

    def step(self, key: Key, state: NaturalState, target: Target) -> tuple[NaturalState, dict[str, Scalar]]:
        z, value, score, elbo, error = self._look(key, state.proposal, target)
        points = add(state.points, state.proposal, z, value, score)
        kept, radius = judge(state.trial, elbo, error, state.radius)
        anchor, elbo, error = jax.tree.map(
            partial(jnp.where, kept),
            (state.proposal, elbo, error),
            (state.trial.anchor, state.trial.elbo, state.trial.error),
        )
        refused = jnp.where(kept, 0, state.refused + 1)
        move = self._move(points, anchor, radius)
        # A normal that keeps being preferred to its neighbours owes that to draws that missed where it fails.
        lost = ~jnp.isfinite(elbo) | (refused % RETREAT == RETREAT - 1)
        anchor, following = jax.tree.map(
            partial(jnp.where, lost), (shrunk(anchor), shrunk(anchor)), (anchor, move.following)
        )
        rested = state.rested + (kept & move.rests)
        ended = self._outcome(state, move, elbo, kept, refused, rested)
        following = jax.tree.map(partial(jnp.where, ended == Outcome.DIVERGED.value), anchor, following)
        facts = {
            "loss": -elbo,
            "elbo": elbo,
            "ok": jnp.all(jnp.isfinite(value)).astype(elbo.dtype),
            "gradients": len(z) + state.spent,
            "length": move.length,
            "radius": radius,
            "accuracy": move.accuracy,
            "mean_accuracy": move.mean_accuracy,
            "rounding": rounding(elbo),
        }
        trial = Trial(anchor, jnp.where(lost, -jnp.inf, elbo), error, move.gain, move.length)
        none = jnp.zeros_like(state.spent)
        return NaturalState(following, trial, points, radius, refused, rested, none, ended), facts

    def _look(self, key: Key, q: Normal, target: Target) -> tuple[Draws, LogWeights, Draws, Scalar, Scalar]:
        """A batch of q, the target there, and the ELBO with its standard error."""
        half = quasi_random(key, batch_size(target.dim) // 2, target.dim, q.location.dtype)
        noise = jnp.concatenate([half, -half])
        z = q.location + noise @ q.factor.T
        value, score = jax.vmap(jax.value_and_grad(target.log_density))(z)
        return z, value, score, *elbo_of_pairs(value, noise, q)

    def _move(self, points: Points, anchor: Normal, radius: Scalar) -> Move:
        """Where the points say that q should go from the anchor."""
        view, diagonal = seen_from(points, anchor), self.guide.diagonal
        zero = jnp.zeros_like(anchor.location)
        here = weights(view, zero, jnp.eye(len(zero), dtype=zero.dtype))
        quadratic = regress(view, here, zero, diagonal)
        uncertain = errors(quadratic, here, diagonal)
        plain = step_within(quadratic.slope, quadratic.curvature, radius)
        settled = settle(view, batch_size(len(zero)), diagonal)
        near = (plain.damping == 0) & (plain.divergence < REACH)
        mean, covariance, length = jax.tree.map(
            partial(jnp.where, near),
            (settled.mean, settled.covariance, settled.divergence),
            (plain.mean, plain.covariance, plain.divergence),
        )
        sds = jnp.linalg.norm(anchor.factor, axis=1)
        return Move(
            following=seen_back(anchor, mean, covariance),
            length=length,
            gain=plain.gain,
            rests=near & settled.at_rest & (length < jnp.maximum(uncertain.nats, ACCURACY)),
            accuracy=uncertain.nats,
            mean_accuracy=jnp.max(jnp.linalg.norm(anchor.factor * uncertain.mean, axis=1) / sds),
        )

    def _outcome(
        self, state: NaturalState, move: Move, elbo: Scalar, kept: Array, refused: Array, rested: Array
    ) -> Array:
        precise = (move.accuracy < ACCURACY) & (move.mean_accuracy < MEAN_ACCURACY)
        enough = rested >= len(state.points.log_proposals) // 2
        tired = refused > PATIENCE
        impossible = ~jnp.all(jnp.isfinite(move.following.factor)) | (tired & ~jnp.isfinite(elbo))
        return jnp.select(
            [impossible, kept & move.rests & (precise | enough), tired],
            [Outcome.DIVERGED.value, Outcome.CONVERGED.value, Outcome.STALLED.value],
            Outcome.GOES_ON.value,
        )

    def outcome(self, state: NaturalState) -> Array:
        return state.outcome

    def latest(self, state: NaturalState) -> Params:
        q = jax.tree.map(
            lambda new, old: jnp.where(state.outcome == Outcome.CONVERGED.value, new, old),
            state.proposal,
            state.trial.anchor,
        )
        return self.guide.of_normal(q.location, q.factor)

    def posterior(self, params: Params) -> Distribution:
        return self.guide.distribution(params)

    def warnings(self, history: dict[str, np.ndarray]) -> list[str]:
        return words(history, "a mean")


def natural_gradient(
    guide: Guide | None = None, *, start: Params | None = None
) -> NaturalGradient | MixtureNaturalGradient:
    """Fits a normal, or a mixture of normals, by natural gradients: no learning rate, steps, or start to choose.

    The ELBO of q = N(m, S) is at its best where E_q[grad log p~] = 0 and -E_q[Hessian of log p~] = S^-1. Each step

    1. draws a batch from the present q (randomised quasi-Monte-Carlo, in mirrored pairs) and takes scores there;
    2. regresses the scores on the points, by weighted least squares: the slope of that regression is E_q[Hessian], its
       value at m is E_q[gradient] (Stein's identity). It is exact where log p~ is quadratic, whatever the points, so
       one step solves a Gaussian, and noise comes from what is not quadratic alone;
    3. goes where the quadratic has its highest ELBO, S^-1 <- -E_q[Hessian], within a bound on D(new || old) that
       grows and shrinks with how far the batch's ELBO bears the prediction out;
    4. near the end, weighs *all* points of all batches for each q it considers (importance weights against the mixture
       of what they were drawn from), and goes at once to the q at which they agree.

    A fit starts from seven short quasi-Newton climbs. Where most reach a top and two the same, it begins at the top
    of the highest ELBO, so that modes are told apart before anything is spent on one of them. Elsewhere it begins as a
    round normal at the likeliest of their beginnings, of the scale at which its ELBO is highest: in a hierarchy the
    joint density climbs without bound as group scales go to zero, and a mode is no place to begin. All steps are in the
    coordinates of the present q, so units do not matter.

    It ends CONVERGED when the q at which the points agree is next to the present one and the finite number of points
    costs less than 0.02 nats and 0.03 standard deviations in any mean (estimated from what is not linear in the
    scores), or cannot be told better with the points that are kept, which a warning says; STALLED when no step is
    borne out any more. In the history: ``elbo`` of the normal kept, ``length`` of the next step and trust ``radius``
    (nats), ``accuracy`` (nats) and ``mean_accuracy`` (standard deviations) of the estimate, ``rounding`` (nats) of
    the log density in the floats at hand.

    Of a mixture q = sum_k w_k q_k, each component takes such steps towards exp(h_k), h_k = log p~ - log q + log q_k,
    with a trust region of its own, and w_k <- w_k exp(E_qk[log p~ - log q]), normalised: while the responsibilities
    w_k q_k / q are held fixed, both raise the ELBO. All points of all components are weighed for each of them. It
    begins where quasi-Newton climbs from random points end, a component each; modes that no climb found stay unknown
    to it (`vi.grow_mixture` looks for them). ``accuracy`` then allows for directions in which components give way to
    one another, where the ELBO is flat.

    Args:
        guide: `vi.FullRankNormal` (the default) or `vi.MeanFieldNormal`, or a `vi.NormalMixture` of one of them.
        start: parameters of the mixture to begin with, such as normals already found; components that are the same are
            moved apart.

    Returns:
        A method for `vi.fit`, which is what `vi.fit` uses by itself.

    Raises:
        TypeError: if the guide is of another kind.
        ValueError: if a ``start`` comes with a single normal, which finds its own.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: jnp.sum(2e-6 * z - jnp.exp(1e-6 * z)), dim=1)  # units of a million
        >>> fit = vi.fit(jax.random.key(0), target, vi.natural_gradient())
        >>> fit.status.name, bool(fit.num_gradients < 1000)
        ('CONVERGED', True)
        >>> two = vi.zoo.two_modes(weights=(0.3, 0.7)).target
        >>> fit = vi.fit(jax.random.key(0), two, vi.natural_gradient(vi.NormalMixture(2)))
        >>> [round(float(w), 2) for w in sorted(jax.nn.softmax(fit.params["log_weights"]))]
        [0.3, 0.7]

    Source: Salimans & Knowles (2013), Fixed-form variational posterior approximation through stochastic linear
    regression, arXiv:1206.6679; Abdolmaleki et al. (2015), Model-based relative entropy stochastic search, NeurIPS;
    Khan & Rue (2023), The Bayesian learning rule, arXiv:2107.04562; Owen & Zhou (2000), Safe and effective importance
    sampling, doi:10.1080/01621459.2000.10473909 (mixture weights); Lin, Khan & Schmidt (2019), Fast and simple natural-
    gradient variational inference with mixture of exponential-family approximations, arXiv:1906.02914; Arenz et al.
    (2022), A unified perspective on natural gradient variational inference with Gaussian mixture models,
    arXiv:2209.11533.
    """
    guide = FullRankNormal() if guide is None else guide
    if isinstance(guide, NormalMixture):
        hint = "Write vi.NormalMixture(k, covariance=vi.MeanFieldNormal())."
        check_instance(guide.covariance, (FullRankNormal, MeanFieldNormal), "guide.covariance", hint)
        return MixtureNaturalGradient(guide, start)
    hint = "Use vi.FullRankNormal() or vi.MeanFieldNormal(), or a vi.NormalMixture of them."
    check_instance(guide, (FullRankNormal, MeanFieldNormal), "guide", hint)
    if start is not None:
        raise ValueError("start: a single normal finds its own start; parameters are for a vi.NormalMixture.")
    return NaturalGradient(cast(NormalGuide, guide))
