"""How far the mean and the spread of every coordinate are off."""

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter, NullLocator

from vi_toolkit._checks import check_instance
from vi_toolkit.diagnostics import (
    Diagnosis,
    Measured,
    Moments,
    log_sd_ratios,
    mean_errors,
    moments_of_draws,
    reweighting_moves,
    smooth,
)
from vi_toolkit.diagnostics._limits import MEAN_LIMIT, NUM_SES, SPREAD_LIMIT
from vi_toolkit.plots._style import INK, PALETTE, legend_below, style
from vi_toolkit.targets import Target
from vi_toolkit.tree.coordinates import coordinate_labels

MAX_ROWS = 30
ROW = 0.2  # inches
WITHIN = "#E4E4E4"
# Ratios at which the axis has ticks, with their inverses: the first set that reaches far enough.
TICKS = (
    (1.0, 1.1, 1.2, 1.3), (1.0, 1.25, 1.5), (1.0, 1.5, 2.0, 3.0), (1.0, 2.0, 4.0, 10.0), (1.0, 10.0, 100.0, 1e3),
    (1.0, 1e3, 1e6, 1e9),
)  # fmt: skip


class Errors(NamedTuple):
    """Errors of q coordinate by coordinate."""

    means: Measured  # in posterior sds
    log_sds: Measured  # log(sd of q / sd of p)
    against: str


def plot_errors(diagnosis: Diagnosis, *, target: Target | None = None) -> Figure:
    r"""Draws the errors of q's means and spreads, a row for each coordinate of R^dim.

    Left, (E_q[z_i] - E_p[z_i]) / sd_p(z_i), in posterior standard deviations; right, sd_q(z_i) / sd_p(z_i) on a
    logarithmic axis, below 1 where q is too narrow. Within the grey bands, 0.1 sd and 10 %, an approximation counts as
    good. Against the reference where the diagnosis has one; otherwise, with two standard errors, against what its
    search for modes found where q misses one, and else against q's own draws reweighted, which shows only what the
    weights can see. More than 30 coordinates are sorted by the larger of
    both errors, and the worst 30 are shown.

    Args:
        diagnosis: from `vi.diagnose`.
        target: that of the fit, ``fit.target``, for the names of the coordinates; without it they are z[0], z[1], ...

    Returns:
        A matplotlib figure: ``figure.savefig("errors.png")``.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the target has another number of coordinates, or nothing is known about the errors.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> exact = vi.exact.gaussian_mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.8], [0.8, 1.0]]])
        >>> fit = vi.fit(jax.random.key(0), exact.target, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL()))
        >>> diagnosis = vi.diagnose(jax.random.key(1), fit, reference=exact)
        >>> figure = vi.plot_errors(diagnosis, target=fit.target)
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['z[0]', 'z[1]']
    """
    check_instance(diagnosis, Diagnosis, "diagnosis", "Pass what vi.diagnose returned.")
    errors = errors_of(diagnosis)
    if errors is None:
        raise ValueError(
            "diagnosis: without a reference, and without draws of finite weight, the errors are not known."
        )
    size = len(errors.means.values)
    if target is not None:
        check_instance(target, Target, "target", "Pass fit.target.")
        if target.dim != size:
            raise ValueError(f"target: expected one of dim {size}, that of the diagnosis, got {target.dim}.")
    labels = [f"z[{i}]" for i in range(size)] if target is None else coordinate_labels(target)
    return draw_errors(errors, labels)


def errors_of(diagnosis: Diagnosis) -> Errors | None:
    """Of q, less what it should be: by the reference, by a search that found missed modes, or by q's own weights."""
    means, ratios = diagnosis.mean_errors, diagnosis.log_sd_ratios
    if means is not None and ratios is not None:
        none = np.zeros(len(means))
        return Errors(Measured(means, none), Measured(ratios, none), str(diagnosis.reference))
    draws, log_weights, basins = diagnosis.draws, diagnosis.log_weights, diagnosis.basins
    if draws is None or log_weights is None or len(draws) != len(log_weights):
        return None
    if basins is not None and basins.missed and len(basins.draws) == len(basins.log_weights):
        return _errors_of_moments(
            moments_of_draws(draws), moments_of_draws(basins.draws, basins.log_weights), "a search beyond its own draws"
        )
    return errors_of_draws(draws, smooth(log_weights).log_weights) if np.isfinite(log_weights).any() else None


def errors_of_draws(draws: np.ndarray, log_weights: np.ndarray) -> Errors:
    """Of draws of q (draws, dim), held against the same draws with normalised log weights."""
    moved, spread = reweighting_moves(draws, log_weights)
    return Errors(Measured(-moved.values, moved.ses), Measured(-spread.values, spread.ses), "its own draws reweighted")


def _errors_of_moments(q: Moments, p: Moments, against: str) -> Errors:
    with np.errstate(divide="ignore", invalid="ignore"):  # an sd is zero where one draw has all the weight
        means = mean_errors(q.mean, p.mean, p.sd, np.hypot(q.mean_se, p.mean_se))
        return Errors(means, log_sd_ratios(q.sd, p.sd, np.hypot(q.log_sd_se, p.log_sd_se)), against)


def draw_errors(errors: Errors, labels: list[str]) -> Figure:
    """The figure of `plot_errors`; ``labels`` name the coordinates."""
    far = np.maximum(np.abs(errors.means.values), np.abs(errors.log_sds.values))
    rows = np.arange(len(labels))
    if len(labels) > MAX_ROWS:
        rows = np.argsort(-np.nan_to_num(far, nan=np.inf), kind="stable")[:MAX_ROWS]
    with style():
        size = (8.4, 1.9 + ROW * max(len(rows), 4))
        figure, (left, right) = plt.subplots(1, 2, sharey=True, figsize=size)
        left.axvspan(-MEAN_LIMIT, MEAN_LIMIT, color=WITHIN, linewidth=0, zorder=0)
        right.axvspan(np.exp(-SPREAD_LIMIT), np.exp(SPREAD_LIMIT), color=WITHIN, linewidth=0, zorder=0)
        _draw_means(left, errors.means, rows)
        _draw_ratios(right, errors.log_sds, rows)
        left.set_yticks(range(len(rows)), [labels[row] for row in rows])
        left.set_ylim(len(rows) - 0.4, -0.6)
        words = f"q against {errors.against}"
        if len(rows) < len(labels):
            words += f": the {len(rows)} of {len(labels)} coordinates that are furthest off"
        figure.suptitle(words, x=0.01, ha="left", fontsize=12)
        _legend(figure, errors)
    return figure


def _draw_means(axes: Axes, means: Measured, rows: np.ndarray) -> None:
    values, errors = means.values[rows], NUM_SES * means.ses[rows]
    axes.axvline(0.0, color=INK, linewidth=0.9)
    _marks(axes, values, np.stack([errors, errors]), np.abs(values) - errors > MEAN_LIMIT)
    furthest = _reach(values, errors)
    axes.set_xlim(-furthest, furthest)
    axes.set(xlabel="posterior standard deviations", title="error of the mean")
    axes.tick_params(axis="y", length=0)


def _draw_ratios(axes: Axes, log_sds: Measured, rows: np.ndarray) -> None:
    values, errors = log_sds.values[rows], NUM_SES * log_sds.ses[rows]
    axes.axvline(1.0, color=INK, linewidth=0.9)
    low, high = np.exp(values) - np.exp(values - errors), np.exp(values + errors) - np.exp(values)
    _marks(axes, np.exp(values), np.stack([low, high]), np.abs(values) - errors > SPREAD_LIMIT)
    furthest = _reach(values, errors)
    axes.set_xscale("log")
    axes.set_xlim(np.exp(-furthest), np.exp(furthest))
    ticks = next(t for t in TICKS if t[-1] >= np.exp(furthest) or t is TICKS[-1])
    axes.set_xticks([t for t in sorted({*ticks, *(1 / t for t in ticks)}) if abs(np.log(t)) <= furthest])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.2g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="sd of q / sd of p", title="spread")
    axes.tick_params(axis="y", length=0)


def _reach(values: np.ndarray, errors: np.ndarray) -> float:
    """How far an axis goes on either side: to the end of every error that is a number."""
    ends = np.abs(values) + np.where(np.isfinite(errors), errors, 0.0)
    return max(1.15 * float(np.max(ends[np.isfinite(ends)], initial=0.0)), 0.25)


def _marks(axes: Axes, values: np.ndarray, errors: np.ndarray, beyond: np.ndarray) -> None:
    """Filled marks where an error is beyond its limit, hollow ones where it is not, so that grey print tells them."""
    rows = np.arange(len(values))
    for row in range(len(values)):
        axes.axhline(row, color="#EEEEEE", linewidth=0.8, zorder=0.5)
    bars = np.where(np.isfinite(errors), errors, 0.0)
    axes.errorbar(values, rows, xerr=bars, fmt="none", ecolor=PALETTE[0], elinewidth=1.3)
    for chosen, face, color, marker in ((~beyond, "white", PALETTE[0], "o"), (beyond, PALETTE[1], PALETTE[1], "D")):
        axes.plot(
            values[chosen], rows[chosen], marker, markerfacecolor=face, markeredgecolor=color, markersize=5.5, zorder=3
        )


def _legend(figure: Figure, errors: Errors) -> None:
    bars = "" if not (errors.means.ses.any() or errors.log_sds.ses.any()) else ", with two standard errors"
    good = Line2D([], [], marker="o", markerfacecolor="white", markeredgecolor=PALETTE[0], linestyle="")
    bad = Line2D([], [], marker="D", markerfacecolor=PALETTE[1], markeredgecolor=PALETTE[1], linestyle="")
    good.set_label(f"a coordinate{bars}")
    bad.set_label("beyond the limit")
    legend_below(
        figure,
        [
            good,
            bad,
            Patch(facecolor=WITHIN, label=f"within {MEAN_LIMIT} sd, {100 * SPREAD_LIMIT:.0f} %"),
        ],
    )
