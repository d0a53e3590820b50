"""What a measure of information is taken of: probability vectors, distributions, unnormalised densities, or draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import (
    Delta,
    Distribution,
    ExpandedDistribution,
    FoldedDistribution,
    ImproperUniform,
    Independent,
    MaskedDistribution,
    TransformedDistribution,
    Unit,
)
from numpyro.distributions.constraints import Constraint

from vi_toolkit._checks import check_finite, describe
from vi_toolkit._types import Density
from vi_toolkit.information.sample import Sample

EXPECTED = (
    "a probability vector, a NumPyro distribution, a target (an unnormalised log density), or draws wrapped by "
    "information.from_draws"
)
CHUNKS = (512, 8192, 65536)  # points in one compiled call: few shapes, so that few programs serve every number of them


class Vectors(NamedTuple):
    """Probability vectors along the last axis."""

    probabilities: np.ndarray  # (..., outcomes), each row summing to one


Operand = Any  # Vectors, Distribution, Density or Sample


def as_operand(value: Any, name: str) -> Operand:
    """``value`` as one of the four kinds; arrays are checked to be probability vectors."""
    if isinstance(value, Distribution):
        return _of_density(value, name)
    if isinstance(value, (Sample, Vectors)):
        return value
    if isinstance(value, type) and issubclass(value, Distribution):
        raise TypeError(f"{name}: expected a distribution, got the class {value.__name__} itself; give its parameters.")
    if is_density(value):
        return value
    return Vectors(as_probabilities(value, name))


def is_density(value: Any) -> bool:
    return hasattr(value, "log_density") and hasattr(value, "dim") and not isinstance(value, Distribution)


def _of_density(distribution: Distribution, name: str) -> Distribution:
    """The distribution, refused where its ``log_prob`` is no density."""
    base = distribution
    while isinstance(base, (Independent, ExpandedDistribution)):
        base = base.base_dist
    reasons = {
        Delta: "a point mass has no density; its surprise under q is information_content(point, q)",
        MaskedDistribution: "a mask leaves terms of its log density out; take the distribution inside",
        ImproperUniform: "its density has no finite integral",
        Unit: "it has no outcomes",
    }
    for kind, reason in reasons.items():
        if isinstance(base, kind):
            raise TypeError(f"{name}: expected a distribution with a density, got {kind.__name__}: {reason}.")
    return distribution


def as_probabilities(value: Any, name: str, num_axes: int = 1) -> np.ndarray:
    """``value`` as float64, checked to be nonnegative and to sum to one over its last ``num_axes`` axes."""
    if callable(value):
        raise TypeError(
            f"{name}: expected {EXPECTED}; got the function {getattr(value, '__name__', value)}. A log density becomes "
            "a target by vi.from_log_density(f, dim=...)."
        )
    try:
        given = np.asarray(value)
        if given.dtype.kind in "OUSMmc":  # objects, texts, dates, complex numbers
            raise TypeError
        array = given.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected {EXPECTED}; got {describe(value)}.") from None
    if array.ndim < num_axes or array.size == 0:
        raise ValueError(f"{name}: expected probabilities along {_axes(num_axes)}, got {describe(given)}.")
    check_finite(array, name)
    if (array < 0).any():
        index = tuple(int(i) for i in np.argwhere(array < 0)[0])
        raise ValueError(f"{name}: expected probabilities, got {array[index]} at index {index}.")
    over = tuple(range(-num_axes, 0))
    total = array.sum(axis=over, keepdims=True)
    precision = np.finfo(given.dtype if np.issubdtype(given.dtype, np.floating) else np.float64).eps ** 0.5
    if (np.abs(total - 1.0) > precision).any():
        worst = float(total.ravel()[np.abs(total - 1.0).argmax()])
        raise ValueError(
            f"{name}: expected probabilities that sum to 1 along {_axes(num_axes)}, got a sum of {worst:.10g}. "
            f"Divide by the sum, or wrap draws by information.from_draws."
        )
    return array / total


def _axes(num_axes: int) -> str:
    return "the last axis" if num_axes == 1 else f"the last {num_axes} axes"


def log_probs(distribution: Distribution, x: jax.Array) -> jax.Array:
    """log p at every row of x (points, *event), and -inf outside the support, where NumPyro does not say so itself."""
    # Some distributions make their support when they are built, and lose it on the way into compiled code.
    return _log_probs(distribution, distribution.support, x)


@jax.jit
def _log_probs(distribution: Distribution, support: Constraint, x: jax.Array) -> jax.Array:
    inside = support(x)
    is_mapped = isinstance(distribution, TransformedDistribution) and not isinstance(distribution, FoldedDistribution)
    if is_mapped and not distribution.event_shape:
        origin = x  # the stated support may be larger than the image of what is possible before the map
        for transform in reversed(distribution.transforms):
            origin = transform.inv(origin)
        inside = inside & distribution.base_dist.support(origin)
    return jnp.where(inside, distribution.log_prob(x), -jnp.inf)


@jax.jit
def log_densities(density: Density, x: jax.Array) -> jax.Array:
    """log p~ at every row of x (points, dim)."""
    return jax.vmap(density.log_density)(x)


@jax.jit
def scores(operand: Any, x: jax.Array) -> jax.Array:
    """The gradient of log p (or log p~) at every row of x, of the shape of x."""
    log_p = operand.log_density if is_density(operand) else operand.log_prob
    return jax.vmap(jax.grad(lambda point: jnp.sum(log_p(point))))(x)


def logs_at(operand: Any, x: np.ndarray) -> np.ndarray:
    """log p (or log p~) at every row of x, in float64."""
    return in_chunks(log_densities if is_density(operand) else log_probs, operand, x)


def in_chunks(evaluate: Callable[[Any, jax.Array], jax.Array], operand: Any, x: np.ndarray) -> np.ndarray:
    """A compiled function of the rows of x, in float64."""
    found = []
    size = next((size for size in CHUNKS if size >= len(x)), CHUNKS[-1])
    for start in range(0, len(x), size):
        chunk = x[start : start + size]
        padded = np.concatenate([chunk, np.broadcast_to(chunk[:1], (size - len(chunk), *x.shape[1:]))])
        found.append(np.asarray(evaluate(operand, jnp.asarray(padded)), np.float64)[: len(chunk)])
    return np.concatenate(found)
