"""Convex generators f of f-divergences D_f(p, q) = E_q[f(p / q)], as functions of log u, u = p / q, with f(1) = 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from vi_toolkit._checks import describe
from vi_toolkit.objectives.renyi import check_order


@dataclass(frozen=True)
class Generator:
    """A convex function f of u, evaluated at log u.

    Attributes:
        formula: f of log u, and of the parameters.
        parameters: numbers, or other generators.
        smooth: whether f is twice differentiable.
        needs_evidence: whether the minimiser over q depends on the normaliser of p, so that it has to be estimated.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> float(vi.generators.pearson(jnp.log(3.0)).round(4))  # (u - 1)^2
        4.0
    """

    formula: Callable[..., Array]
    parameters: tuple[Any, ...] = ()
    smooth: bool = True
    needs_evidence: bool = True

    def __call__(self, log_u: Array) -> Array:
        return self.formula(log_u, *self.parameters)


def _reverse_kl(log_u: Array) -> Array:
    return -log_u


def _forward_kl(log_u: Array) -> Array:
    return jnp.exp(log_u) * log_u


def _jeffreys(log_u: Array) -> Array:
    return jnp.expm1(log_u) * log_u  # of D(p‖q) + D(q‖p): twice the symmetrised KL, without u log u - log u


def _jensen_shannon(log_u: Array, skew: float) -> Array:
    # s D(p || m) + (1 - s) D(q || m) with m = s p + (1 - s) q, over q
    log_mixture = jnp.logaddexp(log_u + jnp.log(skew), jnp.log1p(-skew))
    return skew * jnp.exp(log_u) * (log_u - log_mixture) - (1 - skew) * log_mixture


def _hellinger(log_u: Array) -> Array:
    return 0.5 * jnp.expm1(0.5 * log_u) ** 2


def _total_variation(log_u: Array) -> Array:
    return 0.5 * jnp.abs(jnp.expm1(log_u))


def _pearson(log_u: Array) -> Array:
    return jnp.expm1(log_u) ** 2


def _amari(log_u: Array, alpha: float) -> Array:
    # (u^alpha - alpha u - (1 - alpha)) / (alpha (alpha - 1)), without the loss of digits near u = 1
    return (jnp.expm1(alpha * log_u) - alpha * jnp.expm1(log_u)) / (alpha * (alpha - 1))


def _dual(log_u: Array, generator: Callable[[Array], Array]) -> Array:
    return jnp.exp(log_u) * generator(-log_u)


def _symmetrised(log_u: Array, generator: Callable[[Array], Array]) -> Array:
    return 0.5 * (generator(log_u) + _dual(log_u, generator))


def jensen_shannon(skew: float | int = 0.5) -> Generator:
    """s D(p‖m) + (1 - s) D(q‖m) with m = s p + (1 - s) q, for a skew s between 0 and 1.

    Args:
        skew: the weight s of p; 1/2 is the Jensen-Shannon divergence. Near 0 it is s times forward KL, near 1
            (1 - s) times reverse KL.

    Raises:
        TypeError, ValueError: if ``skew`` is not a number between 0 and 1.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> float(vi.generators.jensen_shannon()(jnp.array(-700.0)).round(4))  # where p is nothing: log(2) / 2
        0.3466

    Source: Lin (1991), Divergence measures based on the Shannon entropy, doi:10.1109/18.61115.
    """
    if not 0 < check_order(skew, "skew") < 1:
        raise ValueError(f"skew: expected a number between 0 and 1, got {skew}.")
    return Generator(_jensen_shannon, (float(skew),))


def amari(alpha: float | int) -> Generator:
    """The alpha-divergence (E_q[u^alpha] - 1) / (alpha (alpha - 1)): alpha -> 1 is forward KL, alpha -> 0 reverse KL.

    Args:
        alpha: any number but 0 and 1; 2 is half of `pearson`, -1 half of `neyman`, 1/2 four times `hellinger`.

    Raises:
        TypeError, ValueError: if ``alpha`` is not a finite number, or 0 or 1.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> float(vi.generators.amari(2.0)(jnp.log(3.0)).round(4))  # (u - 1)^2 / 2
        2.0

    Source: Amari (1985), Differential-geometrical methods in statistics, doi:10.1007/978-1-4612-5056-2; Minka (2005),
    Divergence measures and message passing, MSR-TR-2005-173.
    """
    if check_order(alpha, "alpha") in (0, 1):
        raise ValueError(f"alpha: at {alpha} the divergence is KL. Use vi.ReverseKL() (0) or vi.ForwardKL() (1).")
    return Generator(_amari, (float(alpha),), needs_evidence=False)


def dual(generator: Generator | Callable[[Array], Array]) -> Generator:
    """f*(u) = u f(1 / u), the generator of the divergence with p and q in each other's place.

    Args:
        generator: f, a `Generator` or any function of log u.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> forward = vi.generators.dual(vi.generators.reverse_kl)
        >>> bool(jnp.allclose(forward(jnp.array(0.3)), vi.generators.forward_kl(jnp.array(0.3))))
        True
    """
    return _built(_dual, generator)


def symmetrised(generator: Generator | Callable[[Array], Array]) -> Generator:
    """(f + f*) / 2, the generator of the mean of both directions.

    Args:
        generator: f, a `Generator` or any function of log u.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> float(vi.generators.symmetrised(vi.generators.reverse_kl)(jnp.log(2.0)).round(4))  # (u - 1) log(u) / 2
        0.3466
    """
    return _built(_symmetrised, generator)


def _built(formula: Callable[..., Array], generator: Any) -> Generator:
    checked = as_generator(generator)
    return Generator(formula, (checked,), smooth=checked.smooth)


def as_generator(generator: Any) -> Generator:
    """A generator; a function of log u becomes one, and is taken to be smooth and to need the evidence.

    Raises:
        TypeError: if it cannot be called.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> vi.generators.as_generator(lambda log_u: -log_u).needs_evidence
        True
    """
    if isinstance(generator, Generator):
        return generator
    if not callable(generator):
        raise TypeError(
            f"generator: expected one of vi.generators or a function of log u, got {describe(generator)}. "
            "Write for example vi.generators.hellinger, or lambda log_u: -log_u."
        )
    return Generator(generator)


reverse_kl = Generator(_reverse_kl, needs_evidence=False)
forward_kl = Generator(_forward_kl, needs_evidence=False)
hellinger = Generator(_hellinger)
total_variation = Generator(_total_variation, smooth=False)
pearson = Generator(_pearson, needs_evidence=False)
neyman = dual(pearson)
jeffreys = Generator(_jeffreys)
