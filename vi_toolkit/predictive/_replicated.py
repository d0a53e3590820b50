"""What is read off replicated data sets, piece by piece, so that they are never all in memory at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import describe
from vi_toolkit._pieces import PIECE, pieces
from vi_toolkit._types import Key
from vi_toolkit.targets import Target
from vi_toolkit.targets.target import predictive_draws

MOST = 10_000_000  # numbers that are drawn at once

Statistic = Callable[[np.ndarray], Any]
Statistics = Mapping[str, Statistic]


class Observed(NamedTuple):
    """The data of one observed site."""

    values: np.ndarray  # in the shape that it is drawn in
    counts: np.ndarray  # booleans of that shape: False where the model masks a value out

    def seen(self, values: np.ndarray) -> np.ndarray:
        """What statistics are given of values: as they are, or one after another where some are masked out."""
        seen = values if self.counts.all() else values[self.counts]
        return seen.astype(np.float64) if seen.dtype.kind == "f" else seen


class Replicated(NamedTuple):
    """Statistics of the observed and of the replicated data of one site."""

    observed: dict[str, float]
    drawn: dict[str, np.ndarray]  # {statistic: (draws,)}
    pit: np.ndarray  # sum_s w_s ([y_s < y] + [y_s = y] / 2) of each value, NaN where it is masked out


def observed_sites(target: Target) -> dict[str, Observed]:
    """The observed sites of which at least one value counts."""
    values, counted = target.observed(), target.counted()
    found = {name: Observed(np.broadcast_to(values[name], counts.shape), counts) for name, counts in counted.items()}
    return {name: site for name, site in found.items() if site.counts.any()}


def replicate(
    key: Key,
    target: Target,
    draws: np.ndarray,
    weights: np.ndarray,
    sites: Mapping[str, Observed],
    statistics: Mapping[str, Statistics],
) -> dict[str, Replicated]:
    """One data set for each draw (draws, dim), and what there is to say of its sites; the weights sum to one."""
    observed = {site: {n: _value(f, n, sites[site].seen(sites[site].values)) for n, f in own.items()}
                for site, own in statistics.items()}  # fmt: skip
    drawn: dict[str, dict[str, list[float]]] = {site: {name: [] for name in own} for site, own in statistics.items()}
    pit = {name: np.zeros(site.values.shape) for name, site in sites.items()}
    size = int(np.clip(MOST // sum(site.values.size for site in sites.values()), 1, PIECE))
    for number, (piece, count) in enumerate(pieces(draws.astype(jnp.result_type(float)), size)):
        own_weights = weights[number * size : number * size + count]
        found = predictive_draws(target, jax.random.fold_in(key, number), piece)
        for name, site in sites.items():
            values = np.asarray(found[name])[:count]
            below = 0.5 * (values < site.values) + 0.5 * (values <= site.values)
            pit[name] += np.tensordot(own_weights, below, axes=1)
            for statistic, f in statistics[name].items():
                drawn[name][statistic] += [_value(f, statistic, site.seen(np.asarray(each))) for each in values]
    return {
        name: Replicated(
            observed[name],
            {statistic: np.array(values) for statistic, values in drawn[name].items()},
            np.where(site.counts, pit[name], np.nan),
        )
        for name, site in sites.items()
    }


def _value(statistic: Statistic, name: str, values: np.ndarray) -> float:
    with np.errstate(all="ignore"):  # what overflows is counted, and told
        value = np.asarray(statistic(values))
    if value.size != 1 or value.dtype.kind not in "biuf":
        raise TypeError(
            f"statistics[{name!r}]: expected one number for data of shape {values.shape}, got {describe(value)}."
        )
    return float(value.item())
