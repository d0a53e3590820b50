"""Independent guides, each over coordinates of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.distributions import constraints

from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params
from vi_toolkit.guides.guide import Guide


@dataclass(frozen=True)
class ProductGuide(Guide):
    """q(z) = prod_j q_j(z_j): independent guides, each over coordinates of its own; made by `from_autoguide`.

    Parameters are a tuple of those of the parts.

    Args:
        parts: the guides q_j.
        places: for each part, the coordinates of z that it stands for. Together they are 0 to dim - 1, each once.
    """

    parts: tuple[Guide, ...]
    places: tuple[tuple[int, ...], ...]

    def learning_rate(self, dim: int) -> float:
        """The smallest of the parts'."""
        sizes = zip(self.parts, self.places, strict=True)
        return min(part.learning_rate(len(place)) for part, place in sizes)

    def check(self, dim: int) -> None:
        """Refuses a target of another dimension."""
        size = sum(len(place) for place in self.places)
        if dim != size:
            raise ValueError(
                f"guide: its parts stand for {size} unconstrained coordinates, the target has {dim}. Make it again for "
                "this target."
            )

    def init(self, key: Key, start: Start) -> Params:
        """Each part at its share of the start."""
        keys = jax.random.split(key, len(self.parts))
        shares = [
            Start(start.location[p], start.scale[p], start.others[:, p], start.finite)
            for p in map(np.asarray, self.places)
        ]
        return tuple(part.init(key, share) for part, key, share in zip(self.parts, keys, shares, strict=True))

    def distribution(self, params: Params) -> dist.Distribution:
        """The product of the parts' distributions."""
        parts = [part.distribution(own) for part, own in zip(self.parts, params, strict=True)]
        return ProductDistribution(tuple(parts), self.places)

    def move(self, params: Params, step: Params) -> Params:
        """Each part in its own coordinates."""
        moves = zip(self.parts, params, step, strict=True)
        return tuple(part.move(own, its_step) for part, own, its_step in moves)


class ProductDistribution(dist.Distribution):
    """Independent distributions on vectors, each over coordinates of its own."""

    support = constraints.real_vector
    pytree_data_fields = ("parts",)
    pytree_aux_fields = ("places",)

    def __init__(self, parts: tuple[Any, ...], places: tuple[tuple[int, ...], ...]) -> None:
        self.parts, self.places = parts, places
        super().__init__((), (sum(len(place) for place in places),), validate_args=False)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws of the parts, put into their places."""
        keys = jax.random.split(key, len(self.parts))
        return self._together([part.sample(key, sample_shape) for part, key in zip(self.parts, keys, strict=True)])

    def log_prob(self, value: Any) -> Array:
        """The sum of the parts' log densities."""
        values = [value[..., np.asarray(place)] for place in self.places]
        terms = [part.log_prob(own) for part, own in zip(self.parts, values, strict=True)]
        return jnp.sum(jnp.stack(terms), axis=0)

    @property
    def mean(self) -> Array:
        """The parts' means."""
        return self._together([part.mean for part in self.parts])

    @property
    def variance(self) -> Array:
        """The parts' variances."""
        return self._together([part.variance for part in self.parts])

    def _together(self, values: list[Array]) -> Array:
        order = np.argsort(np.concatenate([np.asarray(place) for place in self.places]))
        return jnp.concatenate(values, axis=-1)[..., order]
