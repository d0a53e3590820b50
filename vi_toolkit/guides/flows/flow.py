"""What every flow is: normal noise, bent by a flowjax bijection, on an affine map that starts at the normal fit."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from flowjax.bijections import AbstractBijection

from vi_toolkit._checks import check_instance, check_positive_int
from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params
from vi_toolkit.guides.flows._base import base_params, placing
from vi_toolkit.guides.flows._skeleton import join, skeleton, split
from vi_toolkit.guides.flows._transform import FlowDistribution, FlowTransform
from vi_toolkit.guides.full_rank_normal import FullRankNormal
from vi_toolkit.guides.guide import Guide, GuideDraws, equally_weighted, normal_noise, rate_in_own_scale
from vi_toolkit.guides.mean_field_normal import MeanFieldNormal
from vi_toolkit.guides.noise import Noise


class Flow(Guide):
    """q(z): z = m + L f(e) with standard normal noise e, f a bijection of R^dim made of layers with networks in them.

        log q(z) = log N(e; 0, I) - log |det f'(e)| - log |det L|

    Begun anew, f is the identity (or nearly, where the kind says so), so that q is the normal N(m, L L^T) that
    ``base`` begins with. Parameters are ``base``, those of the base guide, and ``flow``, a tuple of the arrays in f.

    Example:
        >>> import vi_toolkit as vi
        >>> isinstance(vi.AffineCouplingFlow(), vi.guides.flows.Flow)
        True

    Source: Rezende & Mohamed (2015), Variational inference with normalizing flows, arXiv:1505.05770; Papamakarios et
    al. (2021), Normalizing flows for probabilistic modeling and inference, arXiv:1912.02762.
    """

    base: Guide

    @property
    def samples_cheaply(self) -> bool:
        """Whether a draw costs one pass through the layers."""
        return True

    def learning_rate(self, dim: int) -> float:
        """Of the affine map in units of its present scale, and of the arrays in the layers as they are."""
        return min(0.02, rate_in_own_scale(dim))

    @abstractmethod
    def build(self, key: Key, dim: int) -> AbstractBijection:
        """The flowjax bijection, whose cheap way is `transform`; called outside of any JAX transformation."""

    def begin(self, key: Key, bijection: AbstractBijection) -> AbstractBijection:
        """The bijection as a fit begins with it: here as it was built."""
        return bijection

    def init(self, key: Key, start: Start) -> Params:
        """The base guide at the start, and the identity on it."""
        key_base, key_flow = jax.random.split(key)
        return {"base": self.base.init(key_base, start), "flow": self._identity(key_flow, start.location)}

    def start_at(self, key: Key, distribution: dist.Distribution) -> Params:
        """Parameters whose q is a given normal, to begin a fit at: ``vi.gradient(flow, objective, start=params)``.

        Args:
            key: a JAX random key, for the networks inside the layers.
            distribution: a NumPyro ``MultivariateNormal``, ``LowRankMultivariateNormal`` or ``Independent`` ``Normal``
                with event_shape (dim,), such as ``fit.posterior`` of a fit with ``vi.FullRankNormal()``.

        Raises:
            TypeError: if the distribution is none of these.
            ValueError: if it is a batch, if its dim is too small for the flow, or if it has correlations that the
                flow's base cannot hold.

        Example:
            >>> import jax, jax.numpy as jnp, numpyro.distributions as dist, vi_toolkit as vi
            >>> normal = dist.MultivariateNormal(jnp.ones(2), jnp.array([[2.0, 0.5], [0.5, 1.0]]))
            >>> flow = vi.AffineCouplingFlow()
            >>> params = flow.start_at(jax.random.key(0), normal)
            >>> (flow.distribution(params).log_prob(jnp.zeros(2)) - normal.log_prob(jnp.zeros(2))).round(6) == 0
            Array(True, dtype=bool)
        """
        params = base_params(self.base, distribution)
        self.check(len(params["location"]))
        return {"base": params, "flow": self._identity(key, params["location"])}

    def distribution(self, params: Params) -> FlowDistribution:
        """Standard normal noise under f and the affine map, as one of NumPyro's transformed distributions."""
        location = params["base"]["location"]
        noise = dist.Normal(jnp.zeros_like(location), jnp.ones_like(location), validate_args=False).to_event(1)
        placed = placing(self.base, params["base"])
        return FlowDistribution(noise, [FlowTransform(self, params["flow"]), placed], validate_args=False)

    def draw(self, key: Key, params: Params, num_draws: int, noise: Noise | None = None) -> GuideDraws:
        """m + L f(e), the noise e in mirrored pairs unless told otherwise, with log q from the same pass."""
        e = normal_noise(key, num_draws, params["base"]["location"], noise)
        q = self.distribution(params)
        flow, placed = q.transforms
        bent, log_det = flow.call_with_intermediates(e)
        log_q = q.base_dist.log_prob(e) - log_det - placed.log_abs_det_jacobian(bent, bent)
        return equally_weighted(placed(bent))._replace(log_prob=log_q)

    def move(self, params: Params, step: Params) -> Params:
        """The affine map as the base guide moves it, in units of its scale; the layers by addition."""
        return {
            "base": self.base.move(params["base"], step["base"]),
            "flow": jax.tree.map(jnp.add, params["flow"], step["flow"]),
        }

    def bijection(self, arrays: Any, dim: int) -> AbstractBijection:
        """The flowjax bijection f (or its inverse, where it is scoring that is cheap) with the given arrays in it.

        Example:
            >>> import jax, jax.numpy as jnp, numpyro.distributions as dist, vi_toolkit as vi
            >>> flow = vi.SplineCouplingFlow(num_layers=2, width=4)
            >>> params = flow.start_at(jax.random.key(0), dist.Normal(jnp.zeros(2), 1.0).to_event(1))
            >>> flow.bijection(params["flow"], dim=2).transform(jnp.array([0.5, -1.0])).round(6)
            Array([ 0.5, -1. ], dtype=float64)
        """
        return join(skeleton(self, dim), arrays)

    def _identity(self, key: Key, like: jax.Array) -> Any:
        arrays = split(self.begin(key, skeleton(self, len(like))))[0]
        return tuple(jnp.asarray(array, like.dtype) for array in arrays)

    def _check_settings(self, **whole_numbers: int) -> None:
        for name, value in whole_numbers.items():
            check_positive_int(value, name)
        hint = "Write for example base=vi.MeanFieldNormal()."
        check_instance(self.base, (FullRankNormal, MeanFieldNormal), "base", hint)


def needs_two(flow: Flow, dim: int) -> None:
    """Refuses one dimension, where a flow whose layers let one coordinate bend another has nothing to do."""
    if dim < 2:
        raise ValueError(
            f"guide: {type(flow).__name__} bends each coordinate by others and needs at least 2, got a target of "
            f"{dim}. Use vi.TriangularSplineFlow() or vi.BlockAutoregressiveFlow(), which bend a single one."
        )


def check_cheap(cheap: str) -> None:
    """Refuses a word that names no direction."""
    if cheap not in ("sample", "score"):
        raise ValueError(f'cheap: expected "sample" or "score", got {cheap!r}. Reverse KL samples, forward KL scores.')
