"""q over the posterior in the planes of two unknowns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from vi_toolkit._checks import check_continuous, check_instance, check_key, check_positive_int
from vi_toolkit._types import Key
from vi_toolkit.diagnostics.diagnose import check_reference
from vi_toolkit.diagnostics.repair.reweight import reweight
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.fit import Fit
from vi_toolkit.plots._matrix import draw_matrix, draw_one_plane
from vi_toolkit.tree.coordinates import flat_columns

MAX_COORDINATES = 5


def plot_pairs(
    key: Key,
    fit: Fit,
    *,
    reference: ExactPosterior | None = None,
    coordinates: Sequence[str] | None = None,
    coords: Mapping[str, Sequence[Any]] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    num_draws: int = 20_000,
) -> Figure:
    """Draws q over the posterior, pair by pair: the regions that hold 50 % and 90 % of the mass of each.

    On the unconstrained space. In two dimensions both come from the densities themselves, on a grid: log p~ of the
    target, normalised by log Z where that is known and over the window otherwise. In more, from draws, smoothed: p in
    grey by the reference's, or without one by q's own draws reweighted, and q in blue; their marginal densities on
    the diagonal.

    Args:
        key: a JAX random key, for the draws.
        fit: from `vi.fit`, of at least two dimensions.
        reference: the posterior as it is known by other means, from `vi.exact`.
        coordinates: which to show in more than two dimensions, at most five, such as ``["mean", "beta[0]"]``; by
            default the first five.
        coords: {dimension: labels}, as for `vi.to_datatree`.
        dims: {site: names of its dimensions}, beyond the model's plates.
        num_draws: draws of q, at least 25, and of the reference.

    Returns:
        A matplotlib figure: ``figure.savefig("pairs.png")``.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the target has one dimension, a coordinate is unknown, more than five are asked for, or the
            reference is of another posterior.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> banana = vi.zoo.banana()
        >>> fit = vi.fit(jax.random.key(0), banana.target)
        >>> axes = vi.plot_pairs(jax.random.key(1), fit, reference=banana).axes[0]
        >>> axes.get_xlabel(), axes.get_ylabel()
        ('z[0]', 'z[1]')
    """
    check_key(key)
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    num_draws = check_positive_int(num_draws, "num_draws")
    check_continuous(fit.target, "vi.plot_pairs")
    if fit.target.dim < 2:
        raise ValueError("fit: expected at least two dimensions, for a plane, got one. See vi.plot_marginals.")
    if reference is not None:
        check_reference(reference, fit)
    key_q, key_p = jax.random.split(key)
    found = reweight(key_q, fit, num_draws=num_draws)
    finite = np.isfinite(found.draws).all(axis=1)
    draws, log_weights = found.draws[finite], found.log_weights[finite]
    exact = None if reference is None else np.asarray(reference.sample(key_p, num_draws), np.float64)
    of_q = flat_columns(fit.target, draws, coords or {}, dims or {})
    if fit.target.dim == 2:
        return draw_one_plane(fit, draws, exact, list(of_q), None if reference is None else reference.log_evidence)
    chosen = _choose(list(of_q), coordinates)
    of_p = None if exact is None else flat_columns(fit.target, exact, coords or {}, dims or {})
    return draw_matrix({name: of_q[name] for name in chosen}, log_weights, found.khat, of_p)


def _choose(known: list[str], asked: Sequence[str] | None) -> list[str]:
    if asked is None:
        return known[:MAX_COORDINATES]
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise ValueError(f"coordinates: expected some of {known[:40]}, got {unknown[0]!r}.")
    if not 2 <= len(asked) <= MAX_COORDINATES:
        raise ValueError(f"coordinates: expected two to {MAX_COORDINATES}, got {len(asked)}.")
    return list(asked)
