"""The kernelised Stein discrepancy as an objective: how far q is from making Stein's identity true."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import register_dataclass
from jaxtyping import Array, Float

from vi_toolkit._checks import check_instance
from vi_toolkit._types import Density, Draws, Key, LogWeights, Params, Scalar, Vector
from vi_toolkit.guides import Guide
from vi_toolkit.guides.guide import equally_weighted
from vi_toolkit.guides.noise import independent
from vi_toolkit.kernels import IMQ, Kernel, PairKernel
from vi_toolkit.objectives._spread import covariance_root, standard_deviations
from vi_toolkit.objectives.objective import Objective

Pairs = Float[Array, "draws draws"]


@partial(register_dataclass, data_fields=[], meta_fields=["kernel", "unbiased", "scaled"])
@dataclass(frozen=True)
class KernelStein(Objective):
    """KSD^2(q, p) = E_{z, z' ~ q} u_p(z, z'), the squared kernelised Stein discrepancy.

        u_p(z, z') = s(z).s(z') k + s(z).grad_{z'} k + s(z').grad_z k + tr grad_z grad_{z'} k

    with the slope s = grad log p~ and a kernel k(z, z'). It is zero where q is p, above zero elsewhere, and takes
    neither the evidence Z nor the density of q: draws of q are enough, and they may lie on a surface.

    Both z and k are taken in units of q's present standard deviations, which are held fixed in the gradient, as is a
    bandwidth by the median rule; both come from q in closed form or from draws of their own. What a misspecified q
    ends at is then a fixed point, where no change of q lowers the discrepancy with the kernel as it stands. With
    ``scaled=False`` and a bandwidth given, the kernel is one and the same throughout, and the fit a minimum.

    By the U-statistic, the mean over pairs of different draws, value and gradient are unbiased; for a guide of
    stratified draws, over pairs of one draw from each of two halves. The V-statistic, over all pairs, is never
    negative, and biased upwards by (E u_p(z, z) - KSD^2) / num_draws.

    It is blind to the weights of modes that lie far apart, as all that rests on slopes. Far from p, where the kernel
    does not reach, its gradient is weak. At q = p the gradient keeps noise of the order 1 / num_draws.

    Args:
        kernel: `vi.kernels.IMQ` (the default), `RBF`, `Linear`, or a `Sum` of kernels.
        unbiased: the U-statistic (True) or the V-statistic (False).
        scaled: whether lengths are in units of q's standard deviations, rather than in those of z.

    Raises:
        TypeError: if ``kernel`` is no kernel.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
        >>> guide, key = vi.MeanFieldNormal(), jax.random.key(0)
        >>> near = {"location": jnp.zeros(1), "log_scale": jnp.zeros(1)}
        >>> far = {"location": 2 * jnp.ones(1), "log_scale": jnp.zeros(1)}
        >>> stein = vi.KernelStein()
        >>> [round(float(stein.loss(key, params, guide, target, 500)[0]), 1) for params in (near, far)]
        [-0.0, 2.9]

    Source: Liu, Lee & Jordan (2016), A kernelized Stein discrepancy for goodness-of-fit tests, arXiv:1602.03253; Gorham
    & Mackey (2017), Measuring sample quality with kernels, arXiv:1703.01717; Fisher, Nolan, Graham, Prangle & Oates
    (2021), Measure transport with kernel Stein discrepancy, arXiv:2010.11779.
    """

    kernel: Kernel = field(default_factory=IMQ)
    unbiased: bool = True
    scaled: bool = True

    def __post_init__(self) -> None:
        check_instance(self.kernel, Kernel, "kernel", "Use for example vi.kernels.IMQ().")

    @property
    def tracked(self) -> tuple[str, ...]:
        """The squared discrepancy, which is the loss."""
        return ("ksd",)

    def check(self, guide: Guide, dim: Any) -> None:
        """Gradients must flow through the draws."""
        if not guide.reparameterised:
            raise ValueError(
                f"guide: KernelStein does not go with {guide}, whose draws carry no gradients. Use a continuous guide, "
                "such as vi.FullRankNormal()."
            )

    def loss(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """KSD^2 estimated with at least two draws of q."""
        key_draw, key_scale = jax.random.split(key)
        num_draws = max(num_draws, 2)
        points, pairs = self._draw(key_draw, params, guide, num_draws)
        fixed = guide.distribution(jax.lax.stop_gradient(params))
        others = equally_weighted(fixed.sample(key_scale, (num_draws,)))
        scale = standard_deviations(covariance_root(fixed, others)) if self.scaled else jnp.ones_like(points[0])
        kernel = self.kernel.settle(others.points / scale)
        slopes = jax.vmap(jax.grad(target.log_density))(points)
        ksd = jnp.sum(pairs * stein_kernel(kernel, points / scale, slopes * scale))
        return ksd, {"ksd": ksd}

    def _draw(self, key: Key, params: Params, guide: Guide, num_draws: int) -> tuple[Draws, Pairs]:
        """Draws, and how much each pair of them counts."""
        if self.unbiased and guide.stratified:
            halves = [guide.draw(each, params, -(-num_draws // 2)) for each in jax.random.split(key)]
            first, second = (half.weights for half in halves)
            across = jnp.outer(jnp.concatenate([first, 0 * first]), jnp.concatenate([0 * second, second]))
            return jnp.concatenate([half.points for half in halves]), across
        points, weights, _ = guide.draw(key, params, num_draws, independent)
        return points, _without_self(weights) if self.unbiased else jnp.outer(weights, weights)

    def gradients_per_step(self, num_draws: int) -> float:
        """A gradient and a Hessian times a vector, which counts two, a draw."""
        return 3.0 * num_draws


def stein_kernel(kernel: PairKernel, points: Draws, slopes: Draws) -> Pairs:
    """u_p(z_i, z_j) for all pairs of points, with the slopes grad log p~ there.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> from vi_toolkit.objectives.stein import stein_kernel
        >>> kernel = vi.kernels.RBF(bandwidth=1.0).settle(jnp.zeros((2, 1)))
        >>> stein_kernel(kernel, jnp.zeros((1, 1)), 3 * jnp.ones((1, 1)))  # s^2 + 1 / h^2
        Array([[10.]], dtype=float64)
    """
    along, across = jax.grad(kernel.value, argnums=0), jax.grad(kernel.value, argnums=1)

    def pair(x: Vector, s: Vector, y: Vector, t: Vector) -> Scalar:
        # sums of products, which are fused; dot products would be one small call of a library to each pair
        slopes = jnp.sum(s * t * kernel.value(x, y) + s * across(x, y) + t * along(x, y))
        return slopes + kernel.mixed_trace(x, y)

    return jax.vmap(lambda x, s: jax.vmap(lambda y, t: pair(x, s, y, t))(points, slopes))(points, slopes)


def _without_self(weights: LogWeights) -> Pairs:
    """w_i w_j for pairs of different draws, summing to one."""
    different = jnp.outer(weights, weights) * (1 - jnp.eye(len(weights), dtype=weights.dtype))
    return different / jnp.sum(different)
