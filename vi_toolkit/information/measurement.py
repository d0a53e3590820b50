"""What every measure of information returns: a value, its standard error, how it was found, and its unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

UNITS = {"nats": 1.0, "bits": float(np.log(2.0)), "bans": float(np.log(10.0))}  # what one of each is, in nats


@dataclass(frozen=True, eq=False)
class Measurement:
    """A measure of information, and how exactly it is known. ``float(measurement)`` is its value.

    Attributes:
        value: a number, or an array where the arguments were arrays of distributions. Infinite where that is right.
        se: the standard error where draws were used, the estimated error of a quadrature (or of a sum of probabilities
            that NumPyro does not know to all digits), and 0 where it is exact but for rounding; of the shape of
            ``value``.
        route: how it was found: "closed form", "exact sum", "quadrature", "Monte Carlo", ...
        unit: "nats", "bits" or "bans"; "" for what has no unit, or that of the variable.

    Example:
        >>> from vi_toolkit import information
        >>> found = information.entropy([0.5, 0.25, 0.25], unit="bits")
        >>> found
        Measurement(value=1.5, se=0.0, route='exact sum', unit='bits')
        >>> float(found) + 1, str(found)
        (2.5, '1.5 bits (exact sum)')
    """

    value: Any
    se: Any
    route: str
    unit: str = ""

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        error = "" if np.all(np.asarray(self.se) <= 1e-8 * np.abs(self.value)) else f" ± {_rounded(self.se, 2)}"
        unit = f" {self.unit}" if self.unit else ""
        return f"{_rounded(self.value, 6)}{error}{unit} ({self.route})"


def _rounded(value: Any, digits: int) -> str:
    with np.printoptions(precision=digits):
        return f"{value:.{digits}g}" if np.ndim(value) == 0 else str(value)


def in_unit(found: Measurement, unit: str) -> Measurement:
    """A measurement in nats, in another unit."""
    if unit not in UNITS:
        raise ValueError(f"unit: expected one of {', '.join(map(repr, UNITS))}, got {unit!r}.")
    scale = UNITS[unit]
    return Measurement(plain(found.value / scale), plain(found.se / scale), found.route, unit)


def plain(value: Any) -> Any:
    """A float for what is one number, an array in float64 for what is several."""
    array = np.asarray(value, np.float64)
    return float(array) if array.ndim == 0 else array
