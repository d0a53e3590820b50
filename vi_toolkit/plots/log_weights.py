"""The importance weights of a fit, and the tail that k-hat is read from."""

from __future__ import annotations

import textwrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from vi_toolkit._checks import check_instance
from vi_toolkit.diagnostics import Diagnosis
from vi_toolkit.diagnostics._limits import KHAT_GOOD, KHAT_USABLE
from vi_toolkit.diagnostics.weights.evidence import can_correct, nearly_even
from vi_toolkit.plots._style import (
    EXACT_EDGE,
    EXACT_FILL,
    FAINT,
    INK,
    LINES,
    PALETTE,
    Look,
    legend_below,
    method_handle,
    style,
)
from vi_toolkit.plots._tail import FURTHEST, pareto_scale, pareto_survival, scale_of_median, upper_tail

NUM_BINS = 60
NUM_POINTS = 200
MEAN, FITTED, LIMIT = Look(PALETTE[1], LINES[1], ""), Look(PALETTE[0], LINES[0], ""), Look(PALETTE[2], LINES[3], "")


def plot_log_weights(diagnosis: Diagnosis) -> Figure:
    r"""Draws the log weights of q's draws, and their largest against the generalised Pareto distribution.

    Left, all log weights, log p~(z_i) - log q(z_i) - log Z-hat in nats: one thin bar at zero where q = p. Right, the
    largest ones, which k-hat is read from: the share of draws whose weight is larger, over the log of the weight
    relative to the cutoff u; the fitted

        P(w > u + t | w > u) = (1 + k t / s)^(-1/k)

    with k = k-hat; and the same with k = 0.7 and the same median, beyond which reweighting is not to be trusted. For
    large weights the slope is -1/k: the flatter, the worse.

    Args:
        diagnosis: from `vi.diagnose`.

    Returns:
        A matplotlib figure: ``figure.savefig("log_weights.png")``.

    Raises:
        TypeError: if ``diagnosis`` is something else.
        ValueError: if no draw has a finite log weight.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -jnp.sum(z + 2 * jnp.logaddexp(0.0, -z)), dim=1)
        >>> diagnosis = vi.diagnose(jax.random.key(1), vi.fit(jax.random.key(0), target))
        >>> [axes.get_yscale() for axes in vi.plot_log_weights(diagnosis).axes]
        ['linear', 'log']

    Source: Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, arXiv:1507.02646.
    """
    check_instance(diagnosis, Diagnosis, "diagnosis", "Pass what vi.diagnose returned.")
    every = np.zeros(0) if diagnosis.log_weights is None else np.asarray(diagnosis.log_weights, np.float64)
    finite = every[np.isfinite(every)]
    if len(finite) < 2:
        raise ValueError("diagnosis: no two draws have a finite log weight, so there is nothing to draw.")
    centre = diagnosis.log_evidence if np.isfinite(diagnosis.log_evidence) else float(np.median(finite))
    cutoff, tail = upper_tail(finite)
    with style():
        figure, (whole, largest) = plt.subplots(1, 2, figsize=(9.6, 3.9), width_ratios=[1.0, 1.15])
        _draw_all(whole, finite - centre, cutoff - centre, len(every) - len(finite))
        _draw_tail(largest, tail - cutoff, len(every), diagnosis.khat)
        legend_below(figure, _handles(diagnosis.khat))
        words = khat_words(diagnosis.khat, diagnosis.khat_se, even=nearly_even(every))
        figure.suptitle(textwrap.fill(words, 100), x=0.01, ha="left", fontsize=12)
    return figure


def khat_words(khat: float, se: float = 0.0, *, even: bool = False) -> str:
    """What a k-hat with its standard error says, in words.

    Example:
        >>> from vi_toolkit.plots.log_weights import khat_words
        >>> khat_words(0.31)
        'k-hat is 0.31: the weights have a finite variance, and reweighting settles fast'
    """
    if khat == -np.inf:
        return "k-hat is -inf: the largest weights are all the same, as good as it gets"
    if not np.isfinite(khat):
        return "There is no k-hat: a few draws carry all the weight, or some weights are no numbers"
    number = f"{khat:.2f} ± {se:.1g}" if np.isfinite(se) and se > 0 else f"{khat:.2f}"
    if khat < KHAT_GOOD:
        return f"k-hat is {number}: the weights have a finite variance, and reweighting settles fast"
    if khat < KHAT_USABLE:
        return f"k-hat is {number}: uneven weights, of which reweighting can still make use"
    if even:
        return f"k-hat is {number}, but of weights that are nearly all alike, so that it means little"
    return f"k-hat is {number}, not below {KHAT_USABLE}: the weights are too uneven to correct by"


def reweighted_words(khat: float, log_weights: np.ndarray) -> str:
    """What a legend calls draws of q that are weighted, and whether to believe them."""
    trusted = "" if can_correct(khat, log_weights) else f" (k-hat {khat:.2f}: not to be trusted)"
    return f"q reweighted{trusted}"


def _draw_all(axes: Axes, log_weights: np.ndarray, cutoff: float, left_out: int) -> None:
    low, high = float(np.quantile(log_weights, 0.002)), float(log_weights.max())
    margin = 0.03 * (high - low) or 0.5
    bins = list(np.linspace(low - margin, high + margin, NUM_BINS + 1))
    axes.hist(log_weights, bins, color=EXACT_FILL)
    axes.hist(log_weights[log_weights > cutoff], bins, color=PALETTE[0])
    axes.axvline(0.0, color=INK, linewidth=1.0, linestyle=LINES[2])
    axes.axvline(float(log_weights.mean()), color=MEAN.color, linewidth=1.6, linestyle=MEAN.linestyle)
    axes.set(xlim=(bins[0], bins[-1]), xlabel="log weight - log evidence (nats)", ylabel="draws")
    out = f", without {left_out} whose weight is zero or no number" if left_out else ""
    axes.set_title(f"all draws{out}")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.ticklabel_format(axis="x", scilimits=(-2, 5))


def _draw_tail(axes: Axes, above: np.ndarray, num_draws: int, khat: float) -> None:
    """``above``: log weights of the tail less that of the cutoff, largest first."""
    shares = (np.arange(len(above)) + 0.5) / num_draws
    axes.plot(above, shares, "o", color=FAINT, markeredgecolor=EXACT_EDGE, markersize=4)
    excess = np.expm1(np.minimum(above, FURTHEST))
    reach = min(1.25 * max(float(above.max()), 1e-9), FURTHEST)
    x = np.linspace(0.0, reach, NUM_POINTS)
    share = len(above) / num_draws
    curves = [(KHAT_USABLE, scale_of_median(excess, KHAT_USABLE), LIMIT)]
    if np.isfinite(khat):
        curves.append((khat, pareto_scale(excess, khat), FITTED))
    for k, scale, look in curves:
        if np.isfinite(scale) and scale > 0:
            survival = share * pareto_survival(np.expm1(x), k, scale)
            axes.plot(x, np.where(survival > 0, survival, np.nan), color=look.color, linestyle=look.linestyle)
    axes.set_yscale("log")
    axes.set(ylim=(0.2 / num_draws, 1.6 * share), xlim=(-0.02 * reach, 1.02 * reach))
    axes.set(xlabel="log weight - log cutoff (nats)", ylabel="share of draws above")
    axes.set_title("the largest")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.ticklabel_format(axis="x", scilimits=(-2, 5))


def _handles(khat: float) -> list[Artist]:
    fitted = [method_handle(f"generalised Pareto, k = {khat:.2f}", FITTED)] if np.isfinite(khat) else []
    return [
        method_handle("mean: ELBO - log evidence", MEAN),
        Line2D([], [], color=INK, linewidth=1.0, linestyle=LINES[2], label="where q = p"),
        Patch(facecolor=PALETTE[0], label="the largest"),
        Line2D([], [], color=FAINT, marker="o", markeredgecolor=EXACT_EDGE, linestyle="", label="their shares"),
        *fitted,
        method_handle(f"the same with k = {KHAT_USABLE}", LIMIT),
    ]
