"""Both divergences by quadrature, minimised over one Gaussian and over a mixture of two.

A Gaussian on R^d is d means and the rows of the lower triangle of U, its diagonal as logs: z = U (x - m) is standard
normal. A mixture is the logit of the first weight, and two Gaussians.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit.experiments._direction_targets import Grid, TargetGrids
from vi_toolkit.experiments._minimise import Minimum, minimise

LogDensity = Callable[[Any, Any], Any]  # (theta, points) -> log q at each


def gaussian(theta: Any, points: Any) -> Any:
    """log q(x) = log|U| - |U (x - m)|^2 / 2 - (d/2) log(2 pi)."""
    mean, root = gaussian_parts(theta, points.shape[1])
    z = (points - mean) @ root.T
    log_determinant = jnp.sum(jnp.log(jnp.diag(root)))
    return log_determinant - 0.5 * jnp.sum(z**2, axis=1) - 0.5 * points.shape[1] * jnp.log(2 * jnp.pi)


def mixture(theta: Any, points: Any) -> Any:
    """log q(x) = log (w q_1(x) + (1 - w) q_2(x))."""
    first, second = jnp.split(theta[1:], 2)
    return jnp.logaddexp(
        jax.nn.log_sigmoid(theta[0]) + gaussian(first, points),
        jax.nn.log_sigmoid(-theta[0]) + gaussian(second, points),
    )


def gaussian_parts(theta: Any, dim: int) -> tuple[Any, Any]:
    """The mean, and U with U'U the precision."""
    lower = jnp.zeros((dim, dim), theta.dtype).at[jnp.tril_indices(dim)].set(theta[dim:])
    return theta[:dim], jnp.tril(lower, -1) + jnp.diag(jnp.exp(jnp.diag(lower)))


def _forward(log_q: LogDensity) -> Callable[..., Any]:
    def loss(theta: Any, points: Any, log_p: Any, weights: Any) -> Any:
        return jnp.sum(weights * jnp.exp(log_p) * (log_p - log_q(theta, points)))

    return loss


def _reverse(log_q: LogDensity) -> Callable[..., Any]:
    def loss(theta: Any, points: Any, log_p: Any, weights: Any) -> Any:
        here = log_q(theta, points)
        return jnp.sum(weights * jnp.exp(here) * (here - log_p))

    return loss


FAMILIES: dict[str, LogDensity] = {"one Gaussian": gaussian, "two Gaussians": mixture}
MAKERS = {"D(p‖q)": _forward, "D(q‖p)": _reverse}
DIRECTIONS = tuple(MAKERS)
LOSSES = {(family, direction): make(log_q) for family, log_q in FAMILIES.items() for direction, make in MAKERS.items()}


class Fitted(NamedTuple):
    """The best q of a family in one direction."""

    target: str
    family: str
    direction: str
    best: Minimum
    optima: tuple[Minimum, ...]  # every local optimum that was found, best first
    forward: float  # D(p‖q) on the finer grid
    reverse: float  # D(q‖p) on the finer grid
    log_q: np.ndarray  # on the finer grid


def fit(grids: TargetGrids, family: str, direction: str, starts: Sequence[np.ndarray]) -> Fitted:
    """Minimises one direction from several starts, and measures both."""
    coarse, fine = as_arrays(grids.coarse), as_arrays(grids.fine)
    found = [minimise(LOSSES[family, direction], start, *coarse) for start in starts]
    optima = distinct([each for each in found if np.isfinite(each.value)])
    theta = jnp.asarray(optima[0].theta, jnp.result_type(float))
    forward, reverse = (float(LOSSES[family, each](theta, *fine)) for each in DIRECTIONS)
    log_q = np.asarray(FAMILIES[family](theta, fine[0]), np.float64)
    return Fitted(grids.name, family, direction, optima[0], tuple(optima), forward, reverse, log_q)


def as_arrays(grid: Grid) -> tuple[Any, ...]:
    return tuple(jnp.asarray(part, jnp.result_type(float)) for part in grid)


def distinct(found: Sequence[Minimum]) -> list[Minimum]:
    """The minima that differ, best first; a mixture with its components exchanged is the same."""
    kept: list[Minimum] = []
    for each in sorted(found, key=lambda minimum: minimum.value):
        if not any(_same(each, other) for other in kept):
            kept.append(each)
    return kept


def _same(one: Minimum, other: Minimum) -> bool:
    swapped = other.theta
    if len(other.theta) % 2:  # a mixture: of one weight and two components
        swapped = np.concatenate([-other.theta[:1], *np.split(other.theta[1:], 2)[::-1]])
    return any(np.allclose(one.theta, theta, atol=0.02) for theta in (other.theta, swapped))
