"""Flows of autoregressive layers: each coordinate is bent by those before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import equinox as eqx
import jax
from flowjax.bijections import AbstractBijection
from flowjax.flows import masked_autoregressive_flow

from vi_toolkit._types import Key
from vi_toolkit.guides.flows._networks import begin_at_identity
from vi_toolkit.guides.flows._skeleton import standard_normal
from vi_toolkit.guides.flows.flow import Flow, check_cheap, needs_two
from vi_toolkit.guides.full_rank_normal import FullRankNormal
from vi_toolkit.guides.guide import Guide


@dataclass(frozen=True)
class AutoregressiveFlow(Flow):
    """A flow of affine autoregressive layers: y_i = a_i(x_<i) + s_i(x_<i) x_i.

    a and s come from one masked network with one hidden layer; s is above 0.01. Coordinates are permuted between
    layers. One direction takes one pass through the layers, the other dim passes, one coordinate after another.
    With ``cheap="sample"`` x is the noise: an inverse autoregressive flow (IAF), for reverse KL and all objectives
    that look at draws of q. With ``cheap="score"`` x is the point: a masked autoregressive flow (MAF), for forward
    KL and all that look at given points. Both carry gradients through draws.

    Args:
        num_layers: how many layers.
        width: units in the hidden layer of each network.
        cheap: which direction takes one pass, "sample" or "score".
        base: the normal under the flow: ``FullRankNormal()``, or ``MeanFieldNormal()`` in hundreds of dimensions.

    Raises:
        TypeError, ValueError: if a setting is not a whole number of at least 1, ``cheap`` is another word, or ``base``
            is no normal guide.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.AutoregressiveFlow(cheap="score").scores_cheaply, vi.AutoregressiveFlow(cheap="sample").scores_cheaply
        (True, False)

    Source: Kingma et al. (2016), Improved variational inference with inverse autoregressive flow, arXiv:1606.04934;
    Papamakarios, Pavlakou & Murray (2017), Masked autoregressive flow for density estimation, arXiv:1705.07057.
    """

    num_layers: int = 4
    width: int = 32
    cheap: Literal["sample", "score"] = "sample"
    base: Guide = field(default_factory=FullRankNormal)

    def __post_init__(self) -> None:
        self._check_settings(num_layers=self.num_layers, width=self.width)
        check_cheap(self.cheap)

    @property
    def samples_cheaply(self) -> bool:
        return self.cheap == "sample"

    @property
    def scores_cheaply(self) -> bool:  # type: ignore[override]
        return self.cheap == "score"

    def check(self, dim: int) -> None:
        """At least two coordinates."""
        needs_two(self, dim)

    def build(self, key: Key, dim: int) -> AbstractBijection:
        """flowjax's masked autoregressive flow with its affine transformer."""
        return masked_autoregressive_flow(
            key,
            base_dist=standard_normal(dim),
            flow_layers=self.num_layers,
            nn_width=self.width,
            nn_activation=jax.nn.silu,
            invert=False,
        ).bijection

    def begin(self, key: Key, bijection: AbstractBijection) -> AbstractBijection:
        """Networks that put out zero."""
        return eqx.tree_at(_network, bijection, begin_at_identity(key, _network(bijection)))


def _network(scan: Any) -> Any:
    """The networks of all layers, stacked: a layer is an autoregressive map and a permutation."""
    return scan.bijection.bijections[0].masked_autoregressive_mlp
