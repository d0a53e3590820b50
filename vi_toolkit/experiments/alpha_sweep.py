"""From covering mass to seeking a mode: fits of one normal by Renyi's divergences as their order goes from -2 to 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from vi_toolkit import zoo
from vi_toolkit._checks import check_key
from vi_toolkit._types import Key
from vi_toolkit.algorithms import Method, gradient
from vi_toolkit.compare import Comparison, compare
from vi_toolkit.exact import ExactPosterior
from vi_toolkit.experiments._alpha_figure import draw_alpha_sweep
from vi_toolkit.experiments.experiment import Experiment
from vi_toolkit.guides import FullRankNormal, Guide, MeanFieldNormal
from vi_toolkit.information import entropy
from vi_toolkit.objectives import ForwardKL, Objective, Renyi, ReverseKL

ALPHAS = (-2.0, -1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)


def alpha_sweep(
    key: Key,
    *,
    alphas: Sequence[float] = ALPHAS,
    posteriors: Mapping[str, ExactPosterior] | None = None,
    guides: Mapping[str, Guide] | None = None,
) -> Experiment:
    r"""Which posteriors mass-covering and mode-seeking divergences give, by order.

    Every guide is fitted to every posterior by Renyi's divergence of order alpha, D_alpha(q‖p) for alpha > 0 and the
    upper bound on log Z for alpha < 0 (`vi.Renyi`). Order 1 is reverse KL; at order 0 the divergence, divided by
    alpha, is forward KL; order -1 is chi-square. Small orders weigh most where p is larger than q, large ones where
    q is larger than p.

    Args:
        key: a JAX random key; every fit to one posterior uses the same.
        alphas: the orders.
        posteriors: {name: posterior}; by default two well separated modes of unequal weight, and a correlated Gaussian.
        guides: {name: guide}; by default a mean-field and a full-rank normal.

    Returns:
        The experiment. Its table has one row for each posterior, guide and order: the status of the fit, the entropy of
        q in nats, the smallest and largest ratio of an sd of q to that of p, the mass of q at its main mode of p,
        D(q‖p) and D(p‖q).

    Raises:
        TypeError: if ``key`` is no JAX random key.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> known = {"correlated": vi.zoo.correlated_gaussian(2, condition_number=9.0)}
        >>> guides = {"mean field": vi.MeanFieldNormal()}
        >>> swept = vi.experiments.alpha_sweep(jax.random.key(0), alphas=[0.0, 1.0], posteriors=known, guides=guides)
        >>> [round(ratio, 1) for ratio in swept.table["max sd ratio"]]  # forward KL has the marginal sds
        [1.0, 0.9]

    Source: Li & Turner (2016), Renyi divergence variational inference, arXiv:1602.02311; Minka (2005), Divergence
    measures and message passing, MSR-TR-2005-173.
    """
    check_key(key)
    if posteriors is None:
        posteriors = {
            "two modes": zoo.two_modes(separation=6.0, weights=(0.7, 0.3), dim=2),
            "correlated Gaussian": zoo.correlated_gaussian(2, condition_number=20.0),
        }
    guides = {"mean field": MeanFieldNormal(), "full rank": FullRankNormal()} if guides is None else guides
    methods = {name: methods_by_order(guide, alphas) for name, guide in guides.items()}
    rows: list[dict[str, Any]] = []
    numbers: dict[str, Any] = {}
    for posterior_name, posterior in posteriors.items():
        for guide_name, by_order in methods.items():
            found = compare(key, posterior.target, by_order, reference=posterior)
            rows += [row(posterior_name, guide_name, alpha, found) for alpha in alphas]
            entropies = [line["entropy (nats)"] for line in rows[-len(alphas) :]]
            numbers[f"entropy of {guide_name} on {posterior_name}"] = np.array(entropies)
    table = pd.DataFrame(rows)
    true = {name: float(entropy(posterior.target, key=key).value) for name, posterior in posteriors.items()}
    figure = draw_alpha_sweep(table, {name: posterior.mode_weights for name, posterior in posteriors.items()}, true)
    return Experiment("From covering mass to seeking a mode", numbers, table, figure, conclusion(table, true))


def methods_by_order(guide: Guide, alphas: Sequence[float]) -> dict[str, Method]:
    """A method for each order, named by it."""
    return {name_of(alpha): gradient(guide, objective_of_order(alpha)) for alpha in alphas}


def objective_of_order(alpha: float) -> Objective:
    """Renyi's divergence of any order; forward KL at 0 and reverse KL at 1."""
    return {0.0: ForwardKL(), 1.0: ReverseKL()}.get(float(alpha)) or Renyi(float(alpha))


def name_of(alpha: float) -> str:
    """The order as text."""
    return f"{alpha:g}"


def row(posterior: str, guide: str, alpha: float, found: Comparison) -> dict[str, Any]:
    """One line of the table."""
    name = name_of(alpha)
    line = found.table.loc[name]
    masses = line.get("mode masses")
    return {
        "posterior": posterior,
        "guide": guide,
        "alpha": float(alpha),
        "status": line["status"],
        "entropy (nats)": float(entropy(found.fits[name].posterior).value),
        "min sd ratio": line["min sd ratio"],
        "max sd ratio": line["max sd ratio"],
        "main mode mass": max(masses) if isinstance(masses, tuple) and len(masses) > 1 else np.nan,
        "D(q||p) (nats)": line["D(q||p) (nats)"],
        "D(p||q) (nats)": line["D(p||q) (nats)"],
    }


def conclusion(table: pd.DataFrame, true: Mapping[str, float]) -> str:
    """What the numbers show."""
    said = []
    for (posterior, guide), part in table.groupby(["posterior", "guide"], sort=False):
        first, last = part.iloc[0], part.iloc[-1]
        words = (
            f"{posterior}, {guide}: from alpha = {first['alpha']:g} to {last['alpha']:g} the entropy of q goes from "
            f"{first['entropy (nats)']:.2f} to {last['entropy (nats)']:.2f} nats (p has {true[str(posterior)]:.2f}), "
            f"the largest sd ratio from {first['max sd ratio']:.2f} to {last['max sd ratio']:.2f}"
        )
        if np.isfinite(first["main mode mass"]):
            words += f", the mass at one mode from {first['main mode mass']:.2f} to {last['main mode mass']:.2f}"
        said.append(words + ".")
    return "\n\n".join(said)
