"""Independent categoricals, for unknowns that take finitely many values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from vi_toolkit._checks import check_num_values
from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params
from vi_toolkit.guides.guide import Guide

JITTER = 0.1  # sd of the first logits: q uniform is a saddle point wherever the values are interchangeable


@dataclass(frozen=True)
class MeanFieldCategorical(Guide):
    """q(z) = prod_i q_i(z_i), z_i one of 0, 1, ..., num_values[i] - 1: independent categoricals.

    log q_i(k) is logits[i, k] up to a constant. Parameters are ``logits`` (dim, the largest of num_values); entries
    past a coordinate's number of values count as minus infinity. Points are whole numbers, kept as floats. Draws carry
    no gradients: the estimators that go with it are `vi.estimators.enumerated`, `rao_blackwellised` and
    `score_function`, and the objective `vi.LogVariance`.

    q is above zero everywhere, so reverse KL is infinite where p is zero at some of the points.

    Args:
        num_values: how many values each coordinate takes, (dim,).

    Raises:
        TypeError, ValueError: if it is not a list of whole numbers of at least 1.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> guide = vi.MeanFieldCategorical((2, 3))
        >>> q = guide.distribution({"logits": jnp.zeros((2, 3))})
        >>> q.mean, jnp.exp(q.log_prob(jnp.array([1.0, 2.0]))).round(4)
        (Array([0.5, 1. ], dtype=float64), Array(0.1667, dtype=float64))

    Source: Wainwright & Jordan (2008), Graphical models, exponential families, and variational inference,
    doi:10.1561/2200000001, chapter 5.
    """

    reparameterised: ClassVar[bool] = False
    needs_start: ClassVar[bool] = False
    factorises: ClassVar[bool] = True

    num_values: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_values", check_num_values(self.num_values))

    def states(self) -> tuple[int, ...]:
        """``num_values``."""
        return self.num_values

    def learning_rate(self, dim: int) -> float:
        """Logits change by a tenth at first."""
        return 0.1

    def check(self, dim: int) -> None:
        """One number of values for each coordinate."""
        if len(self.num_values) != dim:
            raise ValueError(
                f"guide: {self} has {len(self.num_values)} coordinates, and the target {dim}. Give num_values one "
                "entry for each coordinate."
            )

    def init(self, key: Key, start: Start) -> Params:
        """Nearly uniform; where the start lies does not matter."""
        shape = (len(self.num_values), max(self.num_values))
        return {"logits": JITTER * jax.random.normal(key, shape, start.location.dtype)}

    def distribution(self, params: Params) -> dist.Distribution:
        """Independent categoricals on vectors of whole numbers."""
        exists = np.arange(max(self.num_values)) < np.array(self.num_values)[:, None]
        return CategoricalVector(jnp.where(exists, params["logits"], -jnp.inf))


class CategoricalVector(dist.Distribution):
    """Vectors of independent categorical coordinates, as floats that hold whole numbers.

    Args:
        logits: (..., dim, values), -inf for a value that does not exist.

    Example:
        >>> import jax.numpy as jnp
        >>> from vi_toolkit.guides.categorical import CategoricalVector
        >>> CategoricalVector(jnp.log(jnp.array([[0.9, 0.1]]))).entropy().round(3)
        Array(0.325, dtype=float64)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"logits": constraints.real_matrix}
    support = constraints.independent(constraints.nonnegative_integer, 1)
    pytree_data_fields = ("logits",)

    def __init__(self, logits: Float[Array, "... dim values"]) -> None:
        self.logits = logits
        super().__init__(logits.shape[:-2], logits.shape[-2:-1], validate_args=False)

    @property
    def log_probs(self) -> Array:
        """log q_i(k), of shape (..., dim, values)."""
        return jax.nn.log_softmax(self.logits, axis=-1)

    @property
    def probs(self) -> Array:
        """q_i(k), of shape (..., dim, values)."""
        return jax.nn.softmax(self.logits, axis=-1)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws of shape (*sample_shape, ..., dim)."""
        states = jax.random.categorical(key, self.logits, shape=self.shape(sample_shape))
        return states.astype(self.logits.dtype)

    def log_prob(self, value: Any) -> Array:
        """sum_i log q_i(value_i); -inf where a coordinate is not one of its values."""
        value = jnp.asarray(value)
        num_values = self.logits.shape[-1]
        index = jnp.clip(value, 0, num_values - 1).astype(int)
        chosen = index[..., None] == jnp.arange(num_values)
        picked = jnp.where(chosen, self.log_probs, 0.0).sum(-1)
        return jnp.where(index == value, picked, -jnp.inf).sum(-1)

    @property
    def mean(self) -> Array:
        """sum_k k q_i(k)."""
        return self.probs @ self._values

    @property
    def variance(self) -> Array:
        """sum_k (k - mean_i)^2 q_i(k)."""
        return (self.probs * (self._values - self.mean[..., None]) ** 2).sum(-1)

    def entropy(self) -> Array:
        """-sum_i sum_k q_i(k) log q_i(k), in nats."""
        log_probs = jnp.where(self.logits > -jnp.inf, self.log_probs, 0.0)
        return -(self.probs * log_probs).sum((-1, -2))

    @property
    def _values(self) -> Array:
        return jnp.arange(self.logits.shape[-1], dtype=self.logits.dtype)
