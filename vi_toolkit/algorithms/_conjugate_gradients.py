"""Linear systems with a symmetric matrix that is known by its products alone, within a trust region."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vi_toolkit._types import Scalar

ACCURACY = 0.02  # relative, of what the quadratic gains
WAIT = 3  # iterations in a row that gain less


class Solution(NamedTuple):
    """x with H x = b, or as far towards it as the region allows."""

    x: Array
    gain: Scalar  # b.x - x.H x / 2
    inside: Array  # whether the region and the signs of the curvatures let x be
    least: Scalar  # the least curvature met, p.H p / p.p
    residual: Scalar  # |b - H x| / |b|
    iterations: Array  # products with H
    spread: Array  # sum_k (J p_k)^2 / p_k.H p_k: a part of the diagonal of J H^-1 J', see below


class _Iterate(NamedTuple):
    solution: Solution
    r: Array
    p: Array
    idle: Array  # iterations in a row that gained little


def solve(
    product: Callable[[Array], Array],
    b: Array,
    radius: Any,
    max_iterations: Any,
    *,
    accuracy: float = ACCURACY,
    view: Callable[[Array], Array] = lambda p: jnp.zeros((0,)),
) -> Solution:
    """Maximises b.x - x.H x / 2 over |x| <= radius by conjugate gradients.

    They end at the region's edge, or where a direction of negative curvature leads there; where the radius is infinite,
    before such a direction. The directions p_k that they
    go through are conjugate, so that sum_k p_k p_k' / (p_k.H p_k) is H^-1 on the space that they span, and nothing more
    elsewhere; ``spread`` is its diagonal as seen through the linear map J, ``view``.

    Args:
        product: x -> H x.
        b: the right-hand side, a vector.
        radius: of the trust region, in the norm of x.
        max_iterations: products with H at most.
        accuracy: ends after `WAIT` iterations in a row each of which gained less than this share of the whole.
        view: p -> J p.

    Source: Steihaug (1983), The conjugate gradient method and trust regions in large scale optimization,
    doi:10.1137/0720042; Nash & Sofer (1990), Assessing a search direction within a truncated-Newton method,
    doi:10.1016/0167-6377(90)90065-D (the end).
    """
    size = jnp.linalg.norm(b)
    zero = jnp.zeros_like(size)
    nothing = Solution(
        jnp.zeros_like(b), zero, jnp.asarray(True), zero + jnp.inf, zero + 1.0, jnp.asarray(0),
        jnp.zeros_like(view(b)),
    )  # fmt: skip

    def goes_on(at: _Iterate) -> Array:
        found = at.solution
        rounding = 10 * float(np.finfo(b.dtype).eps)
        open_ = found.inside & (found.residual > rounding) & (at.idle < WAIT) & (size > 0)
        return open_ & (found.iterations < max_iterations)

    def advance(at: _Iterate) -> _Iterate:
        found, r, p, idle = at
        Hp = product(p)
        bend, rr = p @ Hp, r @ r
        length = rr / bend
        new = found.x + length * p
        stays = (bend > 0) & (jnp.linalg.norm(new) < radius)
        length = jnp.where(stays, length, _to_the_edge(found.x, p, radius))
        gained = length * rr - 0.5 * length**2 * bend
        left = r - length * Hp
        # what is left after convergence is rounding, and its directions are conjugate to nothing
        conjugate = (bend > 0) & (found.residual > float(np.sqrt(np.finfo(b.dtype).eps)))
        seen = jnp.where(conjugate, view(p) ** 2 / bend, 0.0)
        gain = found.gain + gained
        little = gained < accuracy * gain
        return _Iterate(
            Solution(
                found.x + length * p, gain, stays, jnp.minimum(found.least, bend / (p @ p)),
                jnp.linalg.norm(left) / size, found.iterations + 1, found.spread + seen,
            ),
            left, left + (left @ left) / rr * p, jnp.where(little, idle + 1, 0),
        )  # fmt: skip

    return jax.lax.while_loop(goes_on, advance, _Iterate(nothing, b, b, jnp.asarray(0))).solution


solve_freely = partial(solve, radius=jnp.inf)


def _to_the_edge(x: Array, p: Array, radius: Any) -> Scalar:
    """t > 0 with |x + t p| = radius; 0 where there is no edge."""
    a, half, c = p @ p, x @ p, x @ x - radius**2
    return jnp.where(jnp.isfinite(radius), (-half + jnp.sqrt(jnp.maximum(half**2 - a * c, 0.0))) / a, 0.0)
