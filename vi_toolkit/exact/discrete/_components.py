"""What a state says about an observation: a batch of NumPyro distributions, one for each state."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import Distribution

from vi_toolkit._checks import check_instance, describe
from vi_toolkit.exact._inputs import as_array


class Mixture(dist.MixtureSameFamily):
    """A mixture of components of one family.

    NumPyro's own refuses every support that depends on a parameter, such as Categorical's, which depends on the number
    of categories; what counts is that all components have one support, and this `check_components` asks for.
    """

    def __init__(self, mixing: Distribution, components: Distribution, *, validate_args: bool | None = None) -> None:
        self._mixing_distribution = mixing
        self._component_distribution = components
        self._mixture_size = components.batch_shape[-1]
        batch_shape = jax.lax.broadcast_shapes(mixing.batch_shape, components.batch_shape[:-1])
        Distribution.__init__(self, batch_shape, components.event_shape, validate_args=validate_args)


def mixture(probs: Any, components: Distribution) -> Mixture:
    """The distribution of an observation whose state has the probabilities ``probs`` (..., K)."""
    return Mixture(dist.Categorical(probs=jnp.asarray(probs)), components)


def given_state(components: Distribution, state: Any) -> Mixture:
    """The distribution of an observation whose state is known: a mixture with all weight on it."""
    return mixture(jax.nn.one_hot(state, components.batch_shape[-1]), components)


def check_components(components: Any, name: str, num_states: int) -> None:
    """Raises unless ``components`` is a NumPyro distribution of batch shape (num_states,) with one support for all."""
    check_instance(components, Distribution, name, "For normal ones: numpyro.distributions.Normal(means, sds).")
    if components.batch_shape != (num_states,):
        raise ValueError(
            f"{name}: expected batch shape ({num_states},), one distribution for each state, got "
            f"{tuple(components.batch_shape)}. Normal(jnp.array([0.0, 4.0]), 1.0) has batch shape (2,)."
        )
    bounds = [np.asarray(leaf) for leaf in jax.tree.leaves(components.support)]
    if any(np.ptp(bound) > 0 for bound in bounds if bound.size):
        raise ValueError(f"{name}: expected one support for every state, got {components.support}.")


def as_observations(y: Any, components: Distribution, name: str) -> np.ndarray:
    """``y`` as an array (n, ...) of values in the components' support; whole numbers where that is discrete."""
    event_shape = tuple(components.event_shape)
    y = as_array(y, name, 1 + len(event_shape))
    if y.shape[1:] != event_shape:
        raise ValueError(f"{name}: expected observations of shape {event_shape}, got {describe(y)}.")
    inside = np.asarray(components.support(jnp.asarray(y)[:, None])).all(axis=1)
    if not inside.all():
        index = int(np.argmin(inside))
        raise ValueError(f"{name}: {y[index]} at index {index} is outside the support: {components.support}.")
    return y.astype(np.int64) if components.support.is_discrete else y


def component_log_probs(components: Distribution, y: np.ndarray, name: str) -> np.ndarray:
    """log f_k(y_i), of shape (n, K), in float64; evaluated by NumPyro, in JAX's precision."""
    log_probs = np.asarray(components.log_prob(jnp.asarray(y)[:, None]))
    wrong = np.isnan(log_probs) | np.isposinf(log_probs)
    if wrong.any():
        i, k = np.argwhere(wrong)[0]
        found = log_probs[i, k]
        raise ValueError(f"{name}: the log density of state {k} is {found} at index {i}; are its parameters valid?")
    lowest = np.finfo(log_probs.dtype).min  # what some of NumPyro's distributions return for log 0
    return np.where(log_probs <= 0.5 * lowest, -np.inf, log_probs.astype(np.float64))
