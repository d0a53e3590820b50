"""What an estimator is: draws of q, and how the gradient of a function of their log weights is taken."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields, replace
from typing import Any, ClassVar, NamedTuple, Protocol, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vi_toolkit._types import Density, Key, LogWeights, Params, Scalar
from vi_toolkit.guides import Guide
from vi_toolkit.guides.guide import GuideDraws
from vi_toolkit.guides.noise import Noise

Groups = Float[Array, "groups draws"]


class LogWeightLoss(Protocol):
    """What is minimised, as a function of the log weights log p~(z_i) - log q(z_i) of one group of draws.

    ``log_shares`` says how much each draw counts: the mean of h over q is sum_i exp(log_shares_i) h(log_weights_i). In
    logs, since a draw that hardly counts may have a huge weight.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> float(vi.ReverseKL().of(jnp.array([-1.0, -3.0]), jnp.log(jnp.array([0.75, 0.25]))))
        1.5
    """

    def __call__(self, log_weights: LogWeights, log_shares: LogWeights) -> Scalar: ...


class Shape(NamedTuple):
    """What an estimator has to know of a loss.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.IWAE(5).shape
        Shape(linear=False, smooth=True, group=5)
    """

    linear: bool  # in the log weights: minus their mean
    smooth: bool  # twice differentiable in each log weight
    group: int | None  # how many independent draws the loss is a function of; None: as many as there are


class Estimate(NamedTuple):
    """A loss whose gradient is the estimator's, and the log weights that it was made of.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> log_weights, weights = jnp.array([[-1.0, -3.0]]), jnp.array([[0.75, 0.25]])
        >>> float(vi.estimators.Estimate(jnp.array(1.5), log_weights, weights, log_weights).elbo)
        -1.5
    """

    loss: Scalar
    log_weights: Groups  # log p~(z) - log q(z)
    weights: Groups  # how much each draw counts within its group: non-negative, summing to one
    log_density: Groups  # log p~(z)

    @property
    def elbo(self) -> Scalar:
        """The mean log weight, in nats."""
        return _mean(self.log_weights, self.weights)

    def ess(self, power: float = 1.0) -> Scalar:
        """The effective number of draws by (p~/q)^power, as a share of all draws: between 0 and 1."""
        log_w = (power * self.log_weights + jnp.log(self.weights)).reshape(-1)
        return 1 / (jax.nn.softmax(log_w) ** 2).sum() / log_w.size


class Estimator(ABC):
    """Where draws of q come from, and how gradients flow through them.

    Every estimator is a frozen dataclass; the ready ones are lower-case names of `vi.estimators`.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.estimators.reparameterised.drawing(vi.estimators.quasi_random).noise is vi.estimators.quasi_random
        True
    """

    name: ClassVar[str]  # under which it stands in vi.estimators
    rests_on_weights: ClassVar[bool] = False  # whether its draws count by weights that can collapse onto a few of them

    def drawing(self, noise: Noise) -> Estimator:
        """The same with another source of noise; TypeError where it takes none."""
        if "noise" not in {field.name for field in fields(cast(Any, self))}:
            raise TypeError(f"estimator: {self.name} has no source of noise to be chosen. Use it as it is.")
        return cast(Estimator, replace(cast(Any, self), noise=noise))

    @abstractmethod
    def estimate(
        self, of: LogWeightLoss, shape: Shape, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> Estimate:
        """The loss from about ``num_draws`` draws; its gradient in ``params`` is the estimate of the gradient."""

    @abstractmethod
    def refuses(self, shape: Shape, guide: Guide) -> str | None:
        """Why it is not valid for a loss of this shape over this guide, in words; None where it is."""

    def gradients(self, num_draws: int) -> float:
        """Log-density gradients spent: a gradient at one draw is one, a bare density a third."""
        return float(num_draws)

    def gradients_over(self, guide: Guide, num_draws: int) -> float:
        """The same over a guide: what is summed over the states of a guide costs by their number."""
        return self.gradients(num_draws)


def needs_gradients_through_draws(guide: Guide) -> str | None:
    """Why an estimator that differentiates through the draws does not go with a guide."""
    return None if guide.reparameterised else "its draws carry no gradients"


def draw_groups(
    guide: Guide, key: Key, params: Params, num_draws: int, group: int | None, noise: Noise | None
) -> GuideDraws:
    """Draws of q in groups: points (groups, draws, dim) and weights (groups, draws), summing to one in each.

    Within a group the draws are independent unless the group is all there is, or the guide is stratified. Across
    groups the noise may be antithetic or quasi-random.
    """
    if group is None:
        return jax.tree.map(lambda leaf: leaf[None], guide.draw(key, params, num_draws, noise))
    groups = max(1, num_draws // group)
    if guide.stratified:
        return jax.vmap(lambda key: guide.draw(key, params, group, noise))(jax.random.split(key, groups))
    lanes = jax.vmap(lambda key: guide.draw(key, params, groups, noise))(jax.random.split(key, group))
    drawn = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), lanes)
    return drawn._replace(weights=jnp.full_like(drawn.weights, 1.0 / group))


class PathDraws(NamedTuple):
    """Log weights whose gradients flow through the draws alone, the parameters of log q held fixed."""

    log_weights: Groups
    weights: Groups
    log_density: Groups


def path_draws(
    guide: Guide, key: Key, params: Params, target: Density, num_draws: int, group: int | None, noise: Noise | None
) -> PathDraws:
    """Draws of q in groups, as `draw_groups` makes them, scored with q's parameters fixed."""
    points, weights, _ = draw_groups(guide, key, params, num_draws, group, noise)
    log_p = log_densities(target, points)
    return PathDraws(log_p - guide.distribution(jax.lax.stop_gradient(params)).log_prob(points), weights, log_p)


def over_groups(of: LogWeightLoss, log_weights: Groups, weights: Groups) -> Scalar:
    """The mean over groups of the loss of each."""
    return jax.vmap(of)(log_weights, jnp.log(weights)).mean()


def log_densities(target: Density, points: Float[Array, "groups draws dim"]) -> Groups:
    """log p~ at every point."""
    return jax.vmap(jax.vmap(target.log_density))(points)


def _mean(values: Groups, weights: Groups) -> Scalar:
    # a draw that does not count may have an infinite log weight
    return jnp.where(weights > 0, weights * values, 0.0).sum(-1).mean()
