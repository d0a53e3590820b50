"""Where a mixture lacks mass: candidates for one more component, and the best of them."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vi_toolkit import _start
from vi_toolkit._types import Draws, Key, LogWeights, Params
from vi_toolkit.guides import Mixture, NormalMixture
from vi_toolkit.guides.noise import independent
from vi_toolkit.programs import QUICK_TO_COMPILE
from vi_toolkit.targets import Target

NUM_CLIMBS = 64  # points from which modes are sought
NUM_CELLS = 8  # regions that weighted draws are shared out to
CANDIDATE_DRAWS = 64  # from each candidate component
REACHES = np.array([2.0, 4.0, 8.0, 16.0])  # how far the climbs begin, in standard deviations
STRETCHES = np.array([1.0, 1.5, 3.0])  # of q about its mean, for the weighted draws
LOGITS = np.linspace(-8.0, 8.0, 65)  # of the weights that are tried for a candidate


def search_gradients(num_draws: int) -> float:
    """Log-density gradients spent by one search, a bare density as a third."""
    densities = num_draws * (1 + len(STRETCHES)) + CANDIDATE_DRAWS * (NUM_CLIMBS + NUM_CELLS)
    return NUM_CLIMBS * _start.NUM_STEPS + densities / 3


class _Places(NamedTuple):
    """Where a component may begin, and on what scale: (candidates, dim) each."""

    location: Draws
    scale: Draws


@partial(jax.jit, static_argnames=("guide", "num_draws"), compiler_options=QUICK_TO_COMPILE)
def with_component(key: Key, guide: Mixture | NormalMixture, params: Params, target: Target, num_draws: int) -> Params:
    """The parameters of the mixture with its best candidate."""
    key_draw, key_climb, key_cell, key_init, key_score = jax.random.split(key, 5)
    points, weights, _ = guide.draw(key_draw, params, num_draws, independent)
    centre = weights @ points
    spread = jnp.sqrt(weights @ (points - centre) ** 2)
    climbed = _climbed(key_climb, target, centre, spread)
    cells = _cells(key_cell, guide, params, target, points, weights)
    places = jax.tree.map(lambda *parts: jnp.concatenate(parts), climbed, cells)
    candidates = jax.vmap(partial(_begin_at, guide, key_init, points[: _start.NUM_STARTS]))(places)
    log_p = _log_density(target, points)
    elbos = jax.vmap(partial(_elbos, key_score, guide, params, target, points, weights, log_p))(candidates)
    best, tried = jnp.unravel_index(jnp.argmax(jnp.where(jnp.isfinite(elbos), elbos, -jnp.inf)), elbos.shape)
    new = jax.tree.map(lambda leaf: leaf[best][None], candidates)
    log_share = jnp.asarray(LOGITS, points.dtype)[tried]  # log of w / (1 - w)
    return {
        "log_weights": jnp.append(jax.nn.log_softmax(params["log_weights"]), log_share),
        "components": jax.tree.map(lambda *parts: jnp.concatenate(parts), params["components"], new),
    }


def _begin_at(guide: Mixture | NormalMixture, key: Key, others: Draws, place: _Places) -> Params:
    return guide.family.init(key, _start.Start(place.location, place.scale, others, jnp.asarray(True)))


def _climbed(key: Key, target: Any, centre: Any, spread: Any) -> _Places:
    """The ends of climbs on log p~, with the curvature there."""
    half, dim = NUM_CLIMBS // 2, centre.shape[0]
    key_near, key_far = jax.random.split(key)
    reach = jnp.asarray(np.resize(REACHES, half), centre.dtype)[:, None]
    near = centre + reach * spread * jax.random.normal(key_near, (half, dim), centre.dtype)
    keys = jax.random.split(key_far, half)
    if target.prior_draw(keys[0]) is None:
        far = reach * jax.random.normal(key_far, (half, dim), centre.dtype)
    else:
        far = jax.vmap(target.prior_draw)(keys)
    ends = jax.vmap(lambda point: _start.find_start(target, point[None]))(jnp.concatenate([near, far]))
    usable = ends.finite[:, None] & jnp.isfinite(ends.scale)
    return _Places(jnp.where(usable, ends.location, centre), jnp.where(usable, ends.scale, spread))


def _cells(key: Key, guide: Any, params: Params, target: Target, points: Draws, weights: LogWeights) -> _Places:
    """Weighted means and standard deviations of the missing mass, around draws picked by it."""
    q, centre, dim = guide.distribution(params), weights @ points, points.shape[1]
    spread = jnp.sqrt(weights @ (points - centre) ** 2)
    key_resample, key_pick = jax.random.split(key)
    scales = jnp.repeat(jnp.asarray(STRETCHES, points.dtype), len(points))[:, None]
    chosen = jax.random.choice(key_resample, len(points), (len(scales),), p=weights)
    z = centre + scales * (points[chosen] - centre)
    unstretched = centre + (z - centre) / jnp.asarray(STRETCHES, points.dtype)[:, None, None]
    log_stretched = q.log_prob(unstretched) - dim * np.log(STRETCHES)[:, None]
    log_r = jax.nn.logsumexp(log_stretched, axis=0) - np.log(len(STRETCHES))
    log_p = _log_density(target, z)
    log_evidence = jax.nn.logsumexp(log_p - log_r) - jnp.log(len(z))
    missing = jnp.maximum(jnp.exp(log_p - log_evidence - log_r) - jnp.exp(q.log_prob(z) - log_r), 0.0)
    missing = jnp.where(jnp.isfinite(missing), missing, 0.0) + float(np.finfo(z.dtype).tiny)
    _, picked = jax.lax.top_k(jnp.log(missing) + jax.random.gumbel(key_pick, missing.shape, z.dtype), NUM_CELLS)
    nearest = jnp.argmin((((z[:, None] - z[picked]) / spread) ** 2).sum(-1), axis=1)
    share = missing[:, None] * jax.nn.one_hot(nearest, NUM_CELLS, dtype=z.dtype)
    share /= share.sum(0)
    mean = share.T @ z
    variance = jnp.einsum("ic,icd->cd", share, (z[:, None] - mean) ** 2)
    return _Places(mean, jnp.sqrt(variance + (0.1 * spread) ** 2))


def _elbos(
    key: Key, guide: Any, params: Params, target: Target, points: Draws, weights: LogWeights, log_p: Any, candidate: Any
) -> Array:
    """The ELBO of (1 - w) q + w c for every w tried, by draws of q and of c; in nats."""
    q, c = guide.distribution(params), guide.family.distribution(candidate)
    drawn = guide.family.draw(key, candidate, CANDIDATE_DRAWS).points
    log_share, log_rest = jax.nn.log_sigmoid(LOGITS)[:, None], jax.nn.log_sigmoid(-LOGITS)[:, None]

    def log_mixed(z: Draws) -> Any:
        return jnp.logaddexp(log_rest + q.log_prob(z), log_share + c.log_prob(z))

    # draws of q where p has no density say nothing about a candidate
    of_q = jnp.where(jnp.isfinite(log_p), log_p - log_mixed(points), 0.0) @ weights
    of_c = (_log_density(target, drawn) - log_mixed(drawn)).mean(1)
    return jnp.exp(log_rest[:, 0]) * of_q + jnp.exp(log_share[:, 0]) * of_c


def _log_density(target: Target, points: Draws) -> LogWeights:
    log_p = jax.vmap(target.log_density)(points)
    return jnp.where(jnp.isnan(log_p), -jnp.inf, log_p)
