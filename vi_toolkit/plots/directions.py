"""Mode-seeking against mass-covering: one guide fitted to one posterior in both directions of KL."""

from __future__ import annotations

import jax
from matplotlib.figure import Figure

from vi_toolkit._checks import check_continuous, check_instance, check_key
from vi_toolkit._types import Key
from vi_toolkit.algorithms import gradient
from vi_toolkit.compare import compare
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.guides import FullRankNormal, Guide
from vi_toolkit.objectives import ForwardKL, ReverseKL
from vi_toolkit.plots.comparison import plot_comparison


def plot_directions(key: Key, posterior: ExactPosterior, *, guide: Guide | None = None) -> Figure:
    r"""Fits one guide to a known posterior by each direction of KL, and draws both over it.

    The q that minimises D(q‖p) = E_q[log q - log p] seeks a mode: it pays for mass where p has none. The q that
    minimises D(p‖q) = E_p[log p - log q] covers mass: it pays for none where p has some. Drawn as by
    `vi.plot_comparison`. For the same by quadrature, with every local optimum, see
    `vi.experiments.which_way_round`.

    Args:
        key: a JAX random key, for the fits and the draws.
        posterior: from `vi.exact` or `vi.zoo`; one or two dimensions show the most.
        guide: by default a normal of full rank.

    Returns:
        A matplotlib figure: ``figure.savefig("directions.png")``.

    Raises:
        TypeError: if an argument is of the wrong kind.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> figure = vi.plot_directions(jax.random.key(0), vi.zoo.two_modes(dim=1))
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['exact posterior', 'by D(q‖p): seeks a mode', 'by D(p‖q): covers mass']

    Source: Minka (2005), Divergence measures and message passing, MSR-TR-2005-173.
    """
    check_key(key)
    check_instance(posterior, ExactPosterior, "posterior", "Take one of vi.exact or vi.zoo.")
    check_continuous(posterior.target, "vi.plot_directions")
    guide = FullRankNormal() if guide is None else guide
    check_instance(guide, Guide, "guide", "Make one, such as vi.FullRankNormal().")
    key_fit, key_draws = jax.random.split(key)
    methods = {
        "by D(q‖p): seeks a mode": gradient(guide, ReverseKL()),
        "by D(p‖q): covers mass": gradient(guide, ForwardKL()),
    }
    comparison = compare(key_fit, posterior.target, methods, reference=posterior)
    return plot_comparison(key_draws, comparison)
