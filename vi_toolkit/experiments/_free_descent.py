"""Gradient descent on both sides of D(p‖q) and of H(p, q): categorical distributions and Gaussians.

A pair of categoricals is two rows of logits; a pair of Gaussians two rows of (mean, log sd).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import entr, rel_entr

Loss = Callable[[Any], Any]  # pair -> nats


def categorical_divergence(logits: Any) -> Any:
    """D(p‖q) = sum_k p_k log (p_k / q_k)."""
    p, q = jax.nn.softmax(logits, axis=1)
    return jnp.sum(rel_entr(p, q))


def categorical_cross_entropy(logits: Any) -> Any:
    """H(p, q) = -sum_k p_k log q_k."""
    return -jnp.sum(jax.nn.softmax(logits[0]) * jax.nn.log_softmax(logits[1]))


def categorical_entropy(logits: Any) -> Any:
    """H(p)."""
    return jnp.sum(entr(jax.nn.softmax(logits[0])))


def gaussian_divergence(pair: Any) -> Any:
    """D(p‖q) = log(s_q / s_p) + (s_p^2 + (m_p - m_q)^2) / (2 s_q^2) - 1/2."""
    return gaussian_cross_entropy(pair) - gaussian_entropy(pair)


def gaussian_cross_entropy(pair: Any) -> Any:
    """H(p, q) = log(s_q) + log(2 pi) / 2 + (s_p^2 + (m_p - m_q)^2) / (2 s_q^2)."""
    (m_p, log_s_p), (m_q, log_s_q) = pair
    squares = jnp.exp(2 * (log_s_p - log_s_q)) + ((m_p - m_q) * jnp.exp(-log_s_q)) ** 2
    return log_s_q + 0.5 * jnp.log(2 * jnp.pi) + 0.5 * squares


def gaussian_entropy(pair: Any) -> Any:
    """H(p) = log(s_p) + log(2 pi e) / 2: below 0 for a narrow one, and without a bound."""
    return pair[0, 1] + 0.5 * jnp.log(2 * jnp.pi) + 0.5


def whole_step(logits: Any) -> Any:
    """Logits move as their gradient says."""
    return jnp.ones_like(logits)


def step_in_own_sd(pair: Any) -> Any:
    """A mean moves in units of its own sd: its gradient times s^2. Without it the steps explode as s goes to 0."""
    scale = jnp.exp(2 * pair[:, 1])
    return jnp.stack([scale, jnp.ones_like(scale)], axis=1)


class Family(NamedTuple):
    """What is minimised, and how."""

    divergence: Loss
    cross_entropy: Loss
    entropy: Loss
    scale: Callable[[Any], Any]  # pair -> by how much each entry of its gradient is multiplied
    rate: float
    steps: int


CATEGORICAL = Family(categorical_divergence, categorical_cross_entropy, categorical_entropy, whole_step, 1.0, 10_000)
GAUSSIAN = Family(gaussian_divergence, gaussian_cross_entropy, gaussian_entropy, step_in_own_sd, 0.1, 200)


class Descent(NamedTuple):
    """Both losses, minimised from the same starts. The first axis: D(p‖q), then H(p, q)."""

    paths: np.ndarray  # (2, starts, steps + 1, 2, columns)
    entropies: np.ndarray  # (2, starts, steps + 1): of p
    divergences: np.ndarray  # (2, starts, steps + 1): D(p‖q)


def descend(family: Family, starts: np.ndarray) -> Descent:
    """Gradient descent from ``starts`` (starts, 2, columns) on both losses of a family."""
    begin = jnp.asarray(starts, jnp.result_type(float))
    paths = jnp.stack(
        [
            _paths(loss, family.scale, begin, family.rate, family.steps)
            for loss in (family.divergence, family.cross_entropy)
        ]
    )
    found = (paths, _along(family.entropy, paths), _along(family.divergence, paths))
    return Descent(*(np.asarray(part, np.float64) for part in found))


@partial(jax.jit, static_argnames=("loss", "scale", "steps"))
def _paths(loss: Loss, scale: Loss, starts: Any, rate: Any, steps: int) -> Any:
    def step(pair: Any, _: Any) -> tuple[Any, Any]:
        moved = pair - rate * scale(pair) * jax.grad(loss)(pair)
        return moved, moved

    def path(start: Any) -> Any:
        return jnp.concatenate([start[None], jax.lax.scan(step, start, length=steps)[1]])

    return jax.vmap(path)(starts)


@partial(jax.jit, static_argnames="measure")
def _along(measure: Loss, paths: Any) -> Any:
    return jax.vmap(jax.vmap(jax.vmap(measure)))(paths)
