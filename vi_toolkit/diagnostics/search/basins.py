"""Where the posterior has its mass, looked for beyond the draws of q: what q misses, and by how much."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from vi_toolkit._types import Key, numpy_generator
from vi_toolkit.diagnostics.moments import Measured
from vi_toolkit.diagnostics.scores._scores import Scores, score
from vi_toolkit.diagnostics.search._climbs import Tops, climb_from, scattered, spread_of
from vi_toolkit.diagnostics.search._proposals import Proposal, about_draws, about_top
from vi_toolkit.diagnostics.search._search import Search
from vi_toolkit.diagnostics.search.modes import masses_of_shares
from vi_toolkit.diagnostics.shape._curvatures import hessians_at
from vi_toolkit.diagnostics.weights.evidence import effective_draws
from vi_toolkit.diagnostics.weights.psis import Smoothed
from vi_toolkit.fit import FULL_RANK_DIM, Fit
from vi_toolkit.targets import Target
from vi_toolkit.targets.target import constrain_draws

MOST = 8  # tops that are looked at
EACH = 500  # draws about each
FARTHER = (6.0, 30.0)  # standard deviations of q, of further ts about it: tails may be thin, and long
AGAIN = 2000  # draws about what was found by them
SAME = 4.0  # squared distance, in the curvature of either, within which two tops are one
DIP = 1.0  # nats below the lower of two tops, somewhere between them, from which they are two modes
ON_THE_WAY = 31  # points at which that is looked at
NUM_SES = 2.0
ROUNDING = 1e-12  # of a top that lies at zero
WORTH_TELLING = 0.01  # of the posterior mass
HARDLY = 0.25  # of its mass, below which q misses a mode
ENOUGH = 20.0  # effective draws in a mode for its mass to count although the weights are uneven
WELL_SPREAD = 0.7  # k-hat


@dataclass(frozen=True, eq=False)
class Basins:
    """The modes that a search found, and how much of p and of q lies at each.

    Attributes:
        modes: their tops, of shape (modes, dim), the heaviest first.
        sites: for each, its named sites in the model's own space.
        mass: p's mass at each, by importance sampling, of shape (modes,).
        mass_q: q's mass at each.
        missed: the numbers of those that hold more than 1 % of p and that q hardly visits.
        khat: of the importance weights of the search.
        num_climbs: from how many points the search climbed.
        num_gradients: what the climbs cost, in log-density gradients, a bare density as a third.
        draws: of q and of the places looked at, (draws, dim).
        log_q: log q there, (draws,).
        log_weights: their smoothed, normalised log weights with respect to p, (draws,).

    Example:
        >>> import jax, vi_toolkit as vi
        >>> two = vi.zoo.two_modes(separation=8.0, weights=(0.75, 0.25), dim=1)
        >>> found = vi.diagnose(jax.random.key(1), vi.fit(jax.random.key(0), two.target)).basins
        >>> found.mass.values.round(1), found.mass_q.values.round(1), found.missed
        (array([0.8, 0.2]), array([1., 0.]), (1,))
    """

    modes: np.ndarray
    sites: tuple[dict[str, np.ndarray], ...]
    mass: Measured
    mass_q: Measured
    missed: tuple[int, ...]
    khat: float
    num_climbs: int
    num_gradients: float
    draws: np.ndarray = field(repr=False)
    log_q: np.ndarray = field(repr=False)
    log_weights: np.ndarray = field(repr=False)
    divide: Division = field(repr=False)

    def shares(self, draws: np.ndarray) -> np.ndarray:
        """One for the mode that each draw belongs to, zero for the others, (draws, modes)."""
        return self.divide(draws)[:, None] == np.arange(len(self.modes))

    def normals(self) -> tuple[np.ndarray, np.ndarray]:
        """A normal at each mode: the tops (modes, dim), and lower triangular roots of covariances (modes, dim, dim)."""
        return self.modes, np.stack([self.divide.tops[i].factor for i in self.divide.highest])

    def words(self, mode: int) -> str:
        """Where a mode lies and how much of p and q is there, in words."""
        place = ", ".join(f"{name} = {_short(value)}" for name, value in list(self.sites[mode].items())[:4])
        return (
            f"{100 * self.mass.values[mode]:.2g} ± {100 * self.mass.ses[mode]:.1g} % of the posterior lies about "
            f"{place}, where q has {100 * self.mass_q.values[mode]:.2g} %"
        )

    @property
    def conclusive(self) -> bool:
        """Whether the weights of the search are even enough to take its masses at their word."""
        return self.khat < WELL_SPREAD


class Division(NamedTuple):
    """Which mode a point belongs to."""

    heights: np.ndarray  # (tops,): log p~
    tops: tuple[Proposal, ...]
    modes: np.ndarray  # (tops,): the mode of each top

    @property
    def highest(self) -> list[int]:
        """The highest top of each mode."""
        inside = [np.flatnonzero(self.modes == k) for k in range(self.modes.max() + 1)]
        return [int(tops[np.argmax(self.heights[tops])]) for tops in inside]

    def __call__(self, draws: np.ndarray) -> np.ndarray:
        """The mode of each draw: that of the top whose own normal approximation is highest there."""
        values = []
        for height, top in zip(self.heights, self.tops, strict=True):
            x = np.linalg.solve(top.factor, (draws - top.center).T)
            values.append(height - 0.5 * (x**2).sum(axis=0))
        return np.asarray(self.modes[np.argmax(np.stack(values), axis=0)])


class _Places(NamedTuple):
    """Tops apart from one another, and the curvature at each."""

    points: np.ndarray
    values: np.ndarray
    curvatures: np.ndarray


def find_basins(key: Key, fit: Fit, scores: Scores) -> Basins | None:
    """Looks for posterior mass that q misses.

    Short quasi-Newton climbs, side by side, from q's draws, from points far outside, from those of many where the
    density stands out, and from particles led in by tempering, find tops of the density; a Student's t is set about
    each, three wide ones about q, and then one about all that these have found. With q they make a mixture r, and p's
    mass in a region A is estimated with weights w = p~ / r, which are bounded wherever any of them is:

        P(A) = sum_i w_i 1[z_i in A] / sum_i w_i,    Q(A) = the share of q's draws in A

    A point belongs to the top whose own normal approximation is heaviest there; tops without a dip of the density
    between them are one.

    Args:
        key: a typed JAX random key.
        fit: whose q is looked at.
        scores: draws of q with log p~ and log q there.

    Returns:
        What was found; None in more than 300 dimensions, where q is a point, or where no climb found a finite density.
        Nothing found is no proof: a mode far off that is narrow in several dimensions is seldom come upon.

    Source: Veach and Guibas (1995), Optimally combining sampling techniques for Monte Carlo rendering,
    doi:10.1145/218380.218498 (the mixture's weights); Owen and Zhou (2000), Safe and effective importance sampling,
    doi:10.1080/01621459.2000.10473909 (a mixture that has q as a part).
    """
    target, draws = fit.target, scores.draws
    if target.dim > FULL_RANK_DIM or target.num_values is not None or not np.isfinite(draws).all():
        return None
    if not (draws.std(axis=0) > 0).all():  # q has collapsed, or has no digits to move in
        return None
    starts = scattered(key, target, draws)
    climbs = climb_from(target, starts)
    places = _apart(target, climbs)
    if not len(places.points):
        return None
    scale = spread_of(draws)
    tops = [about_top(z, c, scale) for z, c in zip(places.points, places.curvatures, strict=True)]
    rng = numpy_generator(key)
    about_q = [about_draws(draws), *(about_draws(draws, wider=wider) for wider in FARTHER)]
    search = Search(scores, len(draws)).look(rng, fit, [*about_q, *tops], EACH)
    smoothed = search.weigh()
    if effective_draws(smoothed.log_weights) > ENOUGH * target.dim:
        about_p = about_draws(search.scores.draws, smoothed.log_weights)
        search = search.look(rng, fit, [about_p], AGAIN)
        smoothed = search.weigh()
    cost = climbs.num_gradients + (len(search.scores.draws) - len(draws)) / 3
    return _record(fit, places, tops, search, smoothed, len(starts), cost)


def _apart(target: Target, tops: Tops) -> _Places:
    """The highest tops of which none is near another, with the Hessian at each."""
    order = [int(i) for i in np.argsort(-tops.values) if np.isfinite(tops.values[i])]
    kept: list[int] = []
    for i in order:
        if len(kept) < MOST and all(_distance(tops, i, j) > SAME for j in kept):
            kept.append(i)
    if not kept:
        return _Places(tops.points[:0], tops.values[:0], tops.curvatures[:0])
    exact = -hessians_at(target, tops.points[kept])
    usable = np.isfinite(exact).all(axis=(1, 2))[:, None, None]
    return _Places(tops.points[kept], tops.values[kept], np.where(usable, exact, tops.curvatures[kept]))


def _distance(tops: Tops, i: int, j: int) -> float:
    """The squared distance of two tops in the curvature of the one from which it is larger."""
    x = tops.points[i] - tops.points[j]
    return float(max(x @ tops.curvatures[i] @ x, x @ tops.curvatures[j] @ x))


def _record(
    fit: Fit,
    places: _Places,
    tops: list[Proposal],
    search: Search,
    smoothed: Smoothed,
    num_climbs: int,
    cost: float,
) -> Basins:
    draws = search.scores.draws
    group = _modes(fit, places)
    weights = np.exp(smoothed.log_weights)
    first = Division(places.values, tuple(tops), group)(draws)
    order = np.argsort(-np.bincount(first, weights, len(set(group))))
    group = np.argsort(order)[group]  # the heaviest first
    divide = Division(places.values, tuple(tops), group)
    inside = divide(draws)[:, None] == np.arange(len(order))
    mass = masses_of_shares(inside, smoothed.log_weights)
    mass_q = masses_of_shares(inside[: search.num_q])
    effective = np.array(
        [effective_draws(smoothed.log_weights[column]) if column.any() else 0.0 for column in inside.T]
    )
    trusted = (smoothed.khat < WELL_SPREAD) | (effective >= ENOUGH)
    seen = mass.values - NUM_SES * mass.ses > WORTH_TELLING
    missed = trusted & seen & (mass_q.values + NUM_SES * mass_q.ses < HARDLY * mass.values)
    modes = places.points[divide.highest]
    padded = np.resize(modes, (MOST, fit.target.dim))  # one shape, one program
    named = constrain_draws(fit.target, jnp.asarray(padded, jnp.result_type(float)))
    sites = tuple({name: np.asarray(values[k]) for name, values in named.items()} for k in range(len(modes)))
    return Basins(
        modes, sites, mass, mass_q, tuple(map(int, np.flatnonzero(missed))), smoothed.khat, num_climbs, cost,
        draws, search.scores.log_q, smoothed.log_weights, divide,
    )  # fmt: skip


def _short(value: np.ndarray) -> str:
    """An array in a few numbers."""
    numbers = np.where(np.abs(np.ravel(value)) < ROUNDING, 0.0, np.ravel(value))
    text = ", ".join(f"{number:.3g}" for number in numbers[:4])
    return text if np.ndim(value) == 0 else f"[{text}{', ...' if len(numbers) > 4 else ''}]"


def _modes(fit: Fit, places: _Places) -> np.ndarray:
    """The mode that each top belongs to: tops without a dip between them are of one."""
    points, group = places.points, np.arange(len(places.points))
    pairs = [(i, j) for i in group for j in group[:i]]
    if not pairs:
        return group
    share = np.linspace(0, 1, ON_THE_WAY + 2)[1:-1, None]
    between = np.concatenate([(1 - share) * points[i] + share * points[j] for i, j in pairs])
    lowest = np.nanmin(score(fit, between).log_p.reshape(len(pairs), -1), axis=1)
    for (i, j), low in zip(pairs, lowest, strict=True):
        if low > min(places.values[i], places.values[j]) - DIP:
            group[group == group[i]] = group[j]
    return np.unique(group, return_inverse=True)[1]
