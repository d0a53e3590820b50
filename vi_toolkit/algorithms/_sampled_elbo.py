"""Minus the ELBO at draws that are fixed: a function of the parameters alone, with its gradient and curvature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from vi_toolkit._types import Density, Draws, Key, Params, Scalar
from vi_toolkit.estimators import closed_form_entropy, reparameterised
from vi_toolkit.guides import Guide
from vi_toolkit.guides.guide import GuideDraws
from vi_toolkit.guides.noise import SOBOL_MAX_DIM, Noise, antithetic, independent, quasi_random
from vi_toolkit.objectives import ReverseKL

BLOCK = 32  # draws; the blocks are independent of one another


def mirrored(key: Key, num_draws: int, dim: int, dtype: Any) -> Draws:
    """Sobol points, shifted at random, each with its mirror image; mirrored pairs alone in very many dimensions."""
    if dim > SOBOL_MAX_DIM:
        return antithetic(key, num_draws, dim, dtype)
    half = quasi_random(key, -(-num_draws // 2), dim, dtype)
    return jnp.concatenate([half, -half])[:num_draws]


def noise_for(guide: Guide, params: Params) -> Noise:
    """`mirrored`, or independent noise where the guide is not made of normal noise."""
    try:
        jax.eval_shape(lambda params: guide.draw(jax.random.key(0), params, BLOCK, mirrored), params)
    except ValueError:
        return independent
    return mirrored


@dataclass(frozen=True)
class SampledElbo:
    """f(params) = -(1 / n) sum_i [log p~(z_i(params)) - log q(z_i(params))], with z_i moved by the parameters alone.

    The draws come in blocks of ``BLOCK``, block b with the b-th key. Derivatives are in the guide's own coordinates:
    those of a step u, flat, in f(move(params, u)) at u = 0.
    """

    guide: Guide
    target: Density
    key: Key
    noise: Noise

    def draws(self, params: Params, block: Any) -> GuideDraws:
        """The draws of one block."""
        return self.guide.draw(jax.random.fold_in(self.key, block), params, BLOCK, self.noise)

    def block(self, params: Params, block: Any) -> Scalar:
        """f over one block."""
        entropy_is_known = has_entropy(self.guide, params)
        estimator = (closed_form_entropy if entropy_is_known else reparameterised).drawing(self.noise)
        key = jax.random.fold_in(self.key, block)
        return ReverseKL(estimator).loss(key, params, self.guide, self.target, BLOCK)[0]

    def moved(self, params: Params, u: Array) -> Params:
        """The parameters after the step u in the guide's own coordinates."""
        return self.guide.move(params, ravel_pytree(params)[1](u))

    def evaluate(self, params: Params, first: Any, last: Any) -> tuple[Scalar, Array]:
        """f over the blocks first, ..., last - 1 and its gradient."""
        u = jnp.zeros_like(ravel_pytree(params)[0])

        def add(block: Any, total: tuple[Scalar, Array]) -> tuple[Scalar, Array]:
            value, slope = jax.value_and_grad(lambda u: self.block(self.moved(params, u), block))(u)
            return total[0] + value, total[1] + slope

        value, slope = jax.lax.fori_loop(first, last, add, (jnp.zeros((), u.dtype), u))
        count = jnp.maximum(last - first, 1)
        return value / count, slope / count

    def curvature(self, params: Params, last: Any) -> Callable[[Array], Array]:
        """v -> H v, with the Hessian H of f over the blocks 0, ..., last - 1."""
        zero = jnp.zeros_like(ravel_pytree(params)[0])

        def product(v: Array) -> Array:
            def add(block: Any, total: Array) -> Array:
                slope = jax.grad(lambda u: self.block(self.moved(params, u), block))
                return total + jax.jvp(slope, (zero,), (v,))[1]

            return jax.lax.fori_loop(0, last, add, zero) / last

        return product

    def summary(self, params: Params) -> tuple[Array, Array]:
        """The means and the log standard deviations of q: in closed form, or of the first block of draws."""
        if has_moments(self.guide, params):
            q = self.guide.distribution(params)
            return q.mean, 0.5 * jnp.log(q.variance)
        points, weights, _ = self.draws(params, 0)
        mean = weights @ points
        return mean, 0.5 * jnp.log(weights @ (points - mean) ** 2)

    def scales(self, params: Params) -> Array:
        """The standard deviations of q."""
        return jnp.exp(self.summary(params)[1])

    def view(self, params: Params) -> Callable[[Array], Array]:
        """v -> the change of `summary`, means before log sds, by a small step v."""
        zero = jnp.zeros_like(ravel_pytree(params)[0])

        def summary(u: Array) -> Array:
            return jnp.concatenate(self.summary(self.moved(params, u)))

        return lambda v: jax.jvp(summary, (zero,), (v,))[1]


def has_entropy(guide: Guide, params: Params) -> bool:
    """Whether the entropy of the guide has a closed form."""
    return _is_known(lambda params: guide.distribution(params).entropy(), params)


def has_moments(guide: Guide, params: Params) -> bool:
    """Whether mean and variance of the guide have closed forms."""
    return _is_known(lambda params: (guide.distribution(params).mean, guide.distribution(params).variance), params)


def _is_known(of: Callable[[Params], Any], params: Params) -> bool:
    try:
        jax.eval_shape(of, params)
    except (NotImplementedError, AttributeError):
        return False
    return True


def needed_blocks(params: Params) -> int:
    """Blocks below which the sampled ELBO may have no bound.

    A family whose scale is a matrix can stretch it without bound where no draw has a part in the stretched direction;
    mirrored pairs count once. The widest matrix of parameters says how many directions there are.
    """
    widest = max((leaf.shape[-1] for leaf in jax.tree.leaves(params) if np.ndim(leaf) > 1), default=0)
    return -(-4 * (widest + 1) // BLOCK) if widest else 1
