"""Pathfinder: the best normal along a quasi-Newton climb, or the mixture of those of several climbs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.tree_util import register_dataclass
from jaxtyping import Array
from numpyro.distributions import Distribution

from vi_toolkit._checks import check_continuous, check_positive_int
from vi_toolkit._start import DENSE_DIM, NUM_STARTS, Start
from vi_toolkit._types import Draws, Key, LogWeights, Params, Scalar, Vector
from vi_toolkit.algorithms._curvature import cholesky_of_columns
from vi_toolkit.algorithms._path import PATIENCE, Path, advance
from vi_toolkit.algorithms._path_normal import (
    PathFactor,
    PathNormal,
    log_densities_of,
    standard,
)
from vi_toolkit.algorithms._path_weights import RELIABLE, path_weights
from vi_toolkit.algorithms._starting_points import starting_points
from vi_toolkit.algorithms.algorithm import Outcome, SelfEnding
from vi_toolkit.guides import FullRankNormal, NormalMixture
from vi_toolkit.targets import Target

LONGEST_PATH = 400  # trial steps
LEAST_DRAWS = 25  # of which the largest fifth are fitted
BATCH = 64  # draws looked at together at the end


class PathfinderState(NamedTuple):
    """The paths, and how much each counts."""

    paths: Path
    key: Key  # of the noise that all ELBOs of a fit share
    log_weights: LogWeights  # of the paths
    bad_starts: Scalar
    num_steps: Scalar
    spent: Scalar  # gradients, to be counted with the first step
    outcome: Scalar


@partial(register_dataclass, data_fields=[], meta_fields=["num_paths", "num_elbo_draws", "num_draws", "memory"])
@dataclass(frozen=True)
class Pathfinder(SelfEnding):
    """Pathfinder; made by `pathfinder`."""

    num_paths: int
    num_elbo_draws: int
    num_draws: int
    memory: int

    max_steps: ClassVar[int] = 2 * LONGEST_PATH  # it ends by itself before

    @property
    def tracked(self) -> tuple[str, ...]:
        return ("loss", "elbo", "ok", "gradients", "khat", "bad_starts", "lost_paths", "largest_weight")

    @property
    def spreads(self) -> bool:
        return True

    def check(self, target: Target) -> None:
        check_continuous(target, "vi.pathfinder()")

    def init(self, key: Key, target: Target, candidates: Draws) -> tuple[PathfinderState, Start]:
        key_starts, key_noise = jax.random.split(key)
        points = starting_points(key_starts, candidates, max(NUM_STARTS, self.num_paths))
        values, gradients = jax.vmap(jax.value_and_grad(target.log_density))(points)
        finite = jnp.isfinite(values) & jnp.all(jnp.isfinite(gradients), axis=1)
        first = jnp.argsort(~finite, stable=True)[: self.num_paths]  # the finite ones, in their order
        paths = jax.vmap(self._begin)(points[first], values[first], gradients[first], finite[first])
        state = PathfinderState(
            paths=paths,
            key=key_noise,
            log_weights=jnp.where(finite[first], 0.0, -1e4).astype(values.dtype),
            bad_starts=(~finite).sum().astype(values.dtype),
            num_steps=jnp.asarray(0),
            spent=jnp.full((), len(points), values.dtype),
            outcome=jnp.asarray(Outcome.GOES_ON.value),
        )
        best = jnp.argmax(jnp.where(finite, values, -jnp.inf))
        return state, Start(points[best], jnp.ones_like(points[best]), points, finite.any())

    def _begin(self, z: Vector, value: Scalar, gradient: Vector, finite: Array) -> Path:
        none = jnp.zeros((self.memory, len(z)), z.dtype)
        gradient = jnp.where(finite, gradient, 0.0)
        best = standard(z, min(len(z), 2 * self.memory))
        length = 1.0 / jnp.maximum(jnp.linalg.norm(gradient), 1.0)  # the first step is at most one long
        low = jnp.full_like(value, -jnp.inf)
        zero = jnp.asarray(0)
        return Path(z, value, gradient, gradient, length, jnp.ones_like(z), none, none, best, low, low, zero, finite)

    def step(self, key: Key, state: PathfinderState, target: Target) -> tuple[PathfinderState, dict[str, Scalar]]:
        """A step of every path; once all have ended, the weights of the paths."""
        climbing = state.paths.goes_on.any()
        zero = jnp.zeros_like(state.spent)
        state, khat, bound = jax.lax.cond(
            climbing, partial(self._climb, target), partial(self._weigh, key, target), state
        )
        each = 1 + self.num_elbo_draws / 3
        facts = {
            "loss": -bound,
            "elbo": bound,
            "ok": jnp.ones_like(bound),
            "gradients": state.spent + jnp.where(climbing, self.num_paths * each, self.num_paths * self._draws / 3),
            "khat": khat,
            "bad_starts": state.bad_starts,
            "lost_paths": jnp.isneginf(state.paths.elbo).sum().astype(bound.dtype),
            "largest_weight": jnp.max(jax.nn.softmax(state.log_weights)),
        }
        return state._replace(spent=zero, num_steps=state.num_steps + 1), facts

    @property
    def _draws(self) -> int:
        """Draws of each path at the end."""
        return -(-self.num_draws // self.num_paths)

    def _climb(self, target: Target, state: PathfinderState) -> tuple[PathfinderState, Scalar, Scalar]:
        half = jax.random.normal(state.key, (self.num_elbo_draws // 2, target.dim), state.paths.z.dtype)
        paths = jax.vmap(lambda path: advance(target, path, jnp.concatenate([half, -half])))(state.paths)
        paths = paths._replace(goes_on=paths.goes_on & (state.num_steps < LONGEST_PATH))
        bound = paths.elbo.max()
        low = np.finfo(bound.dtype).min
        log_weights = jnp.where(paths.elbo == bound, 0.0, -1e4).astype(bound.dtype)  # unless it gets to the end
        state = state._replace(paths=paths, log_weights=log_weights)
        return state, jnp.full_like(bound, jnp.inf), jnp.maximum(bound, low)

    def _weigh(self, key: Key, target: Target, state: PathfinderState) -> tuple[PathfinderState, Scalar, Scalar]:
        """The paths' weights, and how the fit has ended."""
        paths, best = state.paths, state.paths.best
        usable = jnp.isfinite(paths.elbo)
        noise = jax.random.normal(key, (self.num_paths, self._draws, target.dim), paths.z.dtype)
        z = jax.vmap(lambda q, e: q.location + q.factor.times(e))(best, noise)
        flat = z.reshape(-1, target.dim)
        log_p = jax.lax.map(target.log_density, flat, batch_size=min(BATCH, len(flat))).reshape(z.shape[:2])
        found = path_weights(log_p, log_densities_of(best, z), usable)
        cut = (paths.since[jnp.argmax(found.log_weights)] < PATIENCE) & (state.num_steps > LONGEST_PATH)
        outcome = jnp.select(
            [~usable.any(), cut], [Outcome.DIVERGED.value, Outcome.STALLED.value], Outcome.CONVERGED.value
        )
        bound = jnp.where(usable.any(), found.elbo, np.finfo(found.elbo.dtype).min)
        return state._replace(log_weights=found.log_weights, outcome=outcome), found.khat, bound

    def outcome(self, state: PathfinderState) -> Array:
        return state.outcome

    def latest(self, state: PathfinderState) -> Params:
        components = _params(state.paths.best)
        if self.num_paths == 1:
            return jax.tree.map(lambda leaf: leaf[0], components)
        return {"log_weights": jnp.maximum(state.log_weights, -1e4), "components": components}

    def posterior(self, params: Params) -> Distribution:
        if self.num_paths == 1:
            return _distribution(params)
        if "lower" in params["components"]:
            return NormalMixture(self.num_paths).distribution(params)
        return dist.MixtureSameFamily(
            dist.Categorical(logits=params["log_weights"], validate_args=False),
            _distribution(params["components"]),
            validate_args=False,
        )

    def warnings(self, history: dict[str, np.ndarray]) -> list[str]:
        if not len(history["loss"]):
            return []
        last = {name: float(history[name][-1]) for name in self.tracked}
        said = []
        if last["bad_starts"]:
            tried = max(NUM_STARTS, self.num_paths)
            said.append(
                f"Pathfinder: at {last['bad_starts']:.0f} of {tried} starting points the log density or its gradient "
                "was not finite; others took their place."
            )
        if last["lost_paths"]:
            said.append(
                f"Pathfinder: {last['lost_paths']:.0f} of {self.num_paths} paths were dropped: no normal on them has a "
                "finite ELBO."
            )
        if last["khat"] >= RELIABLE:
            instead = "" if self.num_paths == 1 else "; the paths are weighted by their ELBO instead"
            said.append(
                f"Pathfinder: k-hat is {last['khat']:.2f}, so importance weights cannot be trusted{instead}. "
                "See vi.diagnose."
            )
        return said


@jax.jit
def _params(normals: PathNormal) -> Params:
    """Those of full-rank normals, or in many dimensions what the paths keep."""
    if normals.location.shape[-1] > DENSE_DIM:
        scale, basis, core = normals.factor
        return {"location": normals.location, "log_scale": jnp.log(scale), "basis": basis, "core": core}
    factor = jax.vmap(cholesky_of_columns)(normals.factor.matrix())
    on = jnp.diagonal(factor, axis1=-2, axis2=-1)
    return {"location": normals.location, "log_diagonal": jnp.log(on), "lower": jnp.tril(factor, -1)}


def _distribution(params: Params) -> Distribution:
    if "lower" in params:
        return FullRankNormal().distribution(params)
    factor = PathFactor(jnp.exp(params["log_scale"]), params["basis"], params["core"])
    return PathNormal(params["location"], factor).distribution


def pathfinder(num_paths: int = 4, *, num_elbo_draws: int = 16, num_draws: int = 1_000, memory: int = 10) -> Pathfinder:
    """Pathfinder: the normal of the highest ELBO along a quasi-Newton climb, or a mixture of those of several climbs.

        q_k(z) = N(z; z_k + H g_k, H),   k* = argmax_k E_{q_k}[log p~ - log q_k]

    z_k are the points of the climb, g_k the gradients there, and H the inverse of minus the Hessian as L-BFGS knows it
    there. A path ends at the mode, or where the ELBO has not risen for a while, so it does not follow a density that
    has no mode. Starts at which the density is not finite are replaced by others.

    With several paths, ``num_draws`` draws of all the best normals are weighted by p~ / q, q being their equal mixture,
    and Pareto-smoothed. The result is the mixture of the normals, each weighted by its share of the posterior mass: two
    modes get their weights, however many paths ended in each. Where k-hat is above 0.7 the weights are those of the
    highest ELBO instead, and the fit says so.

    ``fit.params`` are those of `vi.FullRankNormal` for one path, of ``vi.NormalMixture(num_paths)`` for several; above
    512 dimensions the normals stay in the form s (I + Q (C - I) Q^T), of ``log_scale``, ``basis`` and ``core``.
    In the history, ``elbo`` is that of the best normal so far, and in the last step that of the result, estimated with
    fresh draws; ``khat`` is there in the last step.

    The normals are only as good as the curvature that the climb has seen. On a centred hierarchy they are too narrow
    (eight schools: 5 to 12 nats from the posterior, where the best normal is 1.3 from it): a start, not an answer.

    Args:
        num_paths: how many climbs.
        num_elbo_draws: draws for the ELBO of each point of a path, in mirrored pairs.
        num_draws: draws, of all paths together, for the weights and k-hat at the end; at least 25.
        memory: how many of the last moves tell the curvature.

    Returns:
        A method for `vi.fit`.

    Raises:
        TypeError: if an argument is no whole number.
        ValueError: if one is below 1, ``num_elbo_draws`` is odd, or ``num_draws`` is below 25.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> from vi_toolkit.algorithms.pathfinder import pathfinder
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum((z - 3.0) ** 2 / 4.0), dim=1)
        >>> fit = vi.fit(jax.random.key(0), target, pathfinder(1))
        >>> fit.status.name, fit.posterior.mean.round(3), fit.posterior.variance.round(3)
        ('CONVERGED', Array([3.], dtype=float64), Array([4.], dtype=float64))

    Source: Zhang, Carpenter, Gelman & Vehtari (2022), Pathfinder: parallel quasi-Newton variational inference,
    arXiv:2108.03782; Vehtari et al. (2024), Pareto smoothed importance sampling, arXiv:1507.02646; the weights against
    the mixture are those of Veach & Guibas (1995), doi:10.1145/218380.218498.
    """
    num_paths = check_positive_int(num_paths, "num_paths")
    num_elbo_draws = check_positive_int(num_elbo_draws, "num_elbo_draws")
    num_draws = check_positive_int(num_draws, "num_draws")
    if num_elbo_draws % 2:
        raise ValueError(f"num_elbo_draws: expected an even number, for mirrored pairs, got {num_elbo_draws}.")
    if num_draws < LEAST_DRAWS:
        raise ValueError(f"num_draws: expected at least {LEAST_DRAWS}, to fit the tail of weights, got {num_draws}.")
    return Pathfinder(num_paths, num_elbo_draws, num_draws, check_positive_int(memory, "memory"))
