"""How much each of many runs counts: its ELBO, and the weights of a mixture of all, from draws of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vi_toolkit._types import Key, Params, Scalar
from vi_toolkit.targets import Target

BLOCK = 64  # draws of each run, looked at together
BLOCKS = 16  # for the weights at the end; one, while a fit goes on
MAX_ASCENTS = 200
GAP = 1e-4  # nats, by which the weights may miss the highest ELBO
MAX_BAD = 0.01  # share of draws at which the density may fail to be finite
NONE = -1e4  # the log weight of a run that does not count
LEAST = 1e-30  # the weight that the ascent leaves to a run, so that it can come back


RunValues = Float[Array, "runs"]  # one for each


class Weighed(NamedTuple):
    """What draws of all runs say of them."""

    log_weights: RunValues  # (runs,)
    elbo: RunValues  # (runs,), -inf where a run failed
    apart: Float[Array, "runs runs"]  # D(q_j || q_k) + D(q_k || q_j) in nats


class RunDraws(NamedTuple):
    """Draws of every run, from the same noise; block by block, so that a few can be looked at alone."""

    key: Key
    posterior: Callable[[Params], Any]
    params: Params  # of the runs, with a leading axis

    @property
    def num_runs(self) -> int:
        return len(jax.tree.leaves(self.params)[0])

    def block(self, block: Any) -> Float[Array, "runs draws dim"]:
        noise = jax.random.fold_in(self.key, block)
        return jax.vmap(lambda one: self.posterior(one).sample(noise, (BLOCK,)))(self.params)

    def ratios(self, target: Target, block: Any) -> Float[Array, "runs draws"]:
        """log p~ - log q_k at the draws of run k."""
        z = self.block(block)
        log_q = jax.vmap(lambda one, z: self.posterior(one).log_prob(z))(self.params, z)
        return jax.vmap(jax.vmap(target.log_density))(z) - log_q

    def lifts(self, block: Any) -> Float[Array, "runs others draws"]:
        """log q_j - log q_k at the draws of run k, for every j: [k, j, draws]."""
        z = self.block(block)
        log_q = jax.vmap(lambda one: self.posterior(one).log_prob(z))(self.params)
        return jnp.moveaxis(log_q - jnp.diagonal(log_q).T, 0, 1)


def weigh(draws: RunDraws, target: Target, lost: Array, used: Array, ascents: int) -> Weighed:
    """The ELBO of every run, how far they are apart, and the weights after some steps of ascent from equal ones.

    Args:
        draws: of all runs.
        target: p.
        lost: the runs that do not count, whatever their draws say, (runs,).
        used: how many blocks of draws to look at, at most ``BLOCKS``.
        ascents: at most how many steps of ascent to take; 0 leaves the weights equal.
    """
    count, dtype = draws.num_runs, jnp.result_type(float)
    nothing = jnp.full((BLOCKS, count, BLOCK), jnp.nan, dtype)
    ratios = jax.lax.fori_loop(0, used, lambda b, all: all.at[b].set(draws.ratios(target, b)), nothing)
    num_good = jnp.isfinite(ratios).sum(axis=(0, 2))
    failed = lost | (num_good < (1 - MAX_BAD) * BLOCK * used)
    elbo = jnp.where(failed, -jnp.inf, _mean(ratios))
    usable = ~failed | failed.all()
    log_weights = jnp.where(usable, -jnp.log(usable.sum()), NONE).astype(dtype)
    if not ascents:
        return Weighed(log_weights, elbo, _apart(draws.lifts(0)))
    room = jnp.zeros((BLOCKS, count, count, BLOCK), dtype)
    lifts = jax.lax.fori_loop(0, used, lambda b, all: all.at[b].set(draws.lifts(b)), room)
    return Weighed(ascend(log_weights, ratios, lifts, used, ascents), elbo, _apart(lifts[0]))


def _mean(values: Float[Array, "blocks runs draws"]) -> RunValues:
    """Of those that are finite."""
    return jnp.mean(values, axis=(0, 2), where=jnp.isfinite(values))


def _apart(lifts: Float[Array, "runs others draws"]) -> Float[Array, "runs others"]:
    """D(q_j || q_k) + D(q_k || q_j) by the mean of r - 1 - log r with r = q_j / q_k, which is never negative."""
    divergence = jnp.mean(jnp.expm1(jnp.minimum(lifts, 50.0)) - lifts, axis=-1)
    return divergence + divergence.T


def ascend(
    log_weights: RunValues,
    ratios: Float[Array, "blocks runs draws"],
    lifts: Float[Array, "blocks runs others draws"],
    used: Any,
    most: int,
) -> RunValues:
    """The weights w after at most so many steps of mirror ascent on the ELBO of the mixture.

        ELBO(w) = sum_k w_k E_k[log p~ - log sum_j w_j q_j],    w_k <- w_k exp(E_k[log p~ - log q_w]) / sum

    It is concave in the weights; a step of one never lowers it, since D(q_v || q_w) is at most D(v || w). Where any two
    runs are either at one place or apart, a single step from equal weights is enough: a place gets exp(ELBO), in equal
    parts for the runs that are there. The ascent ends once max_k slope_k - sum_k w_k slope_k, which bounds what is
    missing, is below 1e-4 nats.

    Args:
        log_weights: to begin with; far below zero for a run that does not count.
        ratios: log p~ - log q_k at draws of run k; those that are not finite are left out.
        lifts: log q_j - log q_k at draws of run k.
        used: how many blocks there are.
        most: steps.
    """
    usable = log_weights > NONE / 2
    lifts = jnp.where(usable[:, None], lifts, -jnp.inf)
    top = jnp.maximum(jnp.max(lifts, axis=2), 0.0)
    shares, rest = jnp.exp(lifts - top[:, :, None]), ratios - top
    num_good = jnp.maximum(jnp.isfinite(ratios).sum(axis=(0, 2)), 1)

    def slopes(weights: RunValues) -> RunValues:
        def add(block: Array, total: RunValues) -> RunValues:
            log_mixture = jnp.log(jnp.einsum("j,kjn->kn", weights, shares[block]))
            return total + jnp.sum(rest[block] - log_mixture, axis=1, where=jnp.isfinite(rest[block]))

        return jax.lax.fori_loop(0, used, add, jnp.zeros_like(weights)) / num_good

    def goes_on(carry: tuple[Array, RunValues, Scalar]) -> Array:
        return (carry[0] < most) & (carry[2] > GAP)

    def step(carry: tuple[Array, RunValues, Scalar]) -> tuple[Array, RunValues, Scalar]:
        count, weights, _ = carry
        rise = slopes(weights)
        gap = jnp.max(rise, where=usable, initial=-jnp.inf) - weights @ rise
        new = jax.nn.softmax(jnp.where(usable, jnp.log(weights) + rise, -jnp.inf))
        return count + 1, jnp.where(usable, jnp.maximum(new, LEAST), 0.0), gap

    first = jnp.where(usable, jnp.exp(log_weights), 0.0)
    begin = (jnp.asarray(0), first, jnp.full_like(first[0], jnp.inf))
    weights = jax.lax.while_loop(goes_on, step, begin)[1]
    return jnp.where(usable, jnp.log(jnp.where(usable, weights, 1.0)), NONE)
