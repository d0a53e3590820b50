"""Losses of a softmax classifier on one batch, in nats for one row: cross-entropy, KL, and three ways to break KL.

``theta`` has shape (columns, classes), ``x`` (rows, columns), and ``p`` (rows, classes) holds the targets.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import entr, rel_entr

Loss = Callable[[Any, Any, Any], Any]

OWN_SHARE = 0.5  # the share of a target that is the model's own prediction, where targets carry gradients
CLIP = 1e-7  # the least probability, where probabilities are clipped


def cross_entropy(theta: Any, x: Any, p: Any) -> Any:
    """H(p, q) = -sum_k p_k log q_k, from logits."""
    return -jnp.mean(jnp.sum(p * jax.nn.log_softmax(x @ theta, axis=1), axis=1))


def divergence(theta: Any, x: Any, p: Any) -> Any:
    """D(p‖q) = sum_k p_k log (p_k / q_k), from probabilities."""
    return jnp.mean(jnp.sum(rel_entr(p, jax.nn.softmax(x @ theta, axis=1)), axis=1))


def entropy(p: Any) -> Any:
    """H(p) = -sum_k p_k log p_k, the mean over the rows."""
    return jnp.mean(jnp.sum(entr(p), axis=1))


def own_cross_entropy(theta: Any, x: Any, p: Any) -> Any:
    """H(p', q) with p' in part q itself, and the gradient flowing through p' as well."""
    return cross_entropy(theta, x, _own(theta, x, p))


def own_divergence(theta: Any, x: Any, p: Any) -> Any:
    """D(p'‖q) with p' in part q itself, and the gradient flowing through p' as well."""
    return divergence(theta, x, _own(theta, x, p))


def _own(theta: Any, x: Any, p: Any) -> Any:
    return (1 - OWN_SHARE) * p + OWN_SHARE * jax.nn.softmax(x @ theta, axis=1)


def swapped_divergence(theta: Any, x: Any, p: Any) -> Any:
    """D(q‖p) = sum_k q_k (log q_k - log p_k): the arguments exchanged."""
    log_q = jax.nn.log_softmax(x @ theta, axis=1)
    return jnp.mean(jnp.sum(jnp.exp(log_q) * (log_q - jnp.log(p)), axis=1))


def clipped_divergence(theta: Any, x: Any, p: Any) -> Any:
    """D(p‖q) with every probability of q raised to at least CLIP before its logarithm is taken."""
    q = jnp.clip(jax.nn.softmax(x @ theta, axis=1), CLIP, 1.0)
    return jnp.mean(jnp.sum(p * (jnp.log(p) - jnp.log(q)), axis=1))


class Run(NamedTuple):
    """Gradient descent on a cross-entropy and on a KL over the same batches."""

    paths: Any  # (2, steps + 1, columns, classes): the parameters of each
    losses: Any  # (2, steps): both losses of every batch, at the parameters of the first
    gradients: Any  # (2, steps, columns, classes): likewise
    entropies: Any  # (steps,): H(p) of the targets of every batch
    distances: Any  # (2, steps + 1): D(p‖q) over all rows along each path


@partial(jax.jit, static_argnames=("first", "second"))
def run(first: Loss, second: Loss, start: Any, x: Any, p: Any, batches: Any, rate: Any) -> Run:
    """``batches`` (steps, batch) holds the rows of each; ``rate`` is the step size."""

    def path(loss: Loss) -> Any:
        def step(theta: Any, rows: Any) -> tuple[Any, Any]:
            moved = theta - rate * jax.grad(loss)(theta, x[rows], p[rows])
            return moved, moved

        return jnp.concatenate([start[None], jax.lax.scan(step, start, batches)[1]])

    paths = jnp.stack([path(first), path(second)])
    before = paths[0, :-1]
    both = [
        jax.vmap(lambda theta, rows, loss=loss: jax.value_and_grad(loss)(theta, x[rows], p[rows]))(before, batches)
        for loss in (first, second)
    ]
    return Run(
        paths=paths,
        losses=jnp.stack([values for values, _ in both]),
        gradients=jnp.stack([gradients for _, gradients in both]),
        entropies=jax.vmap(lambda rows: entropy(p[rows]))(batches),
        distances=jax.vmap(jax.vmap(lambda theta: _distance(theta, x, p)))(paths),
    )


def _distance(theta: Any, x: Any, p: Any) -> Any:
    return cross_entropy(theta, x, p) - entropy(p)


@jax.jit
def batch_values(theta: Any, x: Any, p: Any, batches: Any) -> Any:
    """(H(p, q), H(p)) of every batch, each of shape (batches,), at one theta."""
    return jax.vmap(lambda rows: (cross_entropy(theta, x[rows], p[rows]), entropy(p[rows])))(batches)


@partial(jax.jit, static_argnames="loss")
def gradient_noise(loss: Loss, theta: Any, x: Any, p: Any, batches: Any) -> Any:
    """The spread of the gradients of the batches, sqrt(mean |g_b - g|^2) / |g| with g their mean, at one theta."""
    gradients = jax.vmap(lambda rows: jax.grad(loss)(theta, x[rows], p[rows]))(batches)
    mean = jnp.mean(gradients, axis=0)
    return jnp.sqrt(jnp.mean(jnp.sum((gradients - mean) ** 2, axis=(1, 2))) / jnp.sum(mean**2))


def gradient_differences(done: Run) -> np.ndarray:
    """|g - g'| / |g| at every step, for the gradients of cross-entropy and of KL at the same parameters."""
    size = np.sqrt((done.gradients[0] ** 2).sum(axis=(1, 2)))
    return np.sqrt(((done.gradients[0] - done.gradients[1]) ** 2).sum(axis=(1, 2))) / size
