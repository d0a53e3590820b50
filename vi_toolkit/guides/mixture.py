"""Mixtures of any location-scale family, for several modes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from vi_toolkit._checks import check_instance, check_positive_int
from vi_toolkit._start import NUM_STARTS, Start
from vi_toolkit._types import Key, Params
from vi_toolkit.guides.block_normal import BlockNormal
from vi_toolkit.guides.full_rank_normal import FullRankNormal
from vi_toolkit.guides.guide import Guide, GuideDraws
from vi_toolkit.guides.low_rank_normal import LowRankNormal
from vi_toolkit.guides.mean_field_normal import MeanFieldNormal
from vi_toolkit.guides.mean_field_student_t import MeanFieldStudentT
from vi_toolkit.guides.noise import Noise
from vi_toolkit.guides.sinh_arcsinh_normal import SinhArcsinhNormal
from vi_toolkit.guides.sparse_precision_normal import SparsePrecisionNormal
from vi_toolkit.guides.student_t import StudentT

NORMALS = (FullRankNormal, MeanFieldNormal, LowRankNormal, BlockNormal, SparsePrecisionNormal)
COMPONENTS = (*NORMALS, StudentT, MeanFieldStudentT, SinhArcsinhNormal)  # families whose parameters may have an axis


class StratifiedMixture(Guide):
    """q(z) = sum_k w_k q_k(z), drawn in strata: the same number of draws from every component, weighted by w_k."""

    stratified: ClassVar[bool] = True

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of components."""

    @property
    @abstractmethod
    def family(self) -> Guide:
        """The family of each component."""

    def check(self, dim: int) -> None:
        """As the components do."""
        self.family.check(dim)

    def learning_rate(self, dim: int) -> float:
        """That of the components."""
        return self.family.learning_rate(dim)

    def init(self, key: Key, start: Start) -> Params:
        """One component at each of the points that the start tried, the most distant first; equal weights."""
        keys = jax.random.split(key, self.size)

        def component(key: Key, index: jax.Array) -> Params:
            key_jitter, key_init = jax.random.split(key)
            jitter = 0.1 * start.scale * jax.random.normal(key_jitter, start.location.shape, start.location.dtype)
            return self.family.init(key_init, start._replace(location=start.others[index % NUM_STARTS] + jitter))

        components = jax.vmap(component)(keys, jnp.arange(self.size))
        return {"log_weights": jnp.zeros(self.size, start.location.dtype), "components": components}

    def distribution(self, params: Params) -> dist.Distribution:
        """NumPyro's mixture of a common family."""
        return dist.MixtureSameFamily(
            dist.Categorical(logits=params["log_weights"], validate_args=False),
            self.family.distribution(params["components"]),
            validate_args=False,
        )

    def draw(self, key: Key, params: Params, num_draws: int, noise: Noise | None = None) -> GuideDraws:
        """ceil(num_draws / components) draws of every component, weighted by w_k."""
        each = -(-num_draws // self.size)
        points = self.family.draw(key, params["components"], each, noise).points
        weights = jnp.tile(jax.nn.softmax(params["log_weights"]) / each, each)
        return GuideDraws(points.reshape(each * self.size, -1), weights)

    def move(self, params: Params, step: Params) -> Params:
        """Each component in units of its own scale, the log weights by addition."""
        return {
            "log_weights": params["log_weights"] + step["log_weights"],
            "components": jax.vmap(self.family.move)(params["components"], step["components"]),
        }


@dataclass(frozen=True)
class Mixture(StratifiedMixture):
    """q(z) = sum_k w_k q_k(z): a mixture of any location-scale family, such as Student-t or skewed normals.

    Draws are stratified: the same number from every component, weighted by w_k, so that gradients reach the
    weights without sampling noise from the choice of component. Parameters are ``log_weights`` (components,),
    up to a constant, and ``components``, those of the component family with a leading axis.

    Args:
        num_components: how many.
        component: the family of each: a normal (`FullRankNormal`, `MeanFieldNormal`, `LowRankNormal`, `BlockNormal`,
            `SparsePrecisionNormal`), a Student-t (`StudentT`, `MeanFieldStudentT`) or `SinhArcsinhNormal`.

    Raises:
        TypeError, ValueError: if ``num_components`` is not a whole number of at least 1, or ``component`` is none of
            these families.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.Mixture(2, component=vi.MeanFieldStudentT(4.0))
        Mixture(num_components=2, component=MeanFieldStudentT(degrees_of_freedom=4.0))

    Source: Morningstar et al. (2021), Automatic differentiation variational inference with mixtures,
    arXiv:2003.01687 (the stratified draws).
    """

    num_components: int
    component: Guide = field(default_factory=FullRankNormal)

    def __post_init__(self) -> None:
        check_positive_int(self.num_components, "num_components")
        hint = "Write for example vi.Mixture(2, component=vi.StudentT())."
        check_instance(self.component, COMPONENTS, "component", hint)

    @property
    def size(self) -> int:
        """The number of components."""
        return self.num_components

    @property
    def family(self) -> Guide:
        """The family of each component."""
        return self.component
