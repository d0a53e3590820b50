"""Numbers as text."""

from __future__ import annotations

import math


def number(value: float, places: int) -> str:
    """To so many decimals; large ones to three digits, and what is no number by its name."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1e6:
        return f"{value:.3g}"
    return f"{round(value, places) + 0.0:.{places}f}"  # adding zero makes -0.0 positive


def decimals(sd: float) -> int:
    """Decimals that show two digits of the sd."""
    return min(max(1 - math.floor(math.log10(sd)), 0), 6) if sd > 0 and math.isfinite(sd) else 3
