"""What a guide is: a family of distributions on R^dim, with its parameters kept outside it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array
from numpyro.distributions import Distribution

from vi_toolkit._start import Start
from vi_toolkit._types import Draws, Key, LogWeights, Params
from vi_toolkit.guides.noise import Noise, antithetic, independent


class GuideDraws(NamedTuple):
    """Draws of a guide that carry gradients: an expectation of f is sum_i weights_i f(points_i)."""

    points: Draws
    weights: LogWeights  # non-negative, summing to one
    log_prob: LogWeights | None = None  # log q at the points, differentiable in full, where drawing gives it


class Guide(ABC):
    """A family q of distributions on R^dim: settings in the object, parameters outside it.

    Every guide is a frozen dataclass, so that equal guides share one compiled program. A guide of one's own gives
    `init` and `distribution`; `draw` and `move` are there to be improved on.

    Example:
        >>> from dataclasses import dataclass
        >>> import jax, jax.numpy as jnp, numpyro.distributions as dist, vi_toolkit as vi
        >>> @dataclass(frozen=True)
        ... class Logistic(vi.Guide):
        ...     def init(self, key, start):
        ...         return {"location": start.location, "log_scale": jnp.log(start.scale)}
        ...     def distribution(self, params):
        ...         return dist.Logistic(params["location"], jnp.exp(params["log_scale"])).to_event(1)
        >>> target = vi.from_log_density(lambda z: jnp.sum(-z - 2 * jnp.log1p(jnp.exp(-z))), dim=1)
        >>> fit = vi.fit(jax.random.key(0), target, vi.gradient(Logistic(), vi.ReverseKL()))
        >>> abs(float(fit.params["log_scale"][0])) < 0.02  # the target is the standard logistic distribution
        True
    """

    reparameterised: ClassVar[bool] = True  # whether draws carry gradients; discrete ones do not
    stratified: ClassVar[bool] = False  # whether draws come with unequal weights that depend on the parameters
    scores_cheaply: ClassVar[bool] = True  # whether log q at a given point costs as little as a draw
    needs_start: ClassVar[bool] = True  # whether `init` looks at a point of high density, found by climbing
    factorises: ClassVar[bool] = False  # whether the coordinates of a discrete guide are independent

    def learning_rate(self, dim: int) -> float:
        """The size of the first steps in the guide's own coordinates."""
        return 0.01

    def check(self, dim: int) -> None:
        """Raises ValueError where the guide does not go with a target of ``dim`` coordinates."""
        return None

    def states(self) -> tuple[int, ...] | None:
        """How many values 0, 1, ... each coordinate of a discrete guide takes; None for a guide on R^dim."""
        return None

    @abstractmethod
    def init(self, key: Key, start: Start) -> Params:
        """Parameters to begin with: an unconstrained pytree, centred at the start and on its scale."""

    @abstractmethod
    def distribution(self, params: Params) -> Distribution:
        """q as a NumPyro distribution with event_shape (dim,)."""

    def draw(self, key: Key, params: Params, num_draws: int, noise: Noise | None = None) -> GuideDraws:
        """About ``num_draws`` draws of q that carry gradients with respect to the parameters, unless they are discrete.

        ``noise`` is where a guide that transforms normal noise takes it from; None leaves the choice to the guide.
        """
        if noise not in (None, independent):
            raise ValueError(
                f"noise: {noise} does not go with {self}, which is not made of normal noise. Leave it out, or use "
                "vi.estimators.independent."
            )
        q = self.distribution(params)
        return equally_weighted((q.rsample if self.reparameterised else q.sample)(key, (num_draws,)))

    def move(self, params: Params, step: Params) -> Params:
        """The parameters after a small step in the guide's own coordinates; a zero step changes nothing.

        Here the step is added. A location-scale family measures it in units of its present scale instead,
        so that a fit does not depend on the units of the model.
        """
        return jax.tree.map(jnp.add, params, step)


def rate_in_own_scale(dim: int) -> float:
    """The first learning rate of a location-scale family, whose steps are counted in its present scale.

    A step of one sign in every entry of a (dim, dim) matrix has norm sqrt(dim) times its size, hence the bound.
    """
    return 0.1 * min(1.0, 3.0 / dim**0.5)


def equally_weighted(points: Array) -> GuideDraws:
    """Draws that all count the same."""
    return GuideDraws(points, jnp.full(len(points), 1.0 / len(points), points.dtype))


def normal_noise(key: Key, num_draws: int, like: Array, noise: Noise | None) -> Array:
    """Standard normal noise for ``num_draws`` draws on the space and in the precision of ``like`` (..., dim).

    In mirrored pairs unless told otherwise. Where ``like`` has leading axes (components), each has noise of its own.
    """
    source = antithetic if noise is None else noise
    return source(key, num_draws, like.size, like.dtype).reshape(num_draws, *like.shape)
