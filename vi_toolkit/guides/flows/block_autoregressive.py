"""A flow whose layers are networks that are monotone in each coordinate: block neural autoregressive."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from flowjax.bijections import AbstractBijection
from flowjax.flows import block_neural_autoregressive_flow
from flowjax.root_finding import bisect_check_expand_search
from jaxtyping import Array

from vi_toolkit._types import Key
from vi_toolkit.guides.flows._skeleton import standard_normal
from vi_toolkit.guides.flows.flow import Flow, check_cheap
from vi_toolkit.guides.full_rank_normal import FullRankNormal
from vi_toolkit.guides.guide import Guide, rate_in_own_scale

WIDEST = 4.0  # how far from zero the biases of a coordinate's units lie at the beginning, where there are many
LEAK = 0.01  # flowjax's activation is tanh(x) + 0.01 x
MAX_SEARCH = 1000  # steps of the root search


@dataclass(frozen=True)
class BlockAutoregressiveFlow(Flow):
    """A flow of networks y = W_2 h(W_1 x + b) + c that are monotone in x_i and bent by x_<i (BNAF).

    W_1 and W_2 are lower triangular in blocks of ``width`` units a coordinate, positive on the diagonal, and h is
    tanh with a leak. More flexible a layer than affine ones. There is no closed form for the inverse: it is found
    by bisection, tens of passes, with gradients by the implicit function theorem, and NaN where no root is found.
    With ``cheap="sample"`` x is the noise (for reverse KL), with ``cheap="score"`` the point (for forward KL); the
    other direction is for diagnostics rather than for fitting.

    A fit begins with a map that is nearly linear: q is within 0.0003 nats a coordinate of the base (with 2 or 3 units,
    0.003). Since tanh flattens, a q that was fitted by reverse KL may end more abruptly than p: look at its tails
    (`vi.diagnose`).

    Args:
        num_layers: how many such networks, with permutations between them.
        width: hidden units a coordinate.
        cheap: which direction takes one pass, "sample" or "score".
        base: the normal under the flow: ``FullRankNormal()``, or ``MeanFieldNormal()`` in hundreds of dimensions.

    Raises:
        TypeError, ValueError: if a setting is not a whole number of at least 1, ``cheap`` is another word, or ``base``
            is no normal guide.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.BlockAutoregressiveFlow(width=4).samples_cheaply
        True

    Source: De Cao, Titov & Aziz (2019), Block neural autoregressive flow, arXiv:1904.04676.
    """

    num_layers: int = 1
    width: int = 8
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

    def learning_rate(self, dim: int) -> float:
        """Larger than that of other flows, since what matters in the weights is on a logarithmic scale."""
        return min(0.05, rate_in_own_scale(dim))

    def build(self, key: Key, dim: int) -> AbstractBijection:
        """flowjax's block neural autoregressive flow, near the identity."""
        scan = block_neural_autoregressive_flow(
            key,
            base_dist=standard_normal(dim),
            nn_block_dim=self.width,
            flow_layers=self.num_layers,
            invert=False,
            inverter=_search,
        ).bijection
        return eqx.tree_at(_arrays, scan, _nearly_linear(self.num_layers, self.width, dim))


def _arrays(scan: Any) -> list[Any]:
    """Of each linear map in all layers, stacked: the raw weights, the raw norms of their rows, and the biases."""
    layer = getattr(scan.bijection, "bijections", (scan.bijection,))[0]  # without a permutation in one dimension
    linears = [linear for linear, _ in layer.bijection.layers]
    return [p for each in linears for p in (each.weight.weight.args[0], each.weight.scale.args[0], each.bias)]


def _nearly_linear(num_layers: int, width: int, dim: int) -> list[Array]:
    """Arrays at which y_i = sum_j w_2 h(w_1 x_i + b_j) is nearly x_i.

    The sum of many steps tanh(. + b_j), evenly spread from -widest to widest, is nearly linear between them.
    """
    one, units = _inverse_softplus(1.0), dim * width
    widest = min(WIDEST, width / 2) if width > 1 else 0.0
    biases, slope = np.linspace(-widest, widest, width), max(widest / 4, 0.1)
    slopes = 1.0 / np.cosh(biases) ** 2 + LEAK
    diagonal = np.kron(np.eye(dim), np.ones((width, 1))) * one
    first = [diagonal, np.full((units, 1), _inverse_softplus(slope)), np.tile(biases, dim)]
    norm = np.sqrt(width) / (slope * slopes.sum())  # of a row of W_2, all of whose entries are equal
    second = [diagonal.T, np.full((dim, 1), _inverse_softplus(norm)), np.zeros(dim)]
    return [jnp.asarray(np.tile(array, (num_layers, *[1] * array.ndim)), float) for array in first + second]


def _inverse_softplus(x: float) -> float:
    return float(np.log(np.expm1(x)))


def _search(bijection: AbstractBijection, y: Array, condition: Any = None) -> Array:
    """The x whose image is y, up to a small multiple of the precision; NaN where the search ran out of steps."""
    tolerance = 1e-5 if y.dtype == jnp.float32 else 1e-10
    size = 1.0 + jnp.max(jnp.abs(y))
    root, result = bisect_check_expand_search(
        lambda x: (bijection.transform(x) - y) / size,
        midpoint=jnp.zeros_like(y),
        width=5.0,
        atol=tolerance,
        max_steps=MAX_SEARCH,
        throw=False,
    )
    return jnp.where(result.reached_max_steps, jnp.nan, root)
