"""Sequential Monte Carlo from a wide start: particles that are brought to p, and kept fresh as q improves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jax.tree_util import register_static
from jaxtyping import Array

from vi_toolkit._checks import check_instance, check_positive
from vi_toolkit._types import Density, Draws, Key, LogWeights, Params, Scalar, Vector
from vi_toolkit.guides import Guide
from vi_toolkit.sources._temper import temper
from vi_toolkit.sources._whitening import root_of_points
from vi_toolkit.sources.source import PosteriorDraws, WeightedDraws, log_densities
from vi_toolkit.sources.transitions import HMC, GradientTransition, first_log_step, tuned

DEFAULT = HMC(num_steps=3)
KEPT = 0.5  # share of the particles that a step of the tempering keeps in effect
HALVINGS = 45  # in the search for that step, which may be tiny where the start is wide
MOST_STAGES = 1000  # of the tempering, where there is no memory to go on from
TOO_FEW = 3.0  # lineages below which the particles are copies of a few


class Particles(NamedTuple):
    """Particles of p^beta pi^(1 - beta), pi being the wide normal that they came from."""

    points: Draws
    beta: Scalar
    lineages: Array  # (draws,): particles of the same number are copies of one
    centre: Vector  # of pi
    scale: Vector
    log_step: Scalar
    steps: Scalar


class _Path(NamedTuple):
    """log p and log pi at points, between which the particles are led."""

    log_p: LogWeights
    log_base: LogWeights

    def at(self, beta: Scalar) -> LogWeights:
        # 0 * -inf is no number: at beta = 1 the start does not count
        return jnp.where(beta < 1, (1 - beta) * self.log_base + beta * self.log_p, self.log_p)


@register_static
@dataclass(frozen=True)
class TemperedSMC(PosteriorDraws):
    """Particles led from a wide normal to p, then kept at p by moves of which some are proposed by q.

        pi_beta(z) proportional to pi(z)^(1 - beta) p~(z)^beta,    beta from 0 to 1

    pi is an independent normal at the mean of q as the fit begins, with q's standard deviations times ``stretch``.
    Every step of the fit is a step of the sampler: beta grows as far as half of the particles stay in effect, by
    their weights (p~/pi)^(change of beta); they are resampled (systematic); each is offered a draw of q as it now is
    (independent Metropolis-Hastings, which jumps between modes wherever q has both); and each is moved by HMC,
    in coordinates scaled by the particles' own covariance. From beta = 1 on the last two remain, and leave p as
    it is. All particles count equally.

    The particles find the modes that pi covers, however far apart, in proportions with a relative error of order
    num_draws^(-1/2), which the offers of q then average out; in many dimensions, where these are never accepted,
    it stays. Biased besides, by O(1 / num_draws): the moves are scaled by the particles themselves. While beta < 1
    (``temper`` in the history) q is fitted to pi_beta, so it comes to p from outside.

    ``ess`` is the effective number of lineages, 1 / sum of squared shares, as a share of num_draws: copies of one
    particle are one lineage, until an offer of q is accepted (``accept``: how often). The fit ends COLLAPSED where beta
    stood below 1 in half of the last window's steps, or fewer than 3 lineages were left (``lineages``).

    Args:
        stretch: of q's first standard deviations, which are of the size of one mode; make it larger for modes
            further apart.
        transition: `HMC` or `NUTS`, by which particles move.

    Raises:
        TypeError, ValueError: if ``stretch`` is not a number above 0, or ``transition`` does not move by gradients.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> two = vi.zoo.two_modes(separation=8.0, weights=(0.75, 0.25), dim=1)  # mean -2, variance 13
        >>> method = vi.gradient(vi.FullRankNormal(), vi.ForwardKL(vi.sources.TemperedSMC()), num_draws=256)
        >>> fit = vi.fit(jax.random.key(0), two.target, method)
        >>> abs(fit.posterior.mean[0] + 2.0) < 0.1, abs(fit.posterior.variance[0] - 13.0) < 0.5
        (Array(True, dtype=bool), Array(True, dtype=bool))

    Source: Del Moral, Doucet & Jasra (2006), Sequential Monte Carlo samplers, doi:10.1111/j.1467-9868.2006.00553.x.
    """

    tracked: ClassVar[tuple[str, ...]] = ("ess", "lineages", "temper", "accept")

    stretch: float | int = 10.0
    transition: GradientTransition = DEFAULT

    def __post_init__(self) -> None:
        check_positive(self.stretch, "stretch")
        check_instance(self.transition, GradientTransition, "transition", "Use for example vi.sources.HMC().")

    def begin(self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> Particles:
        """Draws of the wide normal: no density is asked for yet."""
        key_centre, key_draw = jax.random.split(key)
        drawn = guide.draw(key_centre, params, max(num_draws, 64))
        centre = drawn.weights @ drawn.points
        scale = self.stretch * jnp.sqrt(drawn.weights @ (drawn.points - centre) ** 2)
        points = centre + scale * jax.random.normal(key_draw, (num_draws, len(centre)), centre.dtype)
        zero = jnp.zeros((), centre.dtype)
        lineages = jnp.arange(num_draws)
        return Particles(points, zero, lineages, centre, scale, first_log_step(len(centre), centre), zero)

    def draw(
        self, key: Key, memory: Particles, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[WeightedDraws, Particles]:
        """The particles after a stage of the tempering, an offer of q's draws, and a move."""
        keys = jax.random.split(key, 3)
        memory, path = _anneal(keys[0], memory, _path(memory, target, memory.points))
        points, accepted = _offer(keys[1], memory, path, guide.distribution(params), target)
        # a point of q begins a lineage of its own, of a number that is not in use
        names = jnp.where(accepted, memory.lineages.max() + 1 + jnp.arange(num_draws), memory.lineages)
        lineages = jnp.unique(names, return_inverse=True, size=num_draws, fill_value=names.max())[1].reshape(-1)

        def log_density(z: Vector) -> Scalar:
            return _path(memory, target, z[None]).at(memory.beta)[0]

        root = root_of_points(points)
        points, moved = self.transition.move_in(keys[2], log_density, points, root, jnp.exp(memory.log_step))
        log_step = tuned(memory.log_step, moved, self.transition.best_accept or 0.8, memory.steps)
        memory = memory._replace(points=points, lineages=lineages, log_step=log_step, steps=memory.steps + 1)
        return _equally_weighted(memory, accepted.mean().astype(points.dtype)), memory

    def fresh(self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> WeightedDraws:
        """The whole tempering at once, to beta = 1."""
        key_begin, key_last, key_stages = jax.random.split(key, 3)

        def goes_on(memory: Particles) -> Array:
            return (memory.beta < 1) & (memory.steps < MOST_STAGES)

        def stage(memory: Particles) -> Particles:
            key = jax.random.fold_in(key_stages, memory.steps.astype(int))
            return self.draw(key, memory, params, guide, target, num_draws)[1]

        memory = self.begin(key_begin, params, guide, target, num_draws)
        memory = jax.lax.while_loop(goes_on, stage, memory)
        return self.draw(key_last, memory, params, guide, target, num_draws)[0]

    def gradients_per_step(self, num_draws: int) -> float:
        """A bare density, a third, at a particle and at its offer, and what the move spends."""
        return 2 * num_draws / 3 + self.transition.gradients(num_draws)

    def collapsed(self, history: dict[str, Any]) -> bool:
        """Whether the particles had not come to p, or were copies of a few."""
        if not len(history["temper"]):
            return False
        return bool(np.median(history["temper"]) < 1 or np.median(history["lineages"]) < TOO_FEW)

    def warnings(self, history: dict[str, Any]) -> list[str]:
        """Says so when the particles have not come to p, or descend from a few."""
        said = []
        if len(history["temper"]) and history["temper"][-1] < 1:
            said.append(
                f"forward KL: the particles have come to p^{history['temper'][-1]:.2g} only: the fit is too wide. Give "
                "it more steps, or a smaller stretch."
            )
        if len(history["ess"]) and np.median(history["lineages"]) < 10 * TOO_FEW:
            said.append(
                f"forward KL: the particles descend from {np.median(history['lineages']):.0f} in effect (median of the "
                "last steps), and q offers nothing better: shares of modes are uncertain. Raise num_draws."
            )
        return said


def _path(memory: Particles, target: Density, points: Draws) -> _Path:
    log_base = norm.logpdf(points, memory.centre, memory.scale).sum(-1)
    return _Path(log_densities(target, points), log_base)


def _anneal(key: Key, memory: Particles, path: _Path) -> tuple[Particles, _Path]:
    """beta as far on as KEPT of the particles stay in effect, and the particles resampled for it."""
    from blackjax.smc.resampling import systematic  # it takes a while to import

    increments = path.log_p - path.log_base
    usable = (increments > -jnp.inf).sum()
    change = jnp.minimum(temper(increments, KEPT * usable, HALVINGS), 1 - memory.beta)
    # at beta = 1 nothing is weighted, and no particle is to be lost to rounding
    stays = memory.beta >= 1
    weights = jax.nn.softmax(jnp.where(stays, 0.0, change * increments))
    kept = jnp.where(stays, jnp.arange(len(weights)), systematic(key, weights, len(weights)))
    memory = memory._replace(points=memory.points[kept], lineages=memory.lineages[kept], beta=memory.beta + change)
    return memory, _Path(path.log_p[kept], path.log_base[kept])


def _offer(key: Key, memory: Particles, path: _Path, q: Any, target: Density) -> tuple[Draws, Array]:
    """Independent Metropolis-Hastings: a draw of q for each particle, taken where p/q is large enough there."""
    key_draw, key_take = jax.random.split(key)
    offered = q.sample(key_draw, (len(memory.points),))
    log_ratio = _path(memory, target, offered).at(memory.beta) - q.log_prob(offered)
    log_ratio -= path.at(memory.beta) - q.log_prob(memory.points)
    accepted = jnp.log(jax.random.uniform(key_take, log_ratio.shape, log_ratio.dtype)) < log_ratio
    return jnp.where(accepted[:, None], offered, memory.points), accepted


def _equally_weighted(memory: Particles, accept: Scalar) -> WeightedDraws:
    count, dtype = len(memory.points), memory.points.dtype
    shares = jnp.zeros(count, dtype).at[memory.lineages].add(1 / count)
    lineages = 1 / (shares**2).sum()
    facts = {"ess": lineages / count, "lineages": lineages, "temper": memory.beta, "accept": accept}
    return WeightedDraws(memory.points, jnp.full(count, 1 / count, dtype), None, facts)
