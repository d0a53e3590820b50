"""A set of draws in place of the distribution that they came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vi_toolkit._checks import check_finite, describe


@dataclass(frozen=True, eq=False)
class Sample:
    """Independent draws that stand for the distribution they came from; made by `from_draws`.

    Attributes:
        draws: of shape (draws, dim), in float64.

    Example:
        >>> from vi_toolkit import information
        >>> information.from_draws([1.0, 2.0, 4.0])
        Sample(3 draws of dim 1)
    """

    draws: np.ndarray

    def __repr__(self) -> str:
        return f"Sample({self.draws.shape[0]} draws of dim {self.draws.shape[1]})"


def from_draws(draws: Any) -> Sample:
    """Lets a set of draws take the place of the distribution that they came from.

    Args:
        draws: independent draws, of shape (draws,) or (draws, dim), at least two; nearest neighbours need ten. Their
            units do not matter. Standard errors do not cover the bias of nearest neighbours, which grows with dim.

    Returns:
        The sample.

    Raises:
        TypeError: if they are not numbers.
        ValueError: if there are fewer than two, they have more than two axes, or one is NaN or infinite.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import information
        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.normal(0.0, 1.0, 5000), rng.normal(1.0, 1.0, 5000)
        >>> found = information.kl_divergence(information.from_draws(x), information.from_draws(y))
        >>> abs(found.value - 0.5) < 5 * found.se  # D(N(0, 1) || N(1, 1)) = 1/2
        True
    """
    try:
        array = np.asarray(draws, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"draws: expected numbers, got {describe(draws)}.") from None
    if array.ndim not in (1, 2) or len(array) < 2 or array.size == 0:
        raise ValueError(f"draws: expected shape (draws,) or (draws, dim), with at least two draws, got {array.shape}.")
    check_finite(array, "draws")
    return Sample(array.reshape(len(array), -1))
