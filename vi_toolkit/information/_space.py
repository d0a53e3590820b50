"""Two distributions, or unnormalised densities, and the charts of the space that they are integrated over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from vi_toolkit.information._charts import Chart, Points, logs_on

# (points x, their log volumes, log p, log q) -> (points, components)
Volumes = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
Values = Callable[[np.ndarray], np.ndarray]  # v (points, d) -> (points, components)


class Space(NamedTuple):
    """Two distributions, or unnormalised densities, of one or two coordinates, and the charts of their space."""

    p: Any
    q: Any
    charts: list[Chart]
    offsets: tuple[float, float] = (0.0, 0.0)  # log of what they integrate to

    def logs(self, points: Points) -> tuple[np.ndarray, np.ndarray]:
        """log p and log q, normalised."""
        log_p = logs_on(self.p, points) - self.offsets[0]
        return log_p, log_p if self.q is self.p else logs_on(self.q, points) - self.offsets[1]

    def integrand(self, chart: Chart, volumes: Volumes) -> Values:
        """v -> [the components of ``volumes``, p, q], each with its volume."""

        def values(v: np.ndarray) -> np.ndarray:
            points = chart.points(v)
            log_p, log_q = self.logs(points)
            found = volumes(points.x, points.log_volume, log_p, log_q)
            masses = np.exp(np.stack([log_p, log_q], axis=1) + points.log_volume[:, None])
            together = np.concatenate([found, masses], axis=1)
            if np.isnan(together).any():
                where = points.x[np.isnan(together).any(axis=1)][0]
                raise ValueError(f"quadrature: a log density is NaN inside its support, at {where}.")
            return together

        return values


def grid(edges: list[np.ndarray]) -> np.ndarray:
    return corners([0.5 * (of_axis[1:] + of_axis[:-1])[1:-1] for of_axis in edges])


def corners(axes: list[np.ndarray]) -> np.ndarray:
    """All combinations of the places on each axis: (points, d)."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
