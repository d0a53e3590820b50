"""Whether a posterior is improper: how its log density falls along rays that go far out of an approximation."""

from __future__ import annotations

import numpy as np

from vi_toolkit.preflight._flat import in_words
from vi_toolkit.preflight._look import look_at
from vi_toolkit.targets import Target

DISTANCES = np.array([1e2, 1e8, 1e20])  # in standard deviations of the draws, which may have collapsed
SLOWEST = -1.01  # of the slope of log p~ against the logarithm of the distance
MOST_AXES = 100  # coordinates that have rays of their own
NUM_CENTRES = 2
NUM_MIXED = 8  # rays through draws


def improper_rays(target: Target, draws: np.ndarray) -> np.ndarray:
    """The directions (rays, dim) out of draws of q, (draws, dim), along which log p~ falls too slowly to be integrated.

    Along a line, the integral of a density is finite only where it falls faster than 1 / distance, that is where
    d log p~ / d log distance < -1. The slopes from 1e2 to 1e8 and to 1e20 standard deviations are held against that:
    they are 0 for a flat density, -2 for a Cauchy, and without bound for whatever falls exponentially (which the first
    tells where floats run out before the second). Rays start at the two likeliest draws, and go along both ways of
    every coordinate (of up to 100), through other draws, and away from the origin.
    """
    finite = draws[np.isfinite(draws).all(axis=1)]
    with np.errstate(over="ignore", invalid="ignore"):  # a fit may have gone as far out as floats reach
        sds = finite.std(axis=0) if len(finite) > 1 else np.zeros(target.dim)
    if not (np.all(sds > 0) and np.all(sds < 1e100)):
        return np.zeros((0, target.dim))
    values = look_at(target, finite).values
    centres = finite[np.argsort(-np.where(np.isnan(values), -np.inf, values))[:NUM_CENTRES]]
    rays = _rays(finite, sds)
    starts = np.repeat(centres, len(rays), axis=0)
    ways = np.tile(rays, (len(centres), 1))
    there = look_at(target, np.concatenate([starts + distance * ways for distance in DISTANCES])).values
    there = there.reshape(len(DISTANCES), -1)
    with np.errstate(invalid="ignore"):
        slopes = np.diff(there, axis=0) / np.diff(np.log(DISTANCES))[:, None]
        slow = np.all(np.isfinite(slopes) & (slopes > SLOWEST), axis=0)
    return rays[slow.reshape(len(centres), -1).any(axis=0)]


def improper_words(target: Target, rays: np.ndarray) -> list[str]:
    """What such rays say, by the names of the coordinates."""
    if not len(rays):
        return []
    single = np.abs(rays[np.count_nonzero(rays, axis=1) == 1])  # both ways of a coordinate by its name
    shown = single if len(single) else rays[:1]
    named = list(dict.fromkeys(in_words(target, ray / np.abs(ray).max()) for ray in shown))
    more = f" and {len(named) - 4} more" * (len(named) > 4)
    return [
        f"The posterior is improper: its density does not fall to zero fast enough along {', '.join(named[:4])}{more} "
        f"(looked at out to {DISTANCES[-1]:.0e} standard deviations). It has no mean and no width there, whatever the "
        "fit says. Give these unknowns proper priors."
    ]


def _rays(draws: np.ndarray, sds: np.ndarray) -> np.ndarray:
    axes = np.diag(sds) if len(sds) <= MOST_AXES else np.zeros((0, len(sds)))
    centre = draws.mean(axis=0)
    size = np.linalg.norm(centre / sds)
    mixed = [*(draws - centre)[:NUM_MIXED], *([centre / size] if size > 0 else [])]
    return np.concatenate([axes, -axes, np.array(mixed)])
