"""Covariance functions of Gaussian processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from vi_toolkit._checks import check_positive


@dataclass(frozen=True)
class SquaredExponential:
    r"""The covariance function k(x, x') = a^2 exp(-|x - x'|^2 / (2 l^2)): functions that are smooth without end.

    Attributes:
        length_scale: l, in units of x, above 0.
        amplitude: a, the standard deviation of f(x) at every x, in units of y, above 0.

    Raises:
        TypeError: if an attribute is not a number.
        ValueError: if it is not positive.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import exact
        >>> kernel = exact.SquaredExponential(length_scale=1.0, amplitude=2.0)
        >>> kernel(np.array([[0.0]]), np.array([[0.0], [1.0]])).round(4)  # 4 and 4 exp(-1/2)
        array([[4.    , 2.4261]])

    Source: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, equation 4.9.
    """

    length_scale: float
    amplitude: float

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, x: np.ndarray, other: np.ndarray) -> np.ndarray:
        """k of every row of x (n, d) with every row of other (m, d): (n, m)."""
        return self.amplitude**2 * np.exp(-0.5 * cdist(x, other, "sqeuclidean") / self.length_scale**2)


@dataclass(frozen=True)
class Matern52:
    r"""The covariance function k(x, x') = a^2 (1 + r + r^2 / 3) exp(-r), r = sqrt(5) |x - x'| / l.

    Its functions can be differentiated twice.

    Attributes:
        length_scale: l, in units of x, above 0.
        amplitude: a, the standard deviation of f(x) at every x, in units of y, above 0.

    Raises:
        TypeError: if an attribute is not a number.
        ValueError: if it is not positive.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import exact
        >>> exact.Matern52(length_scale=1.0, amplitude=1.0)(np.array([[0.0]]), np.array([[0.0], [1.0]])).round(4)
        array([[1.   , 0.524]])

    Source: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, equation 4.17.
    """

    length_scale: float
    amplitude: float

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, x: np.ndarray, other: np.ndarray) -> np.ndarray:
        """k of every row of x (n, d) with every row of other (m, d): (n, m)."""
        r = np.sqrt(5.0) * cdist(x, other) / self.length_scale
        return self.amplitude**2 * (1.0 + r + r**2 / 3.0) * np.exp(-r)


def _check(kernel: SquaredExponential | Matern52) -> None:
    check_positive(kernel.length_scale, "length_scale")
    check_positive(kernel.amplitude, "amplitude")
