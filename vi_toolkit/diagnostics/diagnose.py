"""How good a fit is, in numbers and in one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax

from vi_toolkit._checks import check_instance, check_key, check_positive_int
from vi_toolkit._types import Key, typed_key
from vi_toolkit.diagnostics._against import hold_against
from vi_toolkit.diagnostics._details import explain as explain_fit
from vi_toolkit.diagnostics._gather import gather
from vi_toolkit.diagnostics._report import Found, report
from vi_toolkit.diagnostics.diagnosis import Diagnosis
from vi_toolkit.diagnostics.judge import settled
from vi_toolkit.diagnostics.scores._scores import draw_and_score, joined
from vi_toolkit.diagnostics.search.basins import find_basins
from vi_toolkit.diagnostics.weights.psis import MIN_DRAWS
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.fit import Fit
from vi_toolkit.targets.values import own_values

MOST_TIMES = 8  # as many draws as were asked for, until the verdict is clear


def diagnose(
    key: Key,
    fit: Fit,
    *,
    reference: ExactPosterior | None = None,
    num_draws: int = 4000,
    search: bool = True,
    explain: bool = True,
) -> Diagnosis:
    """Says how good a fit is, part by part and in words: means, spreads, tails and modes; and what to try next.

    - The *weights* log p~(z_i) - log q(z_i) of draws z_i of q give k-hat, the ELBO, log Z, bounds of it from both sides
      (`vi.diagnostics.bracket`), and how far q's means and spreads are from those of the weighted draws. Draws are
      added until a verdict by them is clear, up to eight times ``num_draws``.
    - A *search* looks for posterior mass that q's draws never see (`vi.diagnostics.Basins`).
    - To *explain*, gradients of log p~ are taken at draws of q: Stein's test, Fisher's divergence, the shape of p
      (`vi.diagnostics.Shape`), and whether the optimisation is at rest (`vi.diagnostics.Convergence`).

    The rules are those of `vi.diagnostics.judge`; how often they are wrong is in docs/VERDICTS.md. With a reference
    that is known by its draws alone, log Z comes from bridge sampling and the errors' standard errors allow for the
    correlation of its draws.

    Args:
        key: a JAX random key; take another one than for the fit.
        fit: from `vi.fit`.
        reference: the posterior as it is known by other means, from `vi.exact`; on the same unconstrained space as the
            fit's target. Means, spreads and modes are then judged by it alone.
        num_draws: draws of q to begin with, at least 25, and of a reference that can be drawn from.
        search: whether to look beyond q's draws; without, a missed mode cannot be told, and nothing is compiled but
            the densities.
        explain: whether to take gradients.

    Returns:
        The diagnosis; printing it shows a table.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if there are fewer than 25 draws, or the reference is of another posterior.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> exact = vi.exact.gaussian_mixture([0.5, 0.5], [[-10.0], [10.0]], [[[1.0]], [[1.0]]])
        >>> fit = vi.fit(jax.random.key(0), exact.target)  # reverse KL ends on one of the modes
        >>> found = vi.diagnose(jax.random.key(1), fit)
        >>> found.verdict.name, found.verdicts["tails"].name, found.verdicts["modes"].name
        ('NOT_TRUSTED', 'GOOD', 'NOT_TRUSTED')
        >>> abs(found.basins.mass.values - 0.5).max() < 0.05
        np.True_
        >>> seeing = vi.diagnose(jax.random.key(1), fit, reference=exact)
        >>> round(seeing.reverse_kl, 2)  # D(q||p) is log 2
        0.69

    Source: Yao, Vehtari, Simpson and Gelman (2018), Yes, but did it work? Evaluating variational inference,
    arXiv:1802.02538.
    """
    check_key(key)
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    num_draws = check_positive_int(num_draws, "num_draws")
    if num_draws < MIN_DRAWS:
        raise ValueError(f"num_draws: expected at least {MIN_DRAWS}, to fit the tail of the weights, got {num_draws}.")
    if reference is not None:
        check_reference(reference, fit)
    key_q, key_p, key_search, key_explain = jax.random.split(typed_key(key), 4)
    scores = draw_and_score(key_q, fit, num_draws)
    basins = find_basins(key_search, fit, scores) if search else None
    explanation = explain_fit(key_explain, fit, scores) if explain else None
    own = own_values(fit.target)
    evidence, smoothed = gather(fit, own, scores, basins, explanation)
    times = 1
    while times < MOST_TIMES and not settled(evidence):
        for time in range(times, 2 * times):
            scores = joined(scores, draw_and_score(jax.random.fold_in(key_q, time), fit, num_draws))
        times *= 2
        evidence, smoothed = gather(fit, own, scores, basins, explanation)
    against = None
    if reference is not None:
        against = hold_against(key_p, fit, scores, smoothed.log_weights, reference, num_draws, own)
        evidence = replace(
            evidence, reverse_kl=against.reverse_kl, measured=against.measured, reweighted=against.reweighted,
            forward_kl=against.forward_kl,
        )  # fmt: skip
    return report(fit, Found(own, scores, evidence, basins, explanation, against, reference))


def check_reference(reference: Any, fit: Fit, name: str = "reference") -> None:
    """Raises unless ``reference`` is a known posterior on the space of the fit's target."""
    check_instance(reference, ExactPosterior, name, "Make one with vi.exact, for example vi.exact.grid(target).")
    if reference.dim != fit.target.dim:
        raise ValueError(
            f"{name}: expected one of dim {fit.target.dim}, that of the fit's target, got {reference.dim} "
            f"({reference.name})."
        )
