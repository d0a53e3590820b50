"""Divergences as integrals over nodes, written from their definitions in p and q, not from the package's code."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp

Divergence = Callable[[Any, Any, Any], Any]  # (log p, log q, volumes) -> nats, or whatever the divergence is in


def _where(mass: Any, value: Any) -> Any:
    """mass * value, and zero where there is no mass."""
    return jnp.where(mass > 0, mass * jnp.where(mass > 0, value, 0.0), 0.0)


def reverse_kl(log_p: Any, log_q: Any, volumes: Any) -> Any:
    return jnp.sum(volumes * _where(jnp.exp(log_q), log_q - log_p))


def forward_kl(log_p: Any, log_q: Any, volumes: Any) -> Any:
    return jnp.sum(volumes * _where(jnp.exp(log_p), log_p - log_q))


def jeffreys(log_p: Any, log_q: Any, volumes: Any) -> Any:
    return reverse_kl(log_p, log_q, volumes) + forward_kl(log_p, log_q, volumes)


def renyi(alpha: float, log_p: Any, log_q: Any, volumes: Any) -> Any:
    """log of the integral of q^alpha p^(1 - alpha), with the sign that makes it a loss."""
    integral = jnp.sum(volumes * jnp.exp(alpha * log_q + (1 - alpha) * log_p))
    return jnp.log(integral) * (-1.0 if 0 < alpha < 1 else 1.0)


def jensen_shannon(skew: float, log_p: Any, log_q: Any, volumes: Any) -> Any:
    log_m = jnp.logaddexp(log_p + jnp.log(skew), log_q + jnp.log(1 - skew))
    return skew * forward_kl(log_p, log_m, volumes) + (1 - skew) * forward_kl(log_q, log_m, volumes)


def hellinger(log_p: Any, log_q: Any, volumes: Any) -> Any:
    return 0.5 * jnp.sum(volumes * (jnp.exp(0.5 * log_p) - jnp.exp(0.5 * log_q)) ** 2)


def total_variation(log_p: Any, log_q: Any, volumes: Any) -> Any:
    return 0.5 * jnp.sum(volumes * jnp.abs(jnp.exp(log_p) - jnp.exp(log_q)))


def triangular(log_p: Any, log_q: Any, volumes: Any) -> Any:
    """The integral of (p - q)^2 / (p + q), which is (p + q) tanh^2 of half of log p - log q."""
    return jnp.sum(volumes * (jnp.exp(log_p) + jnp.exp(log_q)) * jnp.tanh(0.5 * (log_p - log_q)) ** 2)


DIVERGENCES: dict[str, Divergence] = {
    "reverse KL": reverse_kl,
    "forward KL": forward_kl,
    "Jeffreys": jeffreys,
    "Hellinger": hellinger,
    "total variation": total_variation,
    "triangular": triangular,
    "Jensen-Shannon": partial(jensen_shannon, 0.5),
    "Jensen-Shannon, skew 0.2": partial(jensen_shannon, 0.2),
    "Renyi 0.3": partial(renyi, 0.3),
    "Renyi 0.5": partial(renyi, 0.5),
    "Renyi 0.7": partial(renyi, 0.7),
    "Renyi 2": partial(renyi, 2.0),
    "Renyi -0.5": partial(renyi, -0.5),
    "Renyi -1": partial(renyi, -1.0),
}
