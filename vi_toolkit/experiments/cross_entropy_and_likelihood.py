"""Cross-entropy, negative log-likelihood and KL: where they are the same, and where they are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from vi_toolkit.experiments._likelihood_figure import draw_likelihood
from vi_toolkit.experiments._likelihood_limits import (
    OWN_SHARE,
    PRIOR_SD,
    SMOOTHING,
    WIDTHS,
    Limits,
    Widths,
    cut_into_cells,
    find_limits,
)
from vi_toolkit.experiments._likelihood_models import FIXED_SD, MODELS
from vi_toolkit.experiments._likelihood_routes import Route, Solved, as_likelihood, points_between, solve
from vi_toolkit.experiments._minimise import evaluate
from vi_toolkit.experiments.experiment import Experiment, precision_words, rounding


def cross_entropy_and_likelihood() -> Experiment:
    r"""Cross-entropy is the mean negative log-likelihood; minimising it, or D(p^‖q), is maximum likelihood.

    With p^ the empirical distribution of n observations (x_i, y_i) and q(y | x) a model with parameters theta,

        NLL(theta) = -(1/n) sum_i log q(y_i | x_i)  =  H(p^, q) = -sum_x p^(x) sum_y p^(y | x) log q(y | x)
        H(p^, q) = H(p^) + D(p^‖q),  and H(p^) does not depend on theta

    On real data, five models are fitted three times, by losses that share no code, from different starts: a
    classifier, a logistic regression on soft targets, a Gaussian regression with its sd fixed and learned, and Poisson
    counts. Then an assumption is dropped: p depends on theta, the targets are smoothed, a penalty is added (which
    makes it the MAP), or the response is continuous, so that D(p^‖q) needs cells to be finite.

    Returns:
        The experiment. Losses are in nats for one observation. Its numbers:

        - ``value_differences``, ``gradient_differences``, ``minimiser_differences``, of shape (5 models, 2): how far CE
          and D(p^‖q) are from NLL, once H(p^) is taken off; gradients and minimisers relative to their largest entry.
        - ``entropies``, ``nll`` (5,): H(p^) and the least NLL.
        - ``squared_error_gap``: the largest |NLL - MSE / (2 sd^2) - log sd - log(2 pi) / 2|; ``least_squares_gap``,
          relative; ``learned_variance`` and ``mean_squared_error``.
        - ``limit_minimiser_differences``, ``limit_nll`` (4,): smoothed targets, a penalty, and targets that are half
          the model's own, for CE and for KL.
        - ``smoothed_ce_and_kl``, ``map_difference``: relative differences of minimisers that should be the same;
          ``stopped_gradient``: the gradient at maximum likelihood where none flows through the targets.
        - ``cell_widths``, ``cell_divergences``, ``cell_minimiser_differences``, of shape (widths,).

    Raises:
        ImportError: if scikit-learn, which brings two of the data sets, is not installed.

    Example:
        >>> from vi_toolkit import experiments
        >>> numbers = experiments.cross_entropy_and_likelihood().numbers
        >>> bool(numbers["value_differences"].max() < 1e-14), bool(numbers["minimiser_differences"].max() < 1e-12)
        (True, True)

    Source: Goodfellow, Bengio and Courville (2016), Deep Learning, section 5.5; for targets that hold the model's own
    predictions, Reed et al. (2015), Training deep neural networks on noisy labels with bootstrapping, arXiv:1412.6596.
    """
    solved = [solve(make()) for make in MODELS]
    limits, widths = find_limits(solved[1]), cut_into_cells(solved[3])
    numbers = {**_agreement(solved), **_squared_error(solved[2], solved[3]), **_limits(limits, widths)}
    return Experiment(
        title="Cross-entropy, likelihood and KL",
        numbers=numbers,
        table=_table(solved, limits),
        figure=draw_likelihood(solved, limits, widths),
        conclusion=_conclusion(solved, limits, widths, numbers),
    )


def _agreement(solved: Sequence[Solved]) -> dict[str, Any]:
    def collect(what: str) -> np.ndarray:
        return np.array([[getattr(route, what) for route in each.routes] for each in solved])

    return {
        "value_differences": collect("value"),
        "gradient_differences": collect("gradient"),
        "minimiser_differences": collect("minimiser"),
        "entropies": np.array([each.entropy for each in solved]),
        "nll": np.array([each.best.value for each in solved]),
    }


def _squared_error(fixed: Solved, learned: Solved) -> dict[str, Any]:
    """NLL = MSE / (2 sd^2) + log sd + log(2 pi) / 2, so that its best coefficients are those of least squares."""
    gaps = []
    for each in (fixed, learned):
        x, y = each.model.x, each.model.y
        for theta in points_between(each.model.starts, each.best.theta):
            sd = np.exp(theta[x.shape[1]]) if len(theta) > x.shape[1] else FIXED_SD
            mse = np.mean((y - x @ theta[: x.shape[1]]) ** 2)
            nll, *data = as_likelihood(each.model)
            gaps.append(evaluate(nll, theta, *data).value - (mse / (2 * sd**2) + np.log(sd) + 0.5 * np.log(2 * np.pi)))
    coefficients, squares, *_ = np.linalg.lstsq(fixed.model.x, fixed.model.y)
    found = np.stack([each.best.theta[: len(coefficients)] for each in (fixed, learned)])
    return {
        "squared_error_gap": float(np.abs(gaps).max()),
        "least_squares_gap": float(np.abs(found - coefficients).max() / np.abs(coefficients).max()),
        "learned_variance": float(np.exp(2 * learned.best.theta[-1])),
        "mean_squared_error": float(squares[0] / len(fixed.model.y)),
    }


def _limits(limits: Limits, widths: Widths) -> dict[str, Any]:
    return {
        "limit_minimiser_differences": np.array([route.minimiser for route in limits.routes]),
        "limit_nll": np.array([route.nll for route in limits.routes]),
        "stopped_gradient": limits.stopped_gradient,
        "smoothed_ce_and_kl": limits.smoothed_divergence,
        "map_difference": limits.map_difference,
        "cell_widths": np.array(WIDTHS),
        "cell_divergences": widths.divergence,
        "cell_minimiser_differences": widths.minimiser,
    }


def _table(solved: Sequence[Solved], limits: Limits) -> pd.DataFrame:
    rows = [_row(route, each.best.value) for each in solved for route in each.routes]
    rows += [_row(route, solved[1].best.value) for route in limits.routes]
    return pd.DataFrame(rows).set_index(["model", "minimised"])


def _row(route: Route, best: float) -> dict[str, Any]:
    return {
        "model": route.model,
        "minimised": route.loss,
        "minimum (nats)": round(route.minimum.value, 4),
        "NLL there (nats)": round(route.nll, 4),
        "least NLL (nats)": round(best, 4),
        "values differ by": f"{route.value:.0e}",
        "gradients differ by": f"{route.gradient:.0e}",
        "minimisers differ by": f"{route.minimiser:.0e}",
        "maximum likelihood": "yes" if route.minimiser < 1e3 * rounding() else "no",
    }


def _conclusion(solved: Sequence[Solved], limits: Limits, widths: Widths, numbers: dict[str, Any]) -> str:
    beetles, moved = solved[1], [f"{100 * route.minimiser:.0f} %" for route in limits.routes]
    worst = {name: numbers[f"{name}_differences"].max() for name in ("value", "gradient", "minimiser")}
    narrow = WIDTHS.index(1.0)
    return (
        "Cross-entropy is the mean negative log-likelihood, and D(p̂‖q) is the same less H(p̂): on five models "
        f"the values agree to {worst['value']:.0e} nats, the gradients to {worst['gradient']:.0e} and the "
        f"minimisers to {worst['minimiser']:.0e} (relative). With soft targets, the shares of beetles that died, "
        f"D(p̂‖q) is lower than the cross-entropy by H(p̂) = {beetles.entropy:.4f} nats, at every value of the "
        "parameters. In the Gaussian regression NLL is MSE/(2 sd²) + log sd + log(2π)/2, to "
        f"{numbers['squared_error_gap']:.0e}: the coefficients are those of least squares whether the sd is fixed "
        f"or learned, and the learned variance is the mean squared error, {numbers['learned_variance']:.1f}."
        "\n\n"
        f"It stops being true where p depends on the parameters: with targets that are {100 * OWN_SHARE:.0f} % the "
        f"model's own predictions, minimising H(p, q) moves the parameters by {moved[2]} of the largest and "
        f"minimising D(p‖q) by {moved[3]}; where no gradient flows through the targets, the gradient at the "
        f"maximum-likelihood parameters is {limits.stopped_gradient:.0e} again. With targets smoothed by "
        f"{SMOOTHING:g} CE and KL agree with each other (to {limits.smoothed_divergence:.0e}) but not with maximum "
        f"likelihood: the parameters move by {moved[0]}. With a penalty they move by {moved[1]}, to the MAP under "
        f"a Normal(0, {PRIOR_SD:g}) prior, to {limits.map_difference:.0e}."
        "\n\n"
        "For a continuous response D(p̂‖q) is infinite: p̂ has no density. Over cells of width w it is NLL - log "
        f"w and a remainder that vanishes with w: {widths.divergence[narrow]:.2f} nats at one point, "
        f"{widths.divergence[-1]:.2f} at {WIDTHS[-1]:g}. The constant -log w does not depend on the parameters: at "
        f"w = 1 the minimiser is that of maximum likelihood to {widths.minimiser[narrow]:.0e}. {precision_words()}"
    )
