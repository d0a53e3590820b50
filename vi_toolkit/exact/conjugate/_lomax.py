"""The Lomax distribution: an exponential waiting time whose intensity has a gamma distribution."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.transforms import AffineTransform, ExpTransform


class Lomax(dist.TransformedDistribution):
    """x >= 0 of density a r^a / (r + x)^(a + 1), for a = ``concentration`` and r = ``rate`` of the gamma.

    It is x = r (e^u - 1) for u ~ Exponential(a): a Pareto distribution moved to begin at 0.
    """

    pytree_data_fields = ("concentration", "rate")

    def __init__(self, concentration: Any, rate: Any, *, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = jnp.asarray(concentration), jnp.asarray(rate)
        to_zero = AffineTransform(-self.rate, self.rate, domain=constraints.greater_than(1.0))
        exponential = dist.Exponential(self.concentration)
        super().__init__(exponential, [ExpTransform(), to_zero], validate_args=validate_args)

    @property
    def mean(self) -> Any:
        """r / (a - 1), infinite for a of at most 1."""
        a = self.concentration
        return jnp.where(a > 1, self.rate / (a - 1), jnp.inf)

    @property
    def variance(self) -> Any:
        """r^2 a / ((a - 1)^2 (a - 2)), infinite for a of at most 2."""
        a = self.concentration
        return jnp.where(a > 2, self.rate**2 * a / ((a - 1) ** 2 * (a - 2)), jnp.inf)
