"""The marginals of a fit: as they are, as reweighting corrects them, and as they should be."""

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
from vi_toolkit.plots._small_multiples import Weighted, draw_marginals
from vi_toolkit.tree.coordinates import check_sites, columns


def plot_marginals(
    key: Key,
    fit: Fit,
    *,
    reference: ExactPosterior | None = None,
    sites: Sequence[str] | None = None,
    coords: Mapping[str, Sequence[Any]] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    num_draws: int = 10_000,
) -> Figure:
    """Draws the marginal density of every scalar: q, q reweighted towards p, and the reference in grey.

    In the model's own space, deterministic sites included, by kernel density estimates from draws z_i of q; reweighted
    with the smoothed weights w_i of `vi.reweight`. Of more than 30 scalars those are shown whose mean or sd is furthest
    from the reference's (without one, from that of q reweighted), the worst first.

    Args:
        key: a JAX random key, for the draws.
        fit: from `vi.fit`.
        reference: the posterior as it is known by other means, from `vi.exact`.
        sites: the sites to show, by name; by default all.
        coords: {dimension: labels}, as for `vi.to_datatree`.
        dims: {site: names of its dimensions}, beyond the model's plates.
        num_draws: draws of q, at least 25, and of the reference.

    Returns:
        A matplotlib figure: ``figure.savefig("marginals.png")``.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a site is unknown, there are fewer than 25 draws, or the reference is of another posterior.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> exact = vi.exact.beta_binomial(7, 10, a=1.0, b=1.0)
        >>> fit = vi.fit(jax.random.key(0), exact.target)
        >>> figure = vi.plot_marginals(jax.random.key(1), fit, reference=exact)
        >>> [axes.get_title(loc="left") for axes in figure.axes]
        ['probability']
    """
    check_key(key)
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    num_draws = check_positive_int(num_draws, "num_draws")
    check_continuous(fit.target, "vi.plot_marginals")
    chosen = check_sites(fit.target, sites)
    if reference is not None:
        check_reference(reference, fit)
    key_q, key_p = jax.random.split(key)
    found = reweight(key_q, fit, num_draws=num_draws)
    finite = np.isfinite(found.draws).all(axis=1)
    of_q = columns(fit.target, found.draws[finite], chosen, coords or {}, dims or {})
    of_p = None
    if reference is not None:
        of_p = columns(fit.target, reference.sample(key_p, num_draws), chosen, coords or {}, dims or {})
    return draw_marginals(Weighted(of_q, found.log_weights[finite], found.khat), of_p)
