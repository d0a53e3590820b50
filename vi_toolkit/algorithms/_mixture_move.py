"""Where all known points say that the components of a mixture, and their weights, should go."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vi_toolkit._types import LogWeights, Scalar, Vector
from vi_toolkit.algorithms._each import where_each
from vi_toolkit.algorithms._known_points import Normal, Points, View
from vi_toolkit.algorithms._mixture_state import Mixture, divergence, seen_by
from vi_toolkit.algorithms._natural_trial import seen_back
from vi_toolkit.algorithms._score_regression import errors, regress
from vi_toolkit.algorithms._settle import LEAST_SHARE, REACH
from vi_toolkit.algorithms._trust_region import Step, step_within

LONGEST = 0.25  # nats, of one sweep once a component is near
WEIGHTS_LONGEST = 1.0  # nats, of one change of the weights
SHARES = (1.0, 0.5, 0.25, 0.1, 0.03)
MAX_SWEEPS = 64
LOSS = 30.0  # nats below the worst of the others, at which a component counts that is lost
BISECTIONS = 40


class Outlook(NamedTuple):
    """What the points say at a mixture, component by component."""

    slope: Array  # (components, dim): E[gradient of h_k], seen where q_k is standard normal
    curvature: Array  # (components, dim, dim): E[Hessian of h_k]
    objective: Vector  # E_qk[log p~ - log q], without the constant (dim / 2) log(2 pi)
    objective_error: Vector
    size: Vector  # how many points the importance weights rest on
    nats: Vector  # what the finite number of points leaves uncertain in each component
    mean_errors: Array  # (components, dim)


def look(points: Points, log_mixture: LogWeights, mixture: Mixture, diagonal: bool) -> Outlook:
    """Scores of h_k = log p~ - log q + log q_k regressed on the points under each q_k."""
    seen = seen_by(mixture, points.z)
    ratios = jnp.where(points.known, points.value - seen.log_density, 0.0)
    missing = points.score - seen.score

    def one(q: Normal, x: Array, log_density: LogWeights) -> Outlook:
        w, zero = jax.nn.softmax(log_density - log_mixture), jnp.zeros_like(q.location)
        view = View(x, missing @ q.factor - x, log_mixture)
        full = regress(view, w, zero, False)
        quadratic = regress(view, w, zero, True) if diagonal else full
        uncertain = errors(quadratic, w, diagonal)
        # log p~ - log q less its quadratic, whose expectation is known
        bent = full.curvature + jnp.eye(len(zero), dtype=zero.dtype)
        rest = ratios - x @ full.slope - 0.5 * jnp.sum((x @ bent) * x, axis=1)
        mean = w @ rest
        error = jnp.sqrt(jnp.sum((w * (rest - mean)) ** 2))
        return Outlook(
            slope=quadratic.slope,
            curvature=quadratic.curvature,
            objective=mean + 0.5 * jnp.trace(bent),
            objective_error=error,
            size=1 / jnp.sum(w**2),
            nats=uncertain.nats,
            mean_errors=uncertain.mean,
        )

    return jax.vmap(one)(mixture.normals, seen.x, seen.log_each)


class MixtureMove(NamedTuple):
    """From the anchors."""

    following: Mixture
    length: Array  # (components,): D(following || anchor), in nats
    gain: Array  # (components,): of each component's own objective, as the quadratics have it
    rests: Array  # whether the points agree on a mixture next to the anchors
    total_length: Scalar  # weighted, with that of the weights
    accuracy: Scalar  # nats that the finite number of points may cost
    mean_accuracy: Scalar  # standard deviations of q by which it may move the mean of q


class _Sweeps(NamedTuple):
    mixture: Mixture
    near: Array  # (components,): whether each still goes by all points
    rate: Array  # (components,): how much of a Newton step each takes
    before: Array  # (components, dim, dim + 1): the Newton steps before, of mean and precision
    looks: Array
    change: Scalar  # nats, of a whole Newton step of all components and weights
    change_before: Scalar


def move(points: Points, anchors: Mixture, radius: Array, lost: Array, batch: int, diagonal: bool) -> MixtureMove:
    """One step within each component's trust region, then sweeps over all components that stay near.

    A component whose step is undamped and within REACH takes part in the sweeps: further steps, and changes of the
    weights, each with responsibilities and importance weights of the present mixture, until they rest. A component
    that is lost, with the target not finite somewhere in its batch, gives up its weight.
    """
    log_mixture = jnp.where(points.known, jax.nn.logsumexp(points.log_proposals, axis=0), jnp.inf)
    first = look(points, log_mixture, anchors, diagonal)
    steps = jax.vmap(step_within)(first.slope, first.curvature, radius)
    near = (steps.damping == 0) & (steps.divergence < REACH) & ~lost
    precise = 1e-6 if radius.dtype == jnp.float64 else 1e-5

    def sweep(s: _Sweeps) -> _Sweeps:
        outlook = look(points, log_mixture, s.mixture, diagonal)
        known = outlook.size > LEAST_SHARE * batch
        near = s.near & known
        direction = _direction(s.mixture, anchors, outlook)
        turns = jnp.sum(direction * s.before, axis=(1, 2)) < 0
        rate = jnp.where(turns, 0.5 * s.rate, jnp.minimum(1.2 * s.rate, 1.0))
        steps = jax.vmap(_part_of_newton)(outlook.slope, outlook.curvature, rate)
        following = _stepped(s.mixture, steps, outlook.objective, known, near)
        change = jnp.sum(jnp.where(near, s.mixture.weights * steps.divergence / rate**2, 0.0))
        change += jnp.sum(following.weights * (following.log_weights - s.mixture.log_weights))
        far = jax.vmap(divergence)(anchors.normals, following.normals) > REACH
        return _Sweeps(following, near & ~far, rate, direction, s.looks + 1, change, s.change)

    def goes_on(s: _Sweeps) -> Array:
        return (s.looks < MAX_SWEEPS) & (s.change > precise) & jnp.any(s.near & s.mixture.counts)

    known = (first.size > LEAST_SHARE * batch) & ~lost
    worst = jnp.min(jnp.where(known, first.objective, jnp.inf)) - LOSS
    objective = jnp.where(lost & jnp.isfinite(worst), worst, first.objective)
    far_only = _stepped(anchors, steps, objective, known | lost, ~near)
    none = jnp.zeros((*first.slope.shape, first.slope.shape[1] + 1), radius.dtype)
    no_change = jnp.full_like(radius[0], jnp.inf)
    start = _Sweeps(far_only, near, jnp.ones_like(radius), none, jnp.asarray(0), no_change, no_change)
    done = jax.lax.while_loop(goes_on, sweep, start)
    return _summary(first, anchors, done, precise)


def _summary(first: Outlook, anchors: Mixture, done: _Sweeps, precise: float) -> MixtureMove:
    length = jax.vmap(divergence)(done.mixture.normals, anchors.normals)
    counts, w, location = anchors.counts, anchors.weights, anchors.normals.location
    of_weights = jnp.sum(done.mixture.weights * (done.mixture.log_weights - anchors.log_weights))
    open_nats = first.nats + 0.5 * first.objective_error**2
    mean = w @ location
    variance = w @ (jnp.sum(anchors.normals.factor**2, axis=2) + (location - mean) ** 2)
    of_means = jnp.sum((anchors.normals.factor * first.mean_errors[:, None, :]) ** 2, axis=2)
    of_mean = jnp.sum(jnp.where(counts[:, None], w[:, None] ** 2 * of_means, 0.0), axis=0)
    flatness = _flatness(done)
    return MixtureMove(
        following=done.mixture,
        length=length,
        gain=jax.vmap(_gain)(first, anchors.normals, done.mixture.normals),
        rests=(done.change <= precise) & jnp.all(done.near | ~counts),
        total_length=jnp.sum(jnp.where(counts, w * length, 0.0)) + of_weights,
        accuracy=flatness * jnp.sum(jnp.where(counts, w * open_nats, 0.0)),
        mean_accuracy=jnp.sqrt(flatness * jnp.max(of_mean / variance)),
    )


def _flatness(done: _Sweeps) -> Scalar:
    """By how much the ELBO is flatter than for components far from one another: 1 / A on average over directions.

    A sweep leaves 1 - A of an error, where A is the curvature of the ELBO in units of the components' own. The slowest
    direction shows in the last two sweeps, and directions are taken as even in log A from there to 1.
    """
    left = jnp.where(jnp.isfinite(done.change_before), done.change / done.change_before, 0.0)
    A = jnp.clip(1 - jnp.sqrt(left), 0.01, 0.99)
    return (1 / A - 1) / -jnp.log(A)


def _stepped(mixture: Mixture, steps: Step, objective: Vector, known: Array, moves: Array) -> Mixture:
    """The mixture with new weights, and with the components that move where their steps end."""
    new = jax.vmap(seen_back)(mixture.normals, steps.mean, steps.covariance)
    sound = jnp.all(jnp.isfinite(new.inverse), axis=(1, 2)) & jnp.all(jnp.isfinite(new.location), axis=1)
    normals = where_each(moves & sound, new, mixture.normals)
    return Mixture(reweighed(mixture.log_weights, objective, known), normals)


def reweighed(log_weights: Vector, objective: Vector, known: Array) -> Vector:
    """w_k exp(r E_qk[log p~ - log q]), normalised, for the largest r <= 1 with D(new || old) within its bound.

    r = 1 is the best where responsibilities are held fixed. Components whose objective is not known keep their share
    with respect to the others.

    Source: Arenz et al. (2022), A unified perspective on natural gradient variational inference with Gaussian mixture
    models, arXiv:2209.11533.
    """
    usable = known & jnp.isfinite(objective)
    w = jnp.where(usable, jnp.exp(log_weights), 0.0)
    typical = jnp.sum(w * jnp.where(usable, objective, 0.0)) / jnp.maximum(w.sum(), np.finfo(w.dtype).tiny)
    gain = jnp.where(usable, objective - typical, 0.0)

    def at(r: Scalar) -> Vector:
        return jax.nn.log_softmax(log_weights + r * gain)

    def halve(_: Array, bounds: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = bounds
        middle = 0.5 * (low + high)
        new = at(middle)
        fits = jnp.sum(jnp.exp(new) * (new - log_weights)) <= WEIGHTS_LONGEST
        return jnp.where(fits, middle, low), jnp.where(fits, high, middle)

    one = jnp.ones_like(typical)
    whole = at(one)
    fits = jnp.sum(jnp.exp(whole) * (whole - log_weights)) <= WEIGHTS_LONGEST
    partly = jax.lax.fori_loop(0, BISECTIONS, halve, (jnp.zeros_like(one), one))[0]
    return at(jnp.where(fits, one, partly))


def _direction(mixture: Mixture, anchors: Mixture, outlook: Outlook) -> Array:
    """The natural gradient of each component's mean and precision, in the coordinates of its anchor."""

    def one(q: Normal, anchor: Normal, slope: Vector, curvature: Array) -> Array:
        back = q.inverse @ anchor.factor
        excess = back.T @ (-curvature - jnp.eye(len(slope), dtype=slope.dtype)) @ back
        return jnp.concatenate([(back.T @ slope)[:, None], jnp.sqrt(0.5) * excess], axis=1)

    return jax.vmap(one)(mixture.normals, anchors.normals, outlook.slope, outlook.curvature)


def _part_of_newton(slope: Vector, curvature: Array, rate: Scalar) -> Step:
    """From N(0, I) to precision I + r (-curvature - I) and mean r precision^-1 slope, for the largest r that works."""
    bend, V = jnp.linalg.eigh(-curvature)
    a = V.T @ slope
    rates = rate * jnp.asarray(SHARES, rate.dtype)
    precisions = 1 + rates[:, None] * (bend - 1)
    means = rates[:, None] * a / precisions
    lengths = 0.5 * jnp.sum(1 / precisions - 1 + jnp.log(precisions) + means**2, axis=1)
    works = lengths <= LONGEST  # not where the precision is not positive, which leaves NaN
    chosen = jnp.argmax(works)
    precision, mean = precisions[chosen], jnp.where(works.any(), means[chosen], jnp.nan)
    return Step(V @ mean, (V / precision) @ V.T, jnp.where(works.any(), lengths[chosen], jnp.inf), rate, rates[chosen])


def _gain(outlook: Outlook, anchor: Normal, q: Normal) -> Scalar:
    """What the quadratic at the anchor says that q has over it."""
    root, shift = anchor.inverse @ q.factor, anchor.inverse @ (q.location - anchor.location)
    bent = jnp.sum((outlook.curvature @ root) * root) - jnp.trace(outlook.curvature)
    quadratic = outlook.slope @ shift + 0.5 * (shift @ outlook.curvature @ shift + bent)
    return quadratic + q.log_determinant - anchor.log_determinant
