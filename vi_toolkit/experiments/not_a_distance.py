"""KL is not a distance: the smallest counterexamples, on two outcomes, and two measures that are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd

from vi_toolkit import information
from vi_toolkit.experiments._distance_figure import draw_not_a_distance
from vi_toolkit.experiments.experiment import Experiment

Measure = Callable[[Any, Any], Any]  # (p, q), probability vectors in rows -> one number a row

MEASURES: dict[str, Measure] = {
    "D(p‖q)": information.kl_divergence,
    "Jeffreys, D(p‖q) + D(q‖p)": information.jeffreys,
    "Jensen-Shannon": information.jensen_shannon,
    "root of Jensen-Shannon": information.jensen_shannon_distance,
    "Wasserstein": information.wasserstein,
}
GRID = np.linspace(0.0, 1.0, 41)  # probabilities of heads
TOLERANCE = 1e-9  # a direct way is longer than a detour if it is so by more than rounding


def not_a_distance() -> Experiment:
    r"""D(p‖q) is neither symmetric nor does it satisfy the triangle inequality: the smallest counterexamples.

    Coins are enough. A search over all probabilities of heads i/n, smallest n first, finds a pair with
    D(p‖q) != D(q‖p) and three coins with D(p‖r) > D(p‖q) + D(q‖r). The same three coins, and then every triple of
    41 coins, are measured by other means: the sum of both directions and the Jensen-Shannon divergence are symmetric
    and fail the triangle too; the root of the latter and Wasserstein's distance are metrics. On two outcomes, 0 and 1,
    Wasserstein's distance is the difference of the probabilities.

    Returns:
        The experiment. Its numbers, in nats for the divergences:

        - ``asymmetric_pair`` (2,), ``asymmetry`` (2,): two coins, and D both ways.
        - ``triple`` (3,), ``direct``, ``detour``: three coins, D(p‖r), and D(p‖q) + D(q‖r).
        - ``direct_lengths``, ``detour_lengths`` (5 measures,): the same by each measure of the table.
        - ``num_violations``, ``largest_excess`` (5,): over all triples, how often and by how much at most the direct
          way is longer; ``num_triples``.

    Example:
        >>> from vi_toolkit import experiments
        >>> numbers = experiments.not_a_distance().numbers
        >>> numbers["triple"].round(4), round(numbers["direct"], 4), round(numbers["detour"], 4)  # log(2)/3, log(2)/6
        (array([0.3333, 0.5   , 0.6667]), 0.231, 0.1155)

    Source: Endres and Schindelin (2003), A new metric for probability distributions, doi:10.1109/TIT.2003.813506: the
    root of the Jensen-Shannon divergence is a metric.
    """
    triple, pair = smallest_triple(), smallest_pair()
    numbers = {
        "asymmetric_pair": pair,
        "asymmetry": np.array([between(MEASURES["D(p‖q)"], *pair), between(MEASURES["D(p‖q)"], *pair[::-1])]),
        "triple": triple,
        **_lengths(triple),
        **_violations(),
    }
    return Experiment(
        title="Not a distance",
        numbers=numbers,
        table=_table(triple, numbers),
        figure=draw_not_a_distance(MEASURES, triple, between),
        conclusion=_conclusion(numbers),
    )


def between(measure: Measure, p: Any, q: Any) -> Any:
    """A measure between coins, of each pair of probabilities of heads."""
    p, q = (np.asarray(heads, np.float64) for heads in (p, q))
    return measure(np.stack([p, 1 - p], axis=-1), np.stack([q, 1 - q], axis=-1)).value


def smallest_pair() -> np.ndarray:
    """The first pair of coins i/n, by n, with D(p‖q) != D(q‖p)."""
    kl = MEASURES["D(p‖q)"]
    return _first(2, lambda p, q: between(kl, p, q) < between(kl, q, p) - TOLERANCE)


def smallest_triple() -> np.ndarray:
    """The first three coins i/n, by n, for which the detour is shorter, by the largest factor."""
    kl = MEASURES["D(p‖q)"]

    def is_shorter(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> Any:
        direct, detour = between(kl, p, r), between(kl, p, q) + between(kl, q, r)
        return np.where(direct > detour + TOLERANCE, direct / detour, 0.0)

    with np.errstate(invalid="ignore"):
        return _first(3, is_shorter)


def _first(size: int, score: Callable[..., Any]) -> np.ndarray:
    """The coins of the largest score above 0, among those with the smallest denominators that have one."""
    coins: set[Fraction] = {Fraction(0), Fraction(1)}
    for denominator in range(2, 10):
        coins |= {Fraction(i, denominator) for i in range(denominator)}
        tried = np.array(list(permutations(sorted(coins), size)), dtype=np.float64)
        scores = np.asarray(score(*tried.T), np.float64)
        if (scores > 0).any():
            return np.asarray(tried[np.argmax(scores.round(9))])
    raise RuntimeError("no counterexample among coins with small denominators")


def _lengths(triple: np.ndarray) -> dict[str, Any]:
    p, q, r = triple
    direct = np.array([between(measure, p, r) for measure in MEASURES.values()])
    detour = np.array([between(measure, p, q) + between(measure, q, r) for measure in MEASURES.values()])
    return {
        "direct": float(direct[0]),
        "detour": float(detour[0]),
        "direct_lengths": direct,
        "detour_lengths": detour,
    }


def _violations() -> dict[str, Any]:
    """How many of all triples on the grid have a detour that is shorter, and by how much."""
    counts, largest = [], []
    p, q = (each.ravel() for each in np.meshgrid(GRID, GRID, indexing="ij"))
    for measure in MEASURES.values():
        length = between(measure, p, q).reshape(len(GRID), len(GRID))
        with np.errstate(invalid="ignore"):  # an infinite detour is never shorter
            excess = length[:, None, :] - (length[:, :, None] + length[None, :, :])
        excess = np.where(np.isnan(excess), -np.inf, excess)
        counts.append((excess > TOLERANCE).sum())
        largest.append(excess.max())
    return {
        "num_triples": float(len(GRID) ** 3),
        "num_violations": np.array(counts),
        "largest_excess": np.array(largest),
    }


def _table(triple: np.ndarray, numbers: Mapping[str, Any]) -> pd.DataFrame:
    p, q, r = triple
    rows = {}
    for index, (name, measure) in enumerate(MEASURES.items()):
        first, second = between(measure, p, q), between(measure, q, r)
        rows[name] = {
            "p to q": round(first, 4),
            "q to p": round(between(measure, q, p), 4),
            "q to r": round(second, 4),
            "p to q to r": round(first + second, 4),
            "p to r": round(numbers["direct_lengths"][index], 4),
            "triangle holds": "yes" if numbers["num_violations"][index] == 0 else "no",
            "triples that fail (%)": round(100 * numbers["num_violations"][index] / numbers["num_triples"], 1),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("measure")


def _conclusion(numbers: Mapping[str, Any]) -> str:
    p, q, r = (str(Fraction(x).limit_denominator(20)) for x in numbers["triple"])
    first, second = (str(Fraction(x).limit_denominator(20)) for x in numbers["asymmetric_pair"])
    share = 100 * numbers["num_violations"] / numbers["num_triples"]
    return (
        f"D(p‖q) is not symmetric: between coins with probabilities of heads {first} and {second} it is "
        f"{numbers['asymmetry'][0]:.4f} nats one way and {numbers['asymmetry'][1]:.4f} the other. The triangle "
        f"inequality fails for {p}, {q}, {r}: the direct way has {numbers['direct']:.4f} nats, log(2)/3, the way "
        f"through {q} {numbers['detour']:.4f}, log(2)/6. No smaller denominators do it. Of all triples of "
        f"{len(GRID)} coins {share[0]:.0f} % fail. Adding both directions makes it symmetric, and still "
        f"{share[1]:.0f} % fail; the Jensen-Shannon divergence fails for {share[2]:.0f} %. Its root and "
        "Wasserstein's distance fail for none: they are distances."
    )
