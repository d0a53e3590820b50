"""Calibration by simulation: how far the ranks of true values are from uniform, quantity by quantity."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from vi_toolkit._checks import check_instance, describe
from vi_toolkit.calibration import Calibration
from vi_toolkit.calibration._tests import band, points
from vi_toolkit.plots._style import EXACT_FILL, FAINT, INK, PALETTE, legend_below, style

COLUMNS = 5
MOST = 30  # panels
WRONG = PALETTE[1]
TITLE = 27  # characters in a line of a panel's title
READING = (
    "How to read it: below zero, q is too low; above, too high; first above and then below, too narrow; first below "
    "and then above, too wide."
)


def plot_calibration(calibration: Calibration, *, quantities: Sequence[str] | None = None) -> Figure:
    r"""Draws the distribution function of the ranks of each quantity, less that of uniform ranks.

        F(u) - u,   F(u) = #{n : p_n <= u} / N,   p_n the share of draws of q_n below the true value

    A panel for each quantity, those that are wrong first. Where q is right, a curve stays within its grey band with
    the probability 1 - level: the band is simultaneous over all u, for one quantity. A curve that is above zero on the
    left and below it on the right means that q is too narrow, and the other way round too wide; a curve below zero
    throughout means that q is too low, above that it is too high. Quantities that the tests found to be wrong, with all
    quantities taken together, are coloured and say so. All panels share one scale, and nothing is cut off.

    Args:
        calibration: from `vi.sbc` or `vi.vsbc`.
        quantities: names of those to draw, in this order; None for all, or the 30 with the least p-values.

    Returns:
        A matplotlib figure: ``figure.savefig("calibration.png")``.

    Raises:
        TypeError: if ``calibration`` is something else.
        ValueError: if a quantity is not there.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, vi_toolkit as vi
        >>> def model(y=None):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        ...     numpyro.sample("y", dist.Normal(mean, 1.0).expand([5]).to_event(1), obs=y)
        >>> found = vi.sbc(jax.random.key(0), model, observed=("y",), num_simulations=50)
        >>> [axes.get_title("left") for axes in vi.plot_calibration(found, quantities=["mean"]).axes]
        ['mean']

    Source: Säilynoja, Bürkner & Vehtari (2022), Graphical test for discrete uniformity and its applications in
    goodness-of-fit evaluation and multiple sample comparison, arXiv:2103.10522.
    """
    check_instance(calibration, Calibration, "calibration", "Pass what vi.sbc returned.")
    names = _chosen(calibration, quantities)
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    with style():
        size = (max(2.15 * columns + 0.6, 4.4), 1.75 * rows + 1.5)
        figure, panels = plt.subplots(rows, columns, sharex=True, sharey=True, figsize=size, squeeze=False)
        for axes, name in zip(panels.flat, names, strict=False):
            _draw(axes, calibration, name)
        for axes in panels.flat[len(names) :]:
            axes.remove()
        for column in range(columns):
            lowest = panels[(len(names) - 1 - column) // columns, column]
            lowest.tick_params(labelbottom=True)
            lowest.set_xlabel("share of draws below", fontsize=9)
        panels[0, 0].yaxis.set_major_locator(MaxNLocator(4))
        _explain(figure, calibration, names)
    return figure


def _chosen(calibration: Calibration, quantities: Sequence[str] | None) -> list[str]:
    """The quantities to draw: those asked for, or all, the wrong ones first, as far as there is room."""
    if quantities is None:
        table = calibration.table
        wrong = list(table.index[table["found"] != ""])
        order = [str(name) for name in table["p"].sort_values(kind="stable").index]
        right = [name for name in (order if len(order) > MOST else calibration.names) if name not in wrong]
        return ([name for name in order if name in wrong] + right)[:MOST]
    for name in quantities:
        if name not in calibration.names:
            raise ValueError(f"quantities: there is no {describe(name)}; there are {list(calibration.names)}.")
    if not quantities:
        raise ValueError("quantities: expected at least one name, got none.")
    return list(quantities)


def _draw(axes: Axes, calibration: Calibration, name: str) -> None:
    ranks = np.sort(calibration.pit[:, calibration.names.index(name)])
    n, z = len(ranks), points(len(ranks))
    lowest, highest = band(n, calibration.level)
    u = np.concatenate([[0.0], z, [1.0]])
    low, high = (np.concatenate([[0.0], counts / n - z, [0.0]]) for counts in (lowest, highest))
    axes.fill_between(u, low, high, color=EXACT_FILL, linewidth=0)
    axes.axhline(0.0, color=FAINT, linewidth=0.8)
    found = calibration.table.loc[name, "found"]
    color = WRONG if found else PALETTE[0]
    heights = np.arange(1, n + 1) / n
    x = np.concatenate([[0.0], np.repeat(ranks, 2), [1.0]])
    steps = np.concatenate([[0.0], np.stack([heights - 1 / n, heights], axis=1).ravel(), [1.0]])
    axes.plot(x, steps - x, color=color, linewidth=2.2 if found else 1.2)
    axes.set_title(
        "\n".join([textwrap.fill(name, TITLE), *_short(str(found))]), fontsize=9, color=color if found else INK
    )
    axes.set_xlim(0.0, 1.0)
    axes.set_xticks([0.0, 0.5, 1.0], ["0", "½", "1"])
    axes.margins(y=0.08)


def _short(found: str) -> list[str]:
    """What is wrong, in as few words as stand over a panel."""
    if not found:
        return []
    return [
        ", ".join(part.partition(":")[0].partition(" by ")[0].partition(" than ")[0] for part in found.split(", and "))
    ]


def _explain(figure: Figure, calibration: Calibration, names: Sequence[str]) -> None:
    """The legend, how the curves are to be read, and what is left out."""
    handles: list[Artist] = [
        Patch(
            facecolor=EXACT_FILL, label=f"{100 * (1 - calibration.level):.3g} % of the curves of an exact q stay inside"
        ),
        Line2D([], [], color=PALETTE[0], linewidth=1.2, label="nothing found"),
    ]
    if any(calibration.table.loc[name, "found"] for name in names):
        handles.append(Line2D([], [], color=WRONG, linewidth=2.2, label="found to be wrong"))
    legend_below(figure, handles)
    num_names = len(calibration.names)
    some = f"{len(names)} of {num_names} quantities. " if len(names) < num_names else ""
    lines = textwrap.wrap(some + READING, int(14.5 * figure.get_figwidth()))
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=9.5)
    figure.supylabel("ECDF less uniform", fontsize=9.5)
