"""The loss that a fit minimised, where it can be looked at again: its gradients on fresh noise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from vi_toolkit._types import Key, Params, Scalar
from vi_toolkit.algorithms import Method
from vi_toolkit.algorithms._run_mixture import leading
from vi_toolkit.algorithms.fixed_draws import FixedDraws
from vi_toolkit.algorithms.gradient import GradientMethod
from vi_toolkit.algorithms.mixture_natural_gradient import MixtureNaturalGradient
from vi_toolkit.algorithms.natural_gradient import NaturalGradient
from vi_toolkit.algorithms.restarts import Restarts
from vi_toolkit.fit import Fit
from vi_toolkit.guides import Guide
from vi_toolkit.objectives import Objective, ReverseKL
from vi_toolkit.targets import Target

BATCHES = 32  # independent estimates of the gradient, in one call


class OwnLoss(NamedTuple):
    """A loss of a guide's parameters, and where the fit stands."""

    guide: Guide
    objective: Objective
    num_draws: int
    params: Params
    memory: Any = ()
    before: Params | None = None  # the average over the window before, where it is another
    is_elbo: bool = True  # whether the loss is minus the ELBO


def own_loss(fit: Fit) -> OwnLoss | None:
    """The loss of a fit; None where its method has none, or one that draws are carried along with."""
    return _of(fit.method, fit.params, fit.checkpoint.state)


def _of(method: Method, params: Params, state: Any) -> OwnLoss | None:
    found = _BY_METHOD.get(type(method))
    return found(method, params, state) if found else None


def _of_gradient(method: Any, params: Params, state: Any) -> OwnLoss | None:
    if any(np.size(leaf) > 1 for leaf in jax.tree.leaves(state.memory)):
        return None
    before = state.averages.before
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(params), strict=True)
    moved = any(not np.array_equal(one, other) for one, other in pairs)
    is_elbo = isinstance(method.objective, ReverseKL) and method.objective.beta == 1
    return OwnLoss(
        method.guide, method.objective, method.num_draws, params, state.memory, before if moved else None, is_elbo
    )


def _of_elbo(method: Any, params: Params, state: Any) -> OwnLoss:
    objective = ReverseKL()
    return OwnLoss(method.guide, objective, objective.num_draws, params, jnp.zeros((), jnp.result_type(float)))


def _of_restarts(method: Any, params: Params, state: Any) -> OwnLoss | None:
    """That of the run that counts most."""
    best = int(np.argmax(np.asarray(params["log_weights"])))
    return _of(method.method, leading(params), jax.tree.map(lambda leaf: leaf[best], state.runs))


_BY_METHOD: dict[type, Callable[[Any, Params, Any], OwnLoss | None]] = {
    GradientMethod: _of_gradient,
    FixedDraws: _of_elbo,
    NaturalGradient: _of_elbo,
    MixtureNaturalGradient: _of_elbo,
    Restarts: _of_restarts,
}


@partial(jax.jit, static_argnames=("guide", "num_draws"))
def _gradients(
    guide: Guide, num_draws: int, objective: Objective, target: Target, params: Params, memory: Any, key: Key, at: Array
) -> tuple[Array, Array]:
    """Losses and flat gradients at the step ``at`` from the parameters, of BATCHES independent batches of draws."""
    back = ravel_pytree(params)[1]

    def one(key: Key) -> tuple[Scalar, Array]:
        def loss(step: Array) -> Scalar:
            moved = guide.move(params, back(step))
            return objective.loss_with_memory(key, moved, guide, target, num_draws, memory)[0]

        return jax.value_and_grad(loss)(at)

    return jax.lax.map(one, jax.random.split(key, BATCHES))


def gradients(
    key: Key, loss: OwnLoss, target: Target, *, params: Params | None = None, at: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Losses (BATCHES,) and gradients (BATCHES, params) in own coordinates; at the fit's parameters unless told.

    The same key gives the same noise at other parameters.
    """
    params = loss.params if params is None else params
    flat = ravel_pytree(params)[0]
    step = jnp.zeros_like(flat) if at is None else jnp.asarray(at, flat.dtype)
    found = _gradients(loss.guide, loss.num_draws, loss.objective, target, params, loss.memory, key, step)
    losses, slopes = (np.asarray(array, np.float64) for array in found)
    return losses, slopes
