"""A mixture of normals, for several modes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from vi_toolkit._checks import check_instance, check_positive_int
from vi_toolkit._start import NUM_STARTS, Start
from vi_toolkit._types import Key, Params
from vi_toolkit.guides.full_rank_normal import FullRankNormal
from vi_toolkit.guides.guide import Guide, GuideDraws
from vi_toolkit.guides.low_rank_normal import LowRankNormal
from vi_toolkit.guides.mean_field_normal import MeanFieldNormal
from vi_toolkit.guides.noise import Noise


@dataclass(frozen=True)
class NormalMixture(Guide):
    """q(z) = sum_k w_k N(z; m_k, C_k): a mixture of normals.

    Draws are stratified: the same number from every component, weighted by w_k, so that gradients reach the
    weights without sampling noise from the choice of component. Parameters are ``log_weights`` (components,),
    up to a constant, and ``components``, those of the component family with a leading axis.

    Args:
        num_components: how many normals.
        covariance: the family of each component: ``FullRankNormal()``, ``MeanFieldNormal()`` or
            ``LowRankNormal(rank)``.

    Raises:
        TypeError, ValueError: if ``num_components`` is not a whole number of at least 1, or ``covariance`` is
            no normal guide.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.NormalMixture(2, covariance=vi.MeanFieldNormal())
        NormalMixture(num_components=2, covariance=MeanFieldNormal())

    Source: Morningstar et al. (2021), Automatic differentiation variational inference with mixtures,
    arXiv:2003.01687 (the stratified draws).
    """

    stratified: ClassVar[bool] = True

    num_components: int
    covariance: Guide = field(default_factory=FullRankNormal)

    def __post_init__(self) -> None:
        check_positive_int(self.num_components, "num_components")
        check_instance(
            self.covariance,
            (FullRankNormal, MeanFieldNormal, LowRankNormal),
            "covariance",
            "Write for example vi.NormalMixture(2, covariance=vi.MeanFieldNormal()).",
        )

    def learning_rate(self, dim: int) -> float:
        """That of the components."""
        return self.covariance.learning_rate(dim)

    def init(self, key: Key, start: Start) -> Params:
        """One component at each of the points that the start tried, the most distant first; equal weights."""
        keys = jax.random.split(key, self.num_components)

        def component(key: Key, index: jax.Array) -> Params:
            key_jitter, key_init = jax.random.split(key)
            jitter = 0.1 * start.scale * jax.random.normal(key_jitter, start.location.shape, start.location.dtype)
            return self.covariance.init(key_init, start._replace(location=start.others[index % NUM_STARTS] + jitter))

        components = jax.vmap(component)(keys, jnp.arange(self.num_components))
        return {"log_weights": jnp.zeros(self.num_components, start.location.dtype), "components": components}

    def distribution(self, params: Params) -> dist.Distribution:
        """NumPyro's mixture of a common family."""
        return dist.MixtureSameFamily(
            dist.Categorical(logits=params["log_weights"], validate_args=False),
            self.covariance.distribution(params["components"]),
            validate_args=False,
        )

    def draw(self, key: Key, params: Params, num_draws: int, noise: Noise | None = None) -> GuideDraws:
        """ceil(num_draws / components) draws of every component, weighted by w_k."""
        each = -(-num_draws // self.num_components)
        points = self.covariance.draw(key, params["components"], each, noise).points
        weights = jnp.tile(jax.nn.softmax(params["log_weights"]) / each, each)
        return GuideDraws(points.reshape(each * self.num_components, -1), weights)

    def move(self, params: Params, step: Params) -> Params:
        """Each component in units of its own scale, the log weights by addition."""
        return {
            "log_weights": params["log_weights"] + step["log_weights"],
            "components": jax.vmap(self.covariance.move)(params["components"], step["components"]),
        }
