"""Flows of coupling layers: half of the coordinates bends the other half."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
from flowjax.bijections import AbstractBijection, RationalQuadraticSpline
from flowjax.flows import coupling_flow

from vi_toolkit._checks import check_positive
from vi_toolkit._types import Key
from vi_toolkit.guides.flows._networks import begin_at_identity
from vi_toolkit.guides.flows._skeleton import standard_normal
from vi_toolkit.guides.flows.flow import Flow, needs_two
from vi_toolkit.guides.full_rank_normal import FullRankNormal
from vi_toolkit.guides.guide import Guide


@dataclass(frozen=True)
class AffineCouplingFlow(Flow):
    """A flow of affine coupling layers: x_b -> a(x_a) + s(x_a) x_b, with x_a left as it is.

    Coordinates are permuted between layers. a and s come from a network with one hidden layer; s is above 0.01.
    Cheap to sample and cheap to score.

    Args:
        num_layers: how many layers.
        width: units in the hidden layer of each network.
        base: the normal under the flow: ``FullRankNormal()``, or ``MeanFieldNormal()`` in hundreds of dimensions.

    Raises:
        TypeError, ValueError: if a setting is not a whole number of at least 1, or ``base`` is no normal guide.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.AffineCouplingFlow(num_layers=4, base=vi.MeanFieldNormal())
        AffineCouplingFlow(num_layers=4, width=32, base=MeanFieldNormal())

    Source: Dinh, Sohl-Dickstein & Bengio (2017), Density estimation using Real NVP, arXiv:1605.08803.
    """

    num_layers: int = 8
    width: int = 32
    base: Guide = field(default_factory=FullRankNormal)

    def __post_init__(self) -> None:
        self._check_settings(num_layers=self.num_layers, width=self.width)

    def check(self, dim: int) -> None:
        """At least two coordinates."""
        needs_two(self, dim)

    def build(self, key: Key, dim: int) -> AbstractBijection:
        """flowjax's coupling flow with its affine transformer."""
        return _couplings(key, dim, self.num_layers, self.width, None)

    def begin(self, key: Key, bijection: AbstractBijection) -> AbstractBijection:
        """Networks that put out zero."""
        return eqx.tree_at(_conditioner, bijection, begin_at_identity(key, _conditioner(bijection)))


@dataclass(frozen=True)
class SplineCouplingFlow(Flow):
    """A flow of rational-quadratic spline coupling layers: x_b -> spline(x_b; x_a), with x_a left as it is.

    Each spline is a monotone, piecewise rational map of [-bound, bound] onto itself, and the identity outside; its
    knots come from a network of x_a with one hidden layer. Coordinates are permuted between layers.
    Cheap to sample and cheap to score. Beyond the bound, counted in standard deviations of the base, tails are the
    base's.

    Args:
        num_layers: how many layers.
        width: units in the hidden layer of each network.
        num_knots: inner knots of each spline.
        bound: the half width of the square where splines bend.
        base: the normal under the flow: ``FullRankNormal()``, or ``MeanFieldNormal()`` in hundreds of dimensions.

    Raises:
        TypeError, ValueError: if a setting is not a whole number of at least 1, ``bound`` is not above 0, or ``base``
            is no normal guide.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.SplineCouplingFlow(num_layers=2, num_knots=4)
        SplineCouplingFlow(num_layers=2, width=32, num_knots=4, bound=5.0, base=FullRankNormal())

    Source: Durkan et al. (2019), Neural spline flows, arXiv:1906.04032.
    """

    num_layers: int = 4
    width: int = 32
    num_knots: int = 8
    bound: float = 5.0
    base: Guide = field(default_factory=FullRankNormal)

    def __post_init__(self) -> None:
        self._check_settings(num_layers=self.num_layers, width=self.width, num_knots=self.num_knots)
        check_positive(self.bound, "bound")

    def check(self, dim: int) -> None:
        """At least two coordinates."""
        needs_two(self, dim)

    def build(self, key: Key, dim: int) -> AbstractBijection:
        """flowjax's coupling flow with its spline transformer."""
        spline = RationalQuadraticSpline(knots=self.num_knots, interval=self.bound)
        return _couplings(key, dim, self.num_layers, self.width, spline)

    def begin(self, key: Key, bijection: AbstractBijection) -> AbstractBijection:
        """Networks that put out zero."""
        return eqx.tree_at(_conditioner, bijection, begin_at_identity(key, _conditioner(bijection)))


def _couplings(
    key: Key, dim: int, num_layers: int, width: int, transformer: AbstractBijection | None
) -> AbstractBijection:
    return coupling_flow(
        key,
        base_dist=standard_normal(dim),
        transformer=transformer,
        flow_layers=num_layers,
        nn_width=width,
        nn_activation=jax.nn.silu,
        invert=False,
    ).bijection


def _conditioner(scan: Any) -> Any:
    """The networks of all layers, stacked: a layer is a coupling and a permutation."""
    return scan.bijection.bijections[0].conditioner
