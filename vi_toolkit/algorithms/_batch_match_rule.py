"""The closed form of batch-and-match, in the coordinates in which the present q is standard normal."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from vi_toolkit._types import Draws, Scalar, Vector


class Root(NamedTuple):
    """The symmetric matrix a I + Q' diag(v) Q, with orthonormal rows Q."""

    rest: Scalar  # a
    added: Vector  # v
    axes: Array  # Q (k, dim)

    def times(self, columns: Array) -> Array:
        """The matrix times columns, (dim, n)."""
        return self.rest * columns + self.axes.T @ (self.added[:, None] * (self.axes @ columns))


def match_batch(x: Draws, h: Draws, weight: Scalar) -> tuple[Vector, Array]:
    """The mean u and a factor F, with covariance F F', of the q that batch-and-match asks for."""
    mean, first, second = match_in_roots(x, h, weight)
    return mean, first.times(second.times(jnp.eye(x.shape[1], dtype=x.dtype)))


def match_in_roots(x: Draws, h: Draws, weight: Scalar) -> tuple[Vector, Root, Root]:
    """The same, with F as a product R T of two symmetric roots.

    With l = w / (1 - w) the strength of the batch against the present q = N(0, I), the new q minimises

        l / 2 * mean_b |S^1/2 (h_b + S^-1 (x_b - u))|^2 + D(N(0, I) || N(u, S))        over u and S.

    The minimiser solves, with means and covariances (1/n) over the batch,

        (1 - w) S + S (w cov h + w (1 - w) h^ h^') S = (1 - w) I + w cov x + w (1 - w) x^ x^' = V,
        u = w (S h^ + x^).

    For V = R R and S = R Y R the first reads (1 - w) Y + Y K Y = I with K = R (w cov h + ...) R: an equation for each
    eigenvalue. The scores times R are the rows of a root of K, whose singular values t give the eigenvalues
    y = 2 / (1 - w + ((1 - w)^2 + 4 t^2)^1/2). Nothing is squared, subtracted or inverted, so S is positive definite
    whatever the scores; the directions that fewer draws than dimensions do not speak of stay as they are.

    Source: Cai et al. (2024), Batch and match: black-box variational inference with a score-based divergence,
    arXiv:2402.14758, equations 8 to 12.
    """
    size = len(x)
    keep = 1 - weight
    mean_x, mean_h = x.mean(0), h.mean(0)
    spread, shift = jnp.sqrt(weight / size), jnp.sqrt(weight * keep)
    first = _root(jnp.concatenate([spread * (x - mean_x), shift * mean_x[None]]), keep)
    scores = jnp.concatenate([spread * (h - mean_h), shift * mean_h[None]])
    _, t, axes = jnp.linalg.svd(first.times(scores.T).T, full_matrices=False)
    y = 2 / (keep + jnp.sqrt(keep**2 + 4 * t**2))
    rest = _unseen(axes, 1 / jnp.sqrt(keep))
    second = Root(rest, jnp.sqrt(y) - rest, axes)
    shifted = first.times(second.times(second.times(first.times(mean_h[:, None]))))[:, 0]
    return weight * (shifted + mean_x), first, second


def _root(rows: Array, constant: Scalar) -> Root:
    """(c I + Y' Y)^1/2 from the rows Y."""
    _, s, axes = jnp.linalg.svd(rows, full_matrices=False)
    rest = _unseen(axes, jnp.sqrt(constant))
    return Root(rest, jnp.sqrt(constant + s**2) - rest, axes)


def _unseen(axes: Array, value: Scalar) -> Scalar:
    """The root's value off the axes: where there is no such direction nought, since it may be infinite."""
    return value if len(axes) < axes.shape[1] else jnp.zeros_like(value)
