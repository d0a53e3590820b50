"""D(p‖q) and H(p, q) minimised over both p and q: one leaves p broad, the other drives it to a point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from vi_toolkit.experiments._free_descent import CATEGORICAL, GAUSSIAN, Descent, descend
from vi_toolkit.experiments._free_figure import draw_both_sides_free
from vi_toolkit.experiments.experiment import Experiment, precision_words

OUTCOMES, STARTS = 8, 6
COINS = np.array([[0.15, 0.6], [0.4, 0.9], [0.25, 0.05], [0.6, 0.15], [0.85, 0.45], [0.7, 0.95]])  # (p, q) of heads


def both_sides_free() -> Experiment:
    r"""What happens when p and q are both free.

    D(p‖q) is 0 wherever p = q, so its minimum is a whole valley: p and q meet, and nothing pulls at p's entropy. But
    H(p, q) = H(p) + D(p‖q) is also made smaller by a smaller H(p), and is 0 only where both are the same point mass;
    for densities H(p) has no lower bound. Both losses are minimised over both sides by gradient descent, from the same
    starts: pairs of coins, of categoricals with 8 outcomes, and of Gaussians (whose means move in units of their sds).

    Returns:
        The experiment. Its numbers, in nats; the first of two axes is for D(p‖q) and H(p, q):

        - ``<kind>_start_entropies`` (starts,), ``<kind>_end_entropies`` (2, starts) and ``<kind>_end_divergences``
          (2, starts): H(p) and D(p‖q), for the kinds ``coin``, ``categorical`` and ``gaussian``.
        - ``largest_probabilities`` (2, starts): of the categorical p at the end.
        - ``gaussian_slope``: what H(p) loses under H(p, q) in the last step, over the step size; 1/2 in the limit.

    Example:
        >>> from vi_toolkit import experiments
        >>> numbers = experiments.both_sides_free().numbers
        >>> numbers["categorical_end_entropies"].min(axis=1).round(2)
        array([1.53, 0.  ])

    Source: Cover and Thomas (2006), Elements of Information Theory, 2nd edition, chapters 2 and 8,
    doi:10.1002/047174882X.
    """
    kinds = {
        "coin": descend(CATEGORICAL, np.log(np.stack([COINS, 1 - COINS], axis=-1))),
        "categorical": descend(CATEGORICAL, _categorical_starts()),
        "gaussian": descend(GAUSSIAN, _gaussian_starts()),
    }
    numbers = _numbers(kinds)
    return Experiment(
        title="Both sides free",
        numbers=numbers,
        table=_table(numbers),
        figure=draw_both_sides_free(*kinds.values()),
        conclusion=_conclusion(numbers),
    )


def _categorical_starts() -> np.ndarray:
    """Logits (starts, 2, outcomes): p and q lean to different outcomes, each start more than the one before."""
    outcome = np.arange(OUTCOMES)
    lean = np.linspace(0.3, 1.6, STARTS)[:, None]
    return np.stack([lean * np.cos(outcome), lean * np.cos(1.7 * outcome + 2.0)], axis=1)


def _gaussian_starts() -> np.ndarray:
    """(starts, 2, (mean, log sd)): p from narrow to broad; q one sd of p away, in turn narrower and broader."""
    log_sd = np.linspace(-1.0, 1.5, STARTS)
    other = log_sd + 0.3 * (-1.0) ** np.arange(STARTS)
    return np.stack([np.stack([0 * log_sd, log_sd], axis=1), np.stack([np.exp(log_sd), other], axis=1)], axis=1)


def _numbers(kinds: Mapping[str, Descent]) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for kind, descent in kinds.items():
        numbers[f"{kind}_start_entropies"] = descent.entropies[0, :, 0]
        numbers[f"{kind}_end_entropies"] = descent.entropies[:, :, -1]
        numbers[f"{kind}_end_divergences"] = descent.divergences[:, :, -1]
    ends = softmax(kinds["categorical"].paths[:, :, -1, 0], axis=-1)
    last = kinds["gaussian"].entropies[1, :, -2:]
    return {
        **numbers,
        "largest_probabilities": ends.max(axis=-1),
        "gaussian_slope": float(np.mean(last[:, 0] - last[:, 1]) / GAUSSIAN.rate),
    }


def _table(numbers: Mapping[str, Any]) -> pd.DataFrame:
    rows = {}
    for kind in ("coin", "categorical", "gaussian"):
        for index, loss in enumerate(("D(p‖q)", "H(p, q)")):
            rows[kind, loss] = {
                "H(p) at the start": _span(numbers[f"{kind}_start_entropies"]),
                "H(p) at the end": _span(numbers[f"{kind}_end_entropies"][index]),
                "D(p‖q) at the end": f"{numbers[f'{kind}_end_divergences'][index].max():.0e} at most",
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["p and q", "minimised"])


def _span(values: np.ndarray) -> str:
    return f"{values.min():.4f} to {values.max():.4f}"


def _conclusion(numbers: Mapping[str, Any]) -> str:
    start, end = numbers["categorical_start_entropies"], numbers["categorical_end_entropies"]
    gaussian, slope = numbers["gaussian_end_entropies"], numbers["gaussian_slope"]
    return (
        f"With both sides free, minimising D(p‖q) makes p and q meet, anywhere: from {len(start)} starts D(p‖q) "
        f"ends at most at {numbers['categorical_end_divergences'][0].max():.0e} nats, and the entropy of p over "
        f"{OUTCOMES} outcomes, {_span(start)} nats at the start, is {_span(end[0])} at the end. It changes by at "
        f"most {np.abs(end[0] - start).max():.2f} nats, as p goes to meet q: p stays as broad as it was. "
        "Minimising H(p, q) = H(p) + D(p‖q) from the same starts drives both to one point: the entropy of p ends "
        f"at {end[1].max():.4f} nats at most, with at least {100 * numbers['largest_probabilities'][1].min():.3f} "
        "% of its mass on one outcome."
        "\n\n"
        "For Gaussians there is no bottom: under D(p‖q) the entropy of p, "
        f"{_span(numbers['gaussian_start_entropies'])} nats at the start, ends at {_span(gaussian[0])}; under H(p, "
        f"q) it is at {gaussian[1].max():.1f} or less and falls on, by {slope:.3f} nats for each unit of step. A "
        "cross-entropy with a p that learns needs something that keeps p broad; the entropy -H(p), added, makes "
        f"it D(p‖q). {precision_words()}"
    )
