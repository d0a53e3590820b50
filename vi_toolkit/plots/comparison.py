"""Several approximations of one posterior, each held against the exact one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from vi_toolkit._checks import check_continuous, check_instance, check_key, check_positive_int
from vi_toolkit._types import Key
from vi_toolkit.compare import Comparison
from vi_toolkit.plots._forest import draw_forest
from vi_toolkit.plots._low_dim import draw_line, draw_plane
from vi_toolkit.plots._style import style
from vi_toolkit.tree.coordinates import check_sites


def plot_comparison(
    key: Key,
    comparison: Comparison,
    *,
    sites: Sequence[str] | None = None,
    coords: Mapping[str, Sequence[Any]] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    num_draws: int = 10_000,
) -> Figure:
    """Draws every fitted guide over the exact posterior: which part of it each covers, at a glance.

    - One dimension: the densities, over the exact one in grey.
    - Two dimensions: a panel for each guide with its regions of highest density, which hold 50 % and 90 % of its
      mass, over the same regions of the exact posterior in grey; below, both marginal densities.
    - More, or where ``sites`` are chosen: the middle 50 % and 90 % of every scalar, counted in exact posterior standard
      deviations from the exact mean, whose value and sd stand at the right; beside it, the 90 % regions of the two
      most correlated unknowns, estimated from draws.

    Densities and regions are those of the unconstrained space, intervals those of the model's own. Without a reference,
    the posterior is normalised over the window that the guides span (one and two dimensions), or left out.

    Args:
        key: a JAX random key, for the draws.
        comparison: from `vi.compare`.
        sites: the sites to show, by name; by default all. At most 30 of their scalars are drawn.
        coords: {dimension: labels}, as for `vi.to_datatree`: ``{"predictor": ["age", "sex"]}``.
        dims: {site: names of its dimensions}, beyond the model's plates: ``{"beta": ["predictor"]}``.
        num_draws: draws of the exact posterior and of each guide.

    Returns:
        A matplotlib figure: ``figure.savefig("comparison.png")``.

    Raises:
        TypeError: if ``comparison`` is something else.
        ValueError: if a site is unknown, or no guide has finite draws.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> from vi_toolkit import exact
        >>> from vi_toolkit.compare import compare
        >>> from vi_toolkit.plots import plot_comparison
        >>> modes = exact.gaussian_mixture([0.5, 0.5], [[-2.0], [2.0]], [[[1.0]], [[1.0]]])
        >>> methods = {"reverse KL": vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())}
        >>> comparison = compare(jax.random.key(0), modes.target, methods, reference=modes)
        >>> [axes.get_ylabel() for axes in plot_comparison(jax.random.key(1), comparison).axes]
        ['density']
    """
    check_key(key)
    check_instance(comparison, Comparison, "comparison", "Pass what vi.compare returned.")
    num_draws = check_positive_int(num_draws, "num_draws")
    check_continuous(comparison.target, "vi.plot_comparison")
    target = comparison.target
    chosen = check_sites(target, sites)
    exact, guides = _draws(key, comparison, num_draws)
    with style():
        if sites is None and target.dim == 1:
            return draw_line(comparison, exact, guides)
        if sites is None and target.dim == 2:
            return draw_plane(comparison, exact, guides)
        return draw_forest(target, exact, guides, sites=chosen, coords=coords or {}, dims=dims or {})


def _draws(key: Key, comparison: Comparison, num_draws: int) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
    """Draws (draws, dim) of the exact posterior, where there is one, and of each guide that has finite ones."""
    keys = jax.random.split(key, len(comparison.fits) + 1)
    reference = comparison.reference
    exact = None if reference is None else np.asarray(reference.sample(keys[0], num_draws), np.float64)
    guides: dict[str, np.ndarray] = {}
    for key_fit, (name, fit) in zip(keys[1:], comparison.fits.items(), strict=True):
        draws = np.asarray(fit.posterior.sample(key_fit, (num_draws,)), np.float64)
        draws = draws[np.isfinite(draws).all(axis=1)]
        if len(draws) > num_draws // 2:
            guides[name] = draws
    if not guides:
        raise ValueError("comparison: no guide has finite draws, so there is nothing to draw. See the fits' warnings.")
    return exact, guides
