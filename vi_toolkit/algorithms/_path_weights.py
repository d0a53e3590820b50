"""How much each path counts: the weights of a mixture of normals, from draws of all of them."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vi_toolkit._types import LogWeights, Scalar
from vi_toolkit.algorithms._stacking import NONE, ascend

RELIABLE = 0.7  # k-hat, above which importance weights are not
ITERATIONS = 200


class PathWeights(NamedTuple):
    """Of the paths, with what they rest on."""

    log_weights: LogWeights  # (paths,), normalised
    khat: Scalar  # of the log weights log p~ - log q against the mixture of equal weights
    elbo: Scalar  # of the mixture with these weights


def path_weights(log_p: Array, log_q: Array, usable: Array) -> PathWeights:
    """Weights by importance where they can be trusted, else those of the highest ELBO.

    Against the mixture q of all paths alike, Pareto-smoothed weights W_n of its draws give path k the weight
    sum_n W_n q_k(z_n) / sum_j q_j(z_n), its share of the posterior mass. A path counts once, however many others
    ended in the same place.

    Args:
        log_p: log p~(z_kn) at the draws of path k, (paths, draws).
        log_q: log q_j(z_kn), (paths j, paths k, draws).
        usable: which paths have a normal at all, (paths,).
    """
    log_p = jnp.where(jnp.isnan(log_p), -jnp.inf, log_p)
    log_q = jnp.where(usable[:, None, None] & ~jnp.isnan(log_q), log_q, -jnp.inf)
    log_mixture = jax.nn.logsumexp(log_q, axis=0) - jnp.log(jnp.maximum(usable.sum(), 1))
    ratios = jnp.where(usable[:, None] & jnp.isfinite(log_p), log_p - log_mixture, -jnp.inf)
    smoothed, khat = _smooth(ratios.ravel(), log_p, usable)
    mine = log_q - jax.nn.logsumexp(log_q, axis=0)
    by_importance = jax.nn.logsumexp(smoothed.reshape(ratios.shape) + mine, axis=(1, 2))
    by_elbo = _highest_elbo(log_p, log_q, usable)
    chosen = jnp.where(khat < RELIABLE, by_importance, by_elbo)
    return PathWeights(chosen, khat, _elbo(chosen, log_p, log_q))


def _smooth(ratios: LogWeights, log_p: Array, usable: Array) -> tuple[LogWeights, Scalar]:
    """Smoothed log weights and k-hat: -inf where the largest are alike up to rounding, inf where there is no tail."""
    from blackjax.diagnostics import psis_weights  # it computes when it is imported

    finite = jnp.isfinite(ratios)
    top = jnp.where(finite.any(), jnp.max(ratios, where=finite, initial=-jnp.inf), 0.0)
    tail = jax.lax.top_k(ratios, max(1, min(len(ratios) // 5, int(3 * len(ratios) ** 0.5))))[0]
    smoothed, khat = psis_weights(jnp.where(finite, ratios - top, -jnp.inf))
    plain = jax.nn.log_softmax(jnp.where(finite, ratios - top, -jnp.inf))
    size = jnp.max(jnp.abs(log_p), where=jnp.isfinite(log_p) & usable[:, None], initial=1.0)
    alike = tail[0] - tail[-1] < 100 * np.finfo(ratios.dtype).eps * size
    good = jnp.isfinite(khat) & jnp.all(~jnp.isnan(smoothed))
    return jnp.where(alike | ~good, plain, smoothed), jnp.where(alike, -jnp.inf, jnp.where(good, khat, jnp.inf))


def _elbo(log_weights: LogWeights, log_p: Array, log_q: Array) -> Scalar:
    return jnp.sum(_share(log_weights) * _slopes(log_weights, log_p, log_q))


def _highest_elbo(log_p: Array, log_q: Array, usable: Array) -> LogWeights:
    """The weights of the highest ELBO; none for a path whose density is not finite at all of its draws."""
    own = jnp.where(usable[:, None], jnp.diagonal(log_q).T, 0.0)
    ratios = log_p - own
    sound = usable & jnp.all(jnp.isfinite(ratios), axis=1)
    sound = jnp.where(sound.any(), sound, usable)
    begin = jnp.where(sound, -jnp.log(jnp.maximum(sound.sum(), 1)), NONE).astype(log_p.dtype)
    lifts = jnp.moveaxis(log_q - own, 0, 1)
    return jax.nn.log_softmax(ascend(begin, ratios[None], lifts[None], 1, ITERATIONS))


def _slopes(log_weights: LogWeights, log_p: Array, log_q: Array) -> LogWeights:
    """E_k[log p~ - log q_w] for every path k; very low where it is not finite."""
    slopes = jnp.mean(log_p - jax.nn.logsumexp(log_weights[:, None, None] + log_q, axis=0), axis=-1)
    return jnp.where(jnp.isfinite(slopes), slopes, -1e30)


def _share(log_weights: LogWeights) -> Array:
    return jax.nn.softmax(log_weights)
