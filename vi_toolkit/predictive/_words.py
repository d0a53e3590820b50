"""A posterior predictive check in words."""

from __future__ import annotations

import numpy as np
import pandas as pd

HIGH, LOW = "higher than the model has it", "lower than the model has it"
NAMED = 5  # rows that a sentence names


def sentence(table: pd.DataFrame, khat: float, corrected: bool, even: bool, effective: float, level: float) -> str:
    """The whole verdict: what lies outside of what the model has, what is not known, and whose draws these are."""
    wrong = table[table["found"] != ""].sort_values("p", kind="stable")
    parts = [_wrong(wrong, len(table)) if len(wrong) else _nothing(table)]
    unknown = table[table["not a number"] > 0]
    if len(unknown):
        parts.append(
            f"Of {_named(unknown)} some replicated data sets give no number ({int(unknown['not a number'].max())} at "
            "most), and these are left out."
        )
    if np.isnan(table["observed"]).any():
        parts.append(f"{_named(table[table['observed'].isna()])} of the data is no number itself.")
    if 2.0 * len(table) / (effective + 1.0) > level:
        parts.append(
            f"{effective:.0f} effective draws are too few to flag one of {len(table)} statistics at level {level:g}: "
            "take more."
        )
    return " ".join([*parts, _whose(khat, corrected, even)])


def _wrong(wrong: pd.DataFrame, of: int) -> str:
    said = "; ".join(
        f"{name} of {site!r} is {row['observed']:.4g}, {row['found']}: 95 % of replicated data sets have "
        f"{row['2.5 %']:.4g} to {row['97.5 %']:.4g}"
        for (site, name), row in wrong.head(NAMED).iterrows()
    )
    more = f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    return f"The data are not like those of the fitted model, in {len(wrong)} of {of} statistics. The {said}{more}."


def _nothing(table: pd.DataFrame) -> str:
    judged = table[table["p"].notna()]
    return (
        f"The data are like those of the fitted model in {_named(judged)}. That does not confirm the model: other "
        "statistics may tell more."
    )


def _named(rows: pd.DataFrame) -> str:
    """Rows in words: mean and sd of 'y', mean of 'x'."""
    said = []
    for site, names in rows.groupby(level="site", sort=False):
        *others, last = names.index.get_level_values("statistic")
        said.append(f"{', '.join(others)} and {last} of {site!r}" if others else f"{last} of {site!r}")
    return ", ".join(said) or "no statistic"


def _whose(khat: float, corrected: bool, even: bool) -> str:
    if even:
        return "Draws of q count as draws of the posterior: their importance weights are nearly all alike."
    if corrected:
        return f"Draws of q count by their importance weights (k-hat {khat:.2f}), as draws of the posterior."
    return (
        f"The draws are of q as it is, since their weights have k-hat {khat:.2f}, not below 0.7: where q is wrong, so "
        "is this."
    )
