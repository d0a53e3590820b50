"""Gradients by sums over the states of a discrete guide: over all of them, or over one coordinate at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vi_toolkit._types import Density, Draws, Key, Params, Vector
from vi_toolkit.estimators.estimator import Estimate, Estimator, LogWeightLoss, Shape, log_densities
from vi_toolkit.guides import Guide

MAX_STATES = 2**16


@dataclass(frozen=True)
class Enumerated(Estimator):
    """The loss as an exact sum over all states z of a discrete guide, differentiable in full: no draws, no noise.

        E_q[h(l)] = sum_z q(z) h(l(z)),    l(z) = log p~(z) - log q(z)

    Takes every loss of a mean over q, linear or not, but not of groups of draws, whose states are pairs, triples, ... .
    At most 65,536 states. The number of draws does not matter.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_mass(lambda x: 1.0 * x[0], (2,))
        >>> guide, params = vi.MeanFieldCategorical((2,)), {"logits": jnp.array([[0.0, 1.0]])}
        >>> objective = vi.ReverseKL(vi.estimators.enumerated)
        >>> float(objective.loss(jax.random.key(0), params, guide, target, 1)[0].round(4))  # q = p: -log(1 + e)
        -1.3133
    """

    name: ClassVar[str] = "enumerated"

    def refuses(self, shape: Shape, guide: Guide) -> str | None:
        """Guides on R^dim, too many states, and losses of groups of draws."""
        states = guide.states()
        if states is None:
            return "the guide is not discrete"
        if prod(states) > MAX_STATES:
            return f"the guide has {prod(states):,} states, and at most {MAX_STATES:,} are summed over"
        return (
            None if shape.group is None else "the loss is of groups of draws, and a group of states is not enumerated"
        )

    def estimate(
        self, of: LogWeightLoss, shape: Shape, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> Estimate:
        """The loss of all states, each counting q(z)."""
        points = all_states(guide, jnp.result_type(*jax.tree.leaves(params)))
        log_q = guide.distribution(params).log_prob(points)
        log_p = jax.vmap(target.log_density)(points)
        loss = of(log_p - log_q, log_q)
        return Estimate(loss, (log_p - log_q)[None], jnp.exp(log_q)[None], log_p[None])

    def gradients_over(self, guide: Guide, num_draws: int) -> float:
        """A bare density a state."""
        return prod(_states(guide)) / 3


@dataclass(frozen=True)
class RaoBlackwellised(Estimator):
    """Draws of q, and for each coordinate of each draw the exact sum over its values, given the other coordinates.

    For a loss E_q[h(l)] over q(z) = prod_i q_i(z_i), with z_(i,k) the draw z whose coordinate i is set to k,

        gradient = E_z sum_i sum_k (h(l) - h'(l)) at z_(i,k)  d q_i(k),    l(z) = log p~(z) - log q(z).

    Unbiased, and never noisier than the score of q: it is the expectation of that, coordinate by coordinate. Takes
    discrete guides of independent coordinates, and losses that are a mean over draws: reverse KL, and bounds of one
    draw. A draw costs a density for each value of each coordinate (as many for each as the most that one has).

    Source: Titsias & Lázaro-Gredilla (2015), Local expectation gradients for black box variational inference, Advances
    in Neural Information Processing Systems 28.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.estimators.valid(vi.ReverseKL().shape, vi.MeanFieldCategorical((2, 2)))
        ('enumerated', 'rao_blackwellised', 'score_function')
    """

    name: ClassVar[str] = "rao_blackwellised"

    def refuses(self, shape: Shape, guide: Guide) -> str | None:
        """Guides on R^dim or of dependent coordinates, and losses that are no mean over draws."""
        if guide.states() is None:
            return "the guide is not discrete"
        if not guide.factorises:
            return "the guide's coordinates depend on one another"
        return None if shape.linear or shape.group == 1 else "the loss is not a mean over draws"

    def estimate(
        self, of: LogWeightLoss, shape: Shape, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> Estimate:
        """The loss at the draws, with the gradient above."""
        q = guide.distribution(params)
        drawn = q.sample(key, (num_draws,))
        points, exists = jax.vmap(partial(_neighbours, _states(guide)))(drawn), _exists(guide)
        log_q = jnp.where(exists, q.log_prob(points), -jnp.inf)
        log_p = jax.vmap(partial(log_densities, target))(points)
        log_weights = log_p - jax.lax.stop_gradient(q.log_prob(points))
        # the others of z_(i, k) are those of z, so that given them its probabilities are q_i
        own = jax.nn.softmax(log_q, axis=-1)
        h, slope = _mean_over_draws(of, log_weights)
        surrogate = jnp.where(exists, own * jax.lax.stop_gradient(h - slope), 0.0).sum((-1, -2)).mean()
        at_draws = jax.vmap(_at_draw)(jnp.stack([log_weights, log_p, h], -1), drawn)
        shares = jnp.full((1, num_draws), 1.0 / num_draws, drawn.dtype)
        loss = at_draws[:, 2].mean() + surrogate - jax.lax.stop_gradient(surrogate)
        return Estimate(loss, at_draws[None, :, 0], shares, at_draws[None, :, 1])

    def gradients_over(self, guide: Guide, num_draws: int) -> float:
        """A bare density for each value of each coordinate of each draw."""
        return num_draws * _exists(guide).size / 3


def all_states(guide: Guide, dtype: Any) -> Draws:
    """Every state of a discrete guide, (states, dim), the last coordinate changing first.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> from vi_toolkit.estimators.enumerated import all_states
        >>> all_states(vi.MeanFieldCategorical((2, 2)), jnp.float64)
        Array([[0., 0.],
               [0., 1.],
               [1., 0.],
               [1., 1.]], dtype=float64)
    """
    states = _states(guide)
    return jnp.asarray(np.indices(states).reshape(len(states), -1).T, dtype)


def _states(guide: Guide) -> tuple[int, ...]:
    states = guide.states()
    if states is None:
        raise TypeError(
            f"guide: expected a discrete guide, got {guide}. Use for example vi.MeanFieldCategorical((2, 2))."
        )
    return states


def _exists(guide: Guide) -> np.ndarray:
    """Which value k coordinate i takes, (dim, the most values)."""
    states = _states(guide)
    return np.arange(max(states)) < np.array(states)[:, None]


def _neighbours(states: tuple[int, ...], z: Vector) -> Float[Array, "dim values dim"]:
    """z with coordinate i set to k, at [i, k]; values that i does not take are replaced by 0."""
    values = np.arange(max(states))
    values = np.where(values < np.array(states)[:, None], values, 0)
    changed = np.eye(len(states), dtype=bool)[:, None, :]
    return jnp.where(changed, values[:, :, None].astype(z.dtype), z)


def _mean_over_draws(of: LogWeightLoss, log_weights: Array) -> tuple[Array, Array]:
    """h(l) and h'(l) of a loss that is a mean of h over draws, for log weights of any shape."""

    def h(log_weight: Array) -> Array:
        return of(log_weight[None], jnp.zeros_like(log_weight[None]))

    values, slopes = jax.vmap(jax.value_and_grad(h))(log_weights.reshape(-1))
    return values.reshape(log_weights.shape), slopes.reshape(log_weights.shape)


def _at_draw(table: Float[Array, "dim values facts"], z: Vector) -> Vector:
    """What is known of the draw itself, which is among its neighbours."""
    return table[0, z[0].astype(int)]


enumerated, rao_blackwellised = Enumerated(), RaoBlackwellised()
