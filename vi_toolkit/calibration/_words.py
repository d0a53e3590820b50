"""A calibration in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

NAMED = 5  # quantities that a sentence names
POWER = 0.8


def in_words(row: pd.Series[Any], rejected: pd.Series[bool]) -> str:
    """What is wrong with one quantity: where q lies, how wide it is, or else its shape; empty where nothing is."""
    said = []
    if rejected.get("p bias") or rejected.get("p symmetry"):
        said.append(f"too {'low' if row['bias'] > 0 else 'high'} by {abs(row['bias']):.2g} of its sds")
    if rejected.get("p spread"):
        said.append(
            f"too {'narrow' if row['spread'] > 1 else 'wide'}: its errors are {row['spread']:.2g} times what it states"
        )
    if not said and rejected.get("p shape"):
        said.append("of another shape than the posterior")
    return ", and ".join(said)


def sentence(table: pd.DataFrame, fits: int, asked: int, failed: int, num_tests: int, level: float) -> str:
    """The whole verdict."""
    wrong = table[table["found"] != ""].sort_values("p", kind="stable")
    parts = [f"{fits} of {asked} simulated data sets were fitted and judged."]
    if failed:
        parts.append(f"{failed} could not be fitted; they may be those on which q is at its worst.")
    if len(wrong):
        named = "; ".join(f"{name}: q is {row['found']}" for name, row in wrong.head(NAMED).iterrows())
        more = f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        parts.append(f"q is not calibrated in {len(wrong)} of {len(table)} quantities. {named}{more}.")
    else:
        parts.append(f"Nothing is found to be wrong with any of {len(table)} quantities.")
    shift, factor = detectable(fits, num_tests, level)
    parts.append(
        f"So many data sets show a shift of {shift:.2g} sds, or a spread that is off by {100 * factor:.0f} %, with a "
        f"chance of {100 * POWER:.0f} %; an exact q is flagged with one of {level:.2g}."
    )
    return " ".join(parts)


def detectable(fits: int, num_tests: int, level: float) -> tuple[float, float]:
    """The shift, in sds of q, and the relative error of the spread that are found with a chance of 80 %.

    shift = (z_(1 - level / 2m) + z_0.8) / sqrt(n),      spread: the same / sqrt(2 n)
    """
    reach = norm.isf(level / (2 * num_tests)) + norm.isf(1.0 - POWER)
    return float(reach / np.sqrt(fits)), float(reach / np.sqrt(2 * fits))
