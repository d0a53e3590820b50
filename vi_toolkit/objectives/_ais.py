"""Annealed importance sampling from a guide towards p^power q^(1 - power), by Hamiltonian Monte Carlo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vi_toolkit._types import Draws, Key, LogWeights, Scalar, Vector

Temperatures = Float[Array, "temperatures"]
Batch = Callable[[Draws], LogWeights]  # a log density of many points at once


class Place(NamedTuple):
    """Points, with what is known of q and p there: kept, so that no gradient is computed twice."""

    points: Draws
    log_q: LogWeights
    log_p: LogWeights
    slope_q: Draws
    slope_p: Draws


Carry = tuple[Place, LogWeights]


class Annealed(NamedTuple):
    """What a run gives: points with their log weights, and the mean acceptance at each temperature."""

    place: Place
    log_weights: LogWeights
    acceptance: Temperatures


def look(log_q: Batch, log_p: Batch, points: Draws) -> Place:
    """Both log densities and their gradients; what is NaN has no density."""
    (q, slope_q), (p, slope_p) = _with_slope(log_q, points), _with_slope(log_p, points)
    return Place(points, _sane(q), _sane(p), slope_q, slope_p)


def anneal(
    key: Key,
    log_q: Batch,
    log_p: Batch,
    start: Place,
    step_sizes: Temperatures,
    scale: Vector,
    num_leapfrogs: int,
    power: float = 2.0,
) -> Annealed:
    """Draws of q, moved through K densities between q and g, with weights that make them stand for g.

        log f_k = log q + b_k power (log p~ - log q),    b_k = k / (K + 1),    g = f_(K+1) = p~^power q^(1 - power)
        log w = sum_k (b_(k+1) - b_k) power (log p~(z_k) - log q(z_k)),    k = 0, ..., K

    with z_0 drawn from q, and z_k one transition from z_(k-1) that leaves f_k invariant. E[w h(z_K)] is the integral
    of g h for any h, however well the transitions mix; so E[w] is the integral of g.

    Args:
        key: for the transitions.
        log_q: log q of many points.
        log_p: log p~ of many points.
        start: draws of q, as `look` sees them.
        step_sizes: of the leapfrogs at each of the K temperatures, in units of ``scale``.
        scale: standard deviations, by which the coordinates are measured (an inverse mass of scale^2).
        num_leapfrogs: leapfrog steps of a transition, one gradient at each point each.
        power: 2 for the chi-square divergence, 1 for draws of p.

    Source: Neal (2001), Annealed importance sampling, doi:10.1023/A:1008923215028.
    """
    count = len(step_sizes)

    def rise(place: Place) -> LogWeights:
        return power * (place.log_p - place.log_q) / (count + 1)

    def warm(
        carry: tuple[Place, LogWeights], now: tuple[Key, Scalar, Scalar]
    ) -> tuple[tuple[Place, LogWeights], Scalar]:
        place, log_weights = carry
        key, temperature, step_size = now
        place, accepted = transition(key, log_q, log_p, place, temperature * power, step_size * scale, num_leapfrogs)
        return (place, log_weights + rise(place)), accepted

    temperatures = jnp.arange(1, count + 1, dtype=scale.dtype) / (count + 1)
    lanes = (jax.random.split(key, count), temperatures, step_sizes)
    (place, log_weights), acceptance = jax.lax.scan(warm, (start, rise(start)), lanes)
    return Annealed(place, _sane(log_weights), acceptance)


def transition(
    key: Key, log_q: Batch, log_p: Batch, place: Place, share: Scalar, steps: Vector, num_leapfrogs: int
) -> tuple[Place, Scalar]:
    """One Hamiltonian Monte Carlo transition of every point, which leaves p~^share q^(1 - share) invariant.

    ``steps`` are the leapfrog's step sizes in each coordinate. Returns the points and the mean acceptance.

    Source: Neal (2011), MCMC using Hamiltonian dynamics, arXiv:1206.1901.
    """
    key_momentum, key_accept = jax.random.split(key)
    momentum = jax.random.normal(key_momentum, place.points.shape, place.points.dtype)

    def kick(place: Place) -> Draws:
        return 0.5 * steps * (share * place.slope_p + (1 - share) * place.slope_q)

    def leap(_: Any, state: tuple[Place, Draws]) -> tuple[Place, Draws]:
        place, momentum = state
        half = momentum + kick(place)
        place = look(log_q, log_p, place.points + steps * half)
        return place, half + kick(place)

    def energy(place: Place, momentum: Draws) -> LogWeights:
        return 0.5 * jnp.sum(momentum**2, -1) - share * place.log_p - (1 - share) * place.log_q

    proposed, turned = jax.lax.fori_loop(0, num_leapfrogs, leap, (place, momentum))
    log_ratio = energy(place, momentum) - energy(proposed, turned)
    chance = jnp.where(jnp.isnan(log_ratio), 0.0, jnp.exp(jnp.minimum(log_ratio, 0.0)))
    accept = jax.random.uniform(key_accept, chance.shape, chance.dtype) < chance

    def choose(new: Array, old: Array) -> Array:
        return jnp.where(accept if new.ndim == 1 else accept[:, None], new, old)

    return jax.tree.map(choose, proposed, place), chance.mean()


def _with_slope(log_density: Batch, points: Draws) -> tuple[LogWeights, Draws]:
    values, pull_back = jax.vjp(log_density, points)
    return values, pull_back(jnp.ones_like(values))[0]


def _sane(log_density: LogWeights) -> LogWeights:
    return jnp.where(jnp.isnan(log_density), -jnp.inf, log_density)
