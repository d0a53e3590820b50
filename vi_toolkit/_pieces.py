"""Many points through a program that is compiled for one number of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

PIECE = 500  # points at a time


def pieces(points: np.ndarray, size: int = PIECE) -> Iterator[tuple[np.ndarray, int]]:
    """Points (points, ...) in pieces of one size, the last filled up with its last point, and how many of each count.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit._pieces import pieces
        >>> [(piece.tolist(), count) for piece, count in pieces(np.array([1, 2, 3]), 2)]
        [([1, 2], 2), ([3, 3], 1)]
    """
    for start in range(0, len(points), size):
        piece = points[start : start + size]
        yield np.concatenate([piece, np.repeat(piece[-1:], size - len(piece), axis=0)]), len(piece)


def in_pieces(f: Callable[[np.ndarray], Any], points: np.ndarray, size: int = PIECE) -> Any:
    """What ``f`` gives for the points, piece by piece: a tree of NumPy arrays (points, ...).

    Example:
        >>> import numpy as np
        >>> from vi_toolkit._pieces import in_pieces
        >>> in_pieces(lambda x: {"double": 2 * x}, np.arange(1000))["double"][-1]
        np.int64(1998)
    """
    found = [(f(piece), count) for piece, count in pieces(points, size)]  # none is waited for yet
    cut = [jax.tree.map(lambda leaf, n=count: np.asarray(leaf)[:n], tree) for tree, count in found]
    return jax.tree.map(lambda *parts: np.concatenate(parts), *cut)
