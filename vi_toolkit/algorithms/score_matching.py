"""Gaussian score matching: a Gaussian whose scores are made those of the posterior, draw by draw."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from vi_toolkit._checks import check_positive_int
from vi_toolkit._types import Draws, Scalar, Vector
from vi_toolkit.algorithms._dense_match import DenseMatcher
from vi_toolkit.algorithms._matching import MatchingMethod

SWEEPS = 8  # through a batch at every step: they cost no gradients


def gaussian_score_matching(*, num_draws: int | None = None) -> MatchingMethod:
    """Fits a full-rank Gaussian by making its scores those of the target at one draw after another.

    At a draw z with the score g = grad log p~(z) the new q is the Gaussian nearest to the present one whose score is g:

        q <- argmin D(q || q')   over q' with   grad log q'(z) = g        (nats),

    in closed form. A step draws a batch from q and sweeps through it; each match is taken to a share, so that the
    batch counts with the weight that its noise allows against those before it. Batches, weights, refusals and the end
    are as in `batch_and_match`, which needs fewer gradients.

    Args:
        num_draws: draws a step; by default half as many again as dimensions, and 4.

    Returns:
        A method for `vi.fit`.

    Raises:
        TypeError, ValueError: if ``num_draws`` is not a whole number of at least 1.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -jnp.sum((z - 3.0) ** 2), dim=2)
        >>> fit = vi.fit(jax.random.key(0), target, vi.gaussian_score_matching())
        >>> fit.status.name, fit.posterior.mean.round(2), fit.posterior.variance.round(2)
        ('CONVERGED', Array([3., 3.], dtype=float64), Array([0.5, 0.5], dtype=float64))

    Source: Modi et al. (2023), Variational inference with Gaussian score matching, arXiv:2307.07849.
    """
    return MatchingMethod(
        DenseMatcher(sweep, None if num_draws is None else check_positive_int(num_draws, "num_draws"))
    )


def match_one(x: Vector, h: Vector) -> tuple[Vector, Vector]:
    """The mean u of the Gaussian nearest to N(0, I) whose score at x is h, and y = x - u; it is N(u, I + x x' - y y').

    With r (1 + r) = |h|^2 + (x h)^2:  u = (e + x (h e) / (1 + r - x h)) / (1 + r),  e = h + x.
    """
    along = x @ h
    r = 0.5 * (jnp.sqrt(1 + 4 * (h @ h + along**2)) - 1)
    e = h + x
    mean = (e + x * (h @ e) / (1 + r - along)) / (1 + r)
    return mean, x - mean


def sweep(x: Draws, h: Draws, weight: Scalar) -> tuple[Vector, Array]:
    """Matches the draws one after another, in coordinates in which q was standard normal; see `match_one`.

    Each match counts with a share s of what it asks for, q' = (1 - s) q + s (match) in mean and covariance, and the
    batch with its weight: (1 - s)^n = 1 - weight.
    """
    share = 1 - (1 - weight) ** (1 / len(x))
    unit = jnp.eye(x.shape[1], dtype=x.dtype)

    def take(q: tuple[Array, Array, Array], draw: tuple[Array, Array]) -> tuple[tuple[Array, Array, Array], None]:
        mean, factor, inverse = q
        position = inverse @ (draw[0] - mean)
        moved, off = match_one(position, factor.T @ draw[1])
        axes, root, back = _root_of_two(position, off, share)
        mean = mean + share * (factor @ moved)
        factor = factor + (factor @ axes.T) @ root @ axes
        return (mean, factor, inverse + axes.T @ (back @ (axes @ inverse))), None

    def once(q: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
        return jax.lax.scan(take, q, (x, h))

    (mean, factor, _), _ = jax.lax.scan(once, (jnp.zeros_like(x[0]), unit, unit), None, length=SWEEPS)
    return mean, factor


def _root_of_two(x: Vector, y: Vector, share: Scalar) -> tuple[Array, Array, Array]:
    """Q, K^1/2 - I and K^-1/2 - I with K = Q S Q', S = I + s (x x' - y y'), and an orthonormal Q that spans x, y.

    For such a K of two rows K^1/2 = (K + d I) / (trace K + 2 d)^1/2, d = (det K)^1/2.
    """
    length = jnp.linalg.norm(x)
    first = x / length
    along = first @ y
    rest = y - along * first
    across = jnp.linalg.norm(rest)
    second = rest / jnp.where(across > 0, across, 1.0)
    a, b = jnp.stack([length, 0 * length]), jnp.stack([along, across])
    unit = jnp.eye(2, dtype=x.dtype)
    k = unit + share * (jnp.outer(a, a) - jnp.outer(b, b))
    d = jnp.sqrt(k[0, 0] * k[1, 1] - k[0, 1] ** 2)
    root = (k + d * unit) / jnp.sqrt(k[0, 0] + k[1, 1] + 2 * d)
    return jnp.stack([first, second]), root - unit, jnp.linalg.inv(root) - unit
