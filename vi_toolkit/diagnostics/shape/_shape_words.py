"""Findings about a posterior's shape, in words that name sites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vi_toolkit.targets import Target
from vi_toolkit.targets.coordinates import coordinate_names, names_together, sites_of


class Finding(NamedTuple):
    """One thing that was found about the shape of p.

    Attributes:
        kind: "funnel", "bent", "tails", "boundary", "correlation" or "flat".
        sites: the coordinates it is about, by name: what is shaped first, then by what.
        size: how much of it there is; what it counts depends on the kind and is said in ``words``.
        words: a sentence.
        advice: what to try, or nothing.

    Example:
        >>> from vi_toolkit.diagnostics.shape.shape import Finding
        >>> Finding("tails", ("z",), 1.0, "The tails of p are heavier than q's in z.", "").sites
        ('z',)
    """

    kind: str
    sites: tuple[str, ...]
    size: float
    words: str
    advice: str


class Tail(NamedTuple):
    words: str
    advice: str


HEAVIER = Tail("heavier than q's", "Take a guide with heavier tails: vi.StudentT(), or vi.MeanFieldStudentT().")
HEAVIER_ONE_SIDE = Tail("heavier than q's on one side", "Take a guide that leans: vi.SinhArcsinhNormal(), or a flow.")
LIGHTER = Tail("lighter than q's", "")


def listed(names: Sequence[str]) -> str:
    """Names in a row."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def funnel(target: Target, scaled: Sequence[int], by: int, size: float, factor: float, falls: bool) -> Finding:
    """The scale of some coordinates depends on another."""
    names, cause = names_together(target, scaled), coordinate_names(target)[by]
    words = (
        f"Like a funnel: the scale of {listed(names)} depends on {cause}, the curvature along it changing by a factor "
        f"of {factor:.2g} over q's width in {cause}."
    )
    return Finding("funnel", (*names, cause), size, words, _other_parametrisation(target, scaled, by, falls))


def _other_parametrisation(target: Target, scaled: Sequence[int], by: int, falls: bool) -> str:
    """Non-centred where the prior of a site has the other one in it; centred where the data know more."""
    sites = sites_of(target)
    cause = next(site.name for site in sites if site.start <= by < site.stop)
    owners = [site.name for site in sites if any(site.start <= i < site.stop for i in scaled) and site.name != cause]
    if not owners:
        scaled_names = listed(names_together(target, scaled))
        return (
            f"Write {scaled_names} divided by the scale that {coordinate_names(target)[by]} sets, so that it is fixed."
        )
    parents = target.dependencies()
    by_prior = [name for name in owners if cause in parents.get(name, ())] if parents else owners * falls
    if by_prior:
        first = by_prior[0]
        return (
            f"Write {listed(by_prior)} non-centred: {first} = location + {cause} * {first}_raw "
            f"(numpyro.infer.reparam.LocScaleReparam(0) on {first!r})."
        )
    if not falls:
        return (
            f"The data, more than the prior, set the scale of {listed(owners)}: write it centred, with {cause} as the "
            "scale of its prior, or partly so (numpyro.infer.reparam.LocScaleReparam with a centred share)."
        )
    return f"Take a guide in which the scale of {listed(owners)} follows {cause}: a flow (vi.AffineCouplingFlow())."


def bent(target: Target, pairs: Sequence[tuple[int, int]], size: float) -> Finding:
    """Where one coordinate lies is a curve in another."""
    names = coordinate_names(target)
    sites = tuple(f"{names[i]} by {names[j]}" for i, j in pairs)
    words = (
        f"Bent like a banana: where {listed(sites).replace(' by ', ' lies, given ')}, is a curve and no line, by up to "
        f"{size:.2g} conditional standard deviations."
    )
    advice = "Take a guide that bends: a flow (vi.AffineCouplingFlow()), or a vi.NormalMixture."
    return Finding("bent", sites, size, words, advice)


def tails(target: Target, columns: Sequence[int], size: float, kind: Tail) -> Finding:
    """The tails of p and q are of different kinds."""
    names = names_together(target, columns)
    words = (
        f"The tails of p are {kind.words} in {listed(names)}: between 2 and 4 of q's standard deviations, log p "
        f"falls like the distance to the power {size:.2g}."
    )
    return Finding("tails", names, size, words, kind.advice)


def boundary(target: Target, share: float, columns: Sequence[int]) -> Finding:
    """Draws lie where p is zero."""
    names = names_together(target, sorted(columns))
    where = f"; they are told apart by {listed(names)}" if names else ""
    words = f"{100 * share:.2g} % of q's draws lie where p is zero{where}."
    advice = f"Give {listed(names) if names else 'the site'} the support that the model means, so that q keeps to it."
    return Finding("boundary", names, share, words, advice)


def correlation(target: Target, pairs: Sequence[tuple[int, int]], p: np.ndarray, q: np.ndarray) -> Finding:
    """Correlations of p that q does not have; ``p`` and ``q`` hold those of each pair."""
    names = coordinate_names(target)
    sites = tuple(f"{names[i]} and {names[j]}" for i, j in pairs)
    parts = [f"{pair} ({a:.2f}, and {b:.2f} in q)" for pair, a, b in zip(sites, p, q, strict=True)]
    words = f"p has correlations that q has not: {'; '.join(parts)}."
    without = np.abs(q).max() < 0.1
    advice = (
        f"Take a guide with a correlation between {sites[0]}: vi.FullRankNormal(), vi.LowRankNormal(rank), "
        "vi.BlockNormal(...) or vi.StructuredNormal.from_model(target)."
        if without
        else "Let the fit run on (vi.resume), or take vi.FullRankNormal()."
    )
    return Finding("correlation", sites, float(np.abs(p - q).max()), words, advice)


def flat(target: Target, loadings: np.ndarray, columns: np.ndarray, curvature: float) -> Finding:
    """A direction in which p is far wider than q, or has no end."""
    top = np.flatnonzero(np.abs(loadings) >= 0.5 * np.abs(loadings).max())
    names = names_together(target, [int(i) for i in columns[top]])
    times = "without end" if curvature <= 0 else f"about {curvature**-0.5:.2g} times as wide as q"
    words = f"p is nearly flat in a direction of {listed(names)}: {times} there, by its curvature."
    advice = f"Give {listed(names)} a proper prior, or fix what the data cannot tell apart; else take a wider guide."
    return Finding("flat", names, curvature, words, advice)
