"""The steps that batch-and-match and Gaussian score matching share: a look at q, taken or refused, and a match."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass
from jaxtyping import Array
from numpyro.distributions import Distribution

from vi_toolkit._checks import check_continuous
from vi_toolkit._start import Start
from vi_toolkit._types import Draws, Key, Params, Scalar, Vector
from vi_toolkit.algorithms._match_pace import Batch, Pace, first_pace, keep_pace, mismatch
from vi_toolkit.algorithms._starting_points import first_scale
from vi_toolkit.algorithms.algorithm import Outcome, SelfEnding
from vi_toolkit.targets import Target

AT_REST = 0.01  # nats: a fit ends where less is left of noise and drift; a smaller fall of the ELBO is none
DOUBT = 3.0  # standard errors by which the ELBO has to fall before a match is refused
LEAST_WEIGHT = 1e-6  # of a batch; where even that is refused, nothing helps
START_SCALES = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)  # that are tried around the best candidate
START_DRAWS = 4  # bare densities at each of them
UNMATCHED = 0.1  # a mismatch of scores, as a share of a standard normal's, that is worth a word


class Matcher(Protocol):
    """A family of Gaussians z = m + A x, and how one of them is matched to a batch."""

    def check(self, dim: int) -> None: ...

    def num_draws(self, dim: int) -> int: ...

    def most_weight(self, dim: int) -> float: ...

    def start(self, key: Key, location: Vector, scale: Scalar) -> Any: ...

    def place(self, q: Any, x: Draws) -> Draws: ...

    def pull_back(self, q: Any, slopes: Draws) -> Draws: ...

    def log_determinant(self, q: Any) -> Scalar: ...

    def match(self, q: Any, batch: Batch, weight: Scalar) -> tuple[Any, Scalar]: ...

    def params(self, q: Any) -> Params: ...

    def distribution(self, params: Params) -> Distribution: ...


class MatchState(NamedTuple):
    """The last q that was held against draws of its own, these draws, and the match that is to be looked at next."""

    q: Any
    batch: Batch
    proposal: Any
    pace: Pace
    unbooked: Scalar  # gradients spent, and not yet in the history
    outcome: Array


@partial(register_dataclass, data_fields=[], meta_fields=["matcher"])
@dataclass(frozen=True)
class MatchingMethod(SelfEnding):
    """Fits a Gaussian by matching scores; made by `batch_and_match` and `gaussian_score_matching`."""

    matcher: Matcher

    distances: ClassVar[tuple[tuple[str, str], ...]] = (
        ("move", "length of the next match"),
        ("excess", "noise and drift left in the average"),
    )

    @property
    def tracked(self) -> tuple[str, ...]:
        return ("loss", "elbo", "ok", "gradients", "mismatch", "move", "weight", "excess", "refused")

    def check(self, target: Target) -> None:
        check_continuous(target, "matching scores")
        self.matcher.check(target.dim)

    def init(self, key: Key, target: Target, candidates: Draws) -> tuple[MatchState, Start]:
        """The best candidate, and the scale around it whose ELBO, from a few draws, is best."""
        key_noise, key_start = jax.random.split(key)
        values = _finite(jax.vmap(target.log_density)(candidates))
        location = candidates[jnp.argmax(values)]
        scale = first_scale(key_noise, target, location, START_SCALES, START_DRAWS)
        q = self.matcher.start(key_start, location, scale)
        nothing = jnp.zeros((self.matcher.num_draws(target.dim), target.dim), location.dtype)
        batch = Batch(nothing, nothing, jnp.full_like(scale, -jnp.inf), jnp.zeros_like(scale))
        pace = first_pace(target.dim, self.matcher.most_weight(target.dim), scale)
        spent = jnp.full_like(scale, (len(candidates) + START_DRAWS * len(START_SCALES)) / 3)
        state = MatchState(q, batch, q, pace, spent, jnp.asarray(Outcome.GOES_ON.value))
        return state, Start(location, jnp.full_like(location, scale), candidates, jnp.any(values > -jnp.inf))

    def step(self, key: Key, state: MatchState, target: Target) -> tuple[MatchState, dict[str, Scalar]]:
        """Looks at the proposal, takes or refuses it, and matches what is taken to its draws."""
        looked, finite = self._look(key, state.proposal, target)
        # Not both errors: a q so bad that its own ELBO is all noise would pass. More doubt after every refusal, since
        # the ELBO that is held against may have been a lucky one.
        doubt = DOUBT * (1 + state.pace.refused) * jnp.minimum(looked.error, state.batch.error)
        taken = finite & (looked.elbo >= state.batch.elbo - AT_REST - doubt)
        q, batch = _where(taken, (state.proposal, looked), (state.q, state.batch))
        pace = keep_pace(state.pace, looked, taken, self.matcher.most_weight(target.dim))
        proposal, move = self.matcher.match(q, batch, pace.weight)
        outcome = _outcome(batch, pace)
        # The last match is one more batch in the average; none follows that would look at it, and it is small.
        q = _where((outcome == Outcome.CONVERGED) & (move < 1.0), proposal, q)
        spent = state.unbooked + len(looked.scores)
        info = {"loss": -batch.elbo, "elbo": batch.elbo, "ok": finite.astype(spent.dtype), "gradients": spent}
        info |= {"mismatch": mismatch(batch), "move": move, "refused": pace.refused}
        info |= {"weight": pace.weight, "excess": pace.excess}
        return MatchState(q, batch, proposal, pace, 0 * spent, outcome), info

    def _look(self, key: Key, q: Any, target: Target) -> tuple[Batch, Array]:
        """Draws from q, the scores there in q's own coordinates, and the ELBO."""
        dtype = jax.tree.leaves(q)[0].dtype
        x = jax.random.normal(key, (self.matcher.num_draws(target.dim), target.dim), dtype)
        values, slopes = jax.vmap(jax.value_and_grad(target.log_density))(self.matcher.place(q, x))
        scores = self.matcher.pull_back(q, slopes)
        weights = values + 0.5 * jnp.sum(x**2, -1)  # log p - log q, draw by draw: no noise where q is the target
        constant = 0.5 * target.dim * np.log(2 * np.pi) + self.matcher.log_determinant(q)
        batch = Batch(x, scores, weights.mean() + constant, weights.std() / np.sqrt(len(x)))
        return batch, jnp.isfinite(batch.elbo) & jnp.all(jnp.isfinite(scores))

    def outcome(self, state: MatchState) -> Array:
        return state.outcome

    def latest(self, state: MatchState) -> Params:
        return self.matcher.params(state.q)

    def posterior(self, params: Params) -> Distribution:
        return self.matcher.distribution(params)

    def warnings(self, history: dict[str, np.ndarray]) -> list[str]:
        """Words where p is far from a Gaussian: the fixed point is then not the best ELBO."""
        part = history["mismatch"][-(1 + len(history["mismatch"]) // 4) :]
        off = float(np.median(part)) if len(part) else 0.0
        if not off > UNMATCHED:
            return []
        return [
            f"The scores of the target and of q differ by {off:.2g} of a standard normal's: the target is not near a "
            "Gaussian, and matched scores then give a q that is narrower than the best ELBO's. See vi.diagnose."
        ]


def _outcome(batch: Batch, pace: Pace) -> Array:
    ended = jnp.where(pace.excess < AT_REST, Outcome.CONVERGED.value, Outcome.GOES_ON.value)
    lost = jnp.where(jnp.isfinite(batch.elbo), Outcome.STALLED.value, Outcome.DIVERGED.value)
    return jnp.where(pace.odds < LEAST_WEIGHT, lost, ended)


def _where(condition: Array, there: Any, here: Any) -> Any:
    return jax.tree.map(partial(jnp.where, condition), there, here)


def _finite(values: Array) -> Array:
    return jnp.where(jnp.isfinite(values), values, -jnp.inf)
