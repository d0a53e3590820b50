"""Gaussians with any covariance, matched to a batch by a rule that works where the present q is standard normal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions import Distribution

from vi_toolkit._types import Draws, Key, Params, Scalar, Vector
from vi_toolkit.algorithms._match_pace import Batch
from vi_toolkit.guides import FullRankNormal

Matrix = Float[Array, "dim dim"]
Rule = Callable[[Draws, Draws, Scalar], tuple[Vector, Matrix]]  # x, h, weight -> mean and factor of the new q


class Dense(NamedTuple):
    """N(m, L L')."""

    location: Vector
    lower: Matrix  # L, with a positive diagonal


@dataclass(frozen=True)
class DenseMatcher:
    """Every covariance; a `Matcher`."""

    rule: Rule
    draws: int | None = None

    def check(self, dim: int) -> None:
        """Nothing stands against any target."""

    def num_draws(self, dim: int) -> int:
        """Half as many again as there are dimensions: then the draws' own covariance is well conditioned."""
        return self.draws or math.ceil(1.5 * dim) + 4

    def most_weight(self, dim: int) -> float:
        """A batch may count as all there is where it says something about every direction."""
        draws = self.num_draws(dim)
        return 1.0 if draws > dim + 1 else draws / (draws + dim)

    def start(self, key: Key, location: Vector, scale: Scalar) -> Dense:
        return Dense(location, scale * jnp.eye(len(location), dtype=location.dtype))

    def place(self, q: Dense, x: Draws) -> Draws:
        return q.location + x @ q.lower.T

    def pull_back(self, q: Dense, slopes: Draws) -> Draws:
        return slopes @ q.lower

    def log_determinant(self, q: Dense) -> Scalar:
        return jnp.log(jnp.diagonal(q.lower)).sum()

    def match(self, q: Dense, batch: Batch, weight: Scalar) -> tuple[Dense, Scalar]:
        """The new q, and D(new || q) = (|F|^2 + |u|^2 - dim) / 2 - log |det F| in nats: u its mean, F its factor."""
        mean, factor = self.rule(batch.whitened, batch.scores, weight)
        # Products of factors, never a covariance: their accuracy does not suffer from its condition number.
        upper = jnp.linalg.qr((q.lower @ factor).T, mode="r")
        new = Dense(q.location + q.lower @ mean, (upper * jnp.where(jnp.diagonal(upper) < 0, -1.0, 1.0)[:, None]).T)
        size = 0.5 * (jnp.sum(factor**2) + jnp.sum(mean**2) - len(mean))
        return new, size - (self.log_determinant(new) - self.log_determinant(q))

    def params(self, q: Dense) -> Params:
        return {
            "location": q.location,
            "log_diagonal": jnp.log(jnp.diagonal(q.lower)),
            "lower": jnp.tril(q.lower, -1),
        }

    def distribution(self, params: Params) -> Distribution:
        return FullRankNormal().distribution(params)
