"""Positive definite kernels of two points, for Stein discrepancies and for particles that repel each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import check_instance, check_positive
from vi_toolkit._types import Draws, Scalar, Vector

Pair = Callable[[Vector, Vector], Scalar]


class PairKernel(NamedTuple):
    """A kernel whose bandwidth is settled: functions of ONE pair of points of R^dim.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> k = vi.kernels.RBF(bandwidth=1.0).settle(jnp.zeros((2, 3)))
        >>> x = jnp.ones(3)
        >>> float(k.value(x, x)), float(k.mixed_trace(x, x))  # the trace is dim / bandwidth^2
        (1.0, 3.0)
    """

    value: Pair  # k(x, y)
    mixed_trace: Pair  # sum_i d^2 k(x, y) / dx_i dy_i


class Kernel(ABC):
    """A positive definite kernel k(x, y), as settings; `settle` gives the function.

    Every kernel is a frozen dataclass. One of one's own gives `settle`; where only k is known, wrap it in `from_pair`.

    Example:
        >>> import vi_toolkit as vi
        >>> [isinstance(kernel, vi.kernels.Kernel) for kernel in (vi.kernels.RBF(), vi.kernels.IMQ())]
        [True, True]
    """

    @abstractmethod
    def settle(self, points: Draws, *, factor: float = 1.0) -> PairKernel:
        """The kernel with a bandwidth of ``factor`` times the median distance of ``points``, where none was given."""


@dataclass(frozen=True)
class RBF(Kernel):
    """k(x, y) = exp(-|x - y|^2 / (2 h^2)), the Gaussian kernel.

    Args:
        bandwidth: h, in the units of the points; None is the median rule, looked up afresh at every step.

    Raises:
        TypeError, ValueError: if ``bandwidth`` is not a number above 0.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> k = vi.kernels.RBF(bandwidth=2.0).settle(jnp.zeros((2, 1)))
        >>> float(k.value(jnp.array([0.0]), jnp.array([2.0])))
        0.6065...
    """

    bandwidth: float | None = None

    def __post_init__(self) -> None:
        _check_bandwidth(self.bandwidth)

    def settle(self, points: Draws, *, factor: float = 1.0) -> PairKernel:
        """The Gaussian kernel of the bandwidth given, or of the median rule."""
        return _radial(lambda t: jnp.exp(-t / 2), _length(self.bandwidth, points, factor))


@dataclass(frozen=True)
class IMQ(Kernel):
    """k(x, y) = (1 + |x - y|^2 / h^2)^power, the inverse multiquadric kernel.

    Its tails fall so slowly that a Stein discrepancy made of it tells every sequence of draws that does not converge to
    p, in any dimension, if p falls off like a normal; that of the Gaussian kernel does not, from three dimensions on.

    Args:
        power: between -1 and 0.
        bandwidth: h, in the units of the points; None is the median rule, looked up afresh at every step.

    Raises:
        TypeError: if ``bandwidth`` is not a number.
        ValueError: if ``bandwidth`` is not above 0, or ``power`` is not between -1 and 0.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> k = vi.kernels.IMQ(bandwidth=1.0).settle(jnp.zeros((2, 1)))
        >>> float(k.value(jnp.array([0.0]), jnp.array([1.0])))
        0.7071...

    Source: Gorham & Mackey (2017), Measuring sample quality with kernels, arXiv:1703.01717.
    """

    power: float = -0.5
    bandwidth: float | None = None

    def __post_init__(self) -> None:
        _check_bandwidth(self.bandwidth)
        if not -1.0 < self.power < 0.0:
            raise ValueError(f"power: expected a number between -1 and 0, got {self.power!r}. The usual one is -0.5.")

    def settle(self, points: Draws, *, factor: float = 1.0) -> PairKernel:
        """The inverse multiquadric of the bandwidth given, or of the median rule."""
        return _radial(lambda t: (1 + t) ** self.power, _length(self.bandwidth, points, factor))


@dataclass(frozen=True)
class Linear(Kernel):
    """k(x, y) = 1 + x . y, which sees means and covariances and nothing else.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> float(vi.kernels.Linear().settle(jnp.zeros((2, 2))).value(jnp.ones(2), jnp.ones(2)))
        3.0

    Source: Liu & Wang (2018), Stein variational gradient descent as moment matching, arXiv:1810.11693.
    """

    def settle(self, points: Draws, *, factor: float = 1.0) -> PairKernel:
        """The linear kernel, which has no bandwidth."""
        return PairKernel(lambda x, y: 1 + x @ y, lambda x, y: jnp.asarray(float(len(x)), x.dtype))


@dataclass(frozen=True)
class Sum(Kernel):
    """k(x, y) = sum_i k_i(x, y).

    Args:
        kernels: a tuple of kernels.

    Raises:
        TypeError, ValueError: if ``kernels`` is not a tuple of kernels, or is empty.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.kernels.Sum((vi.kernels.Linear(), vi.kernels.RBF()))
        Sum(kernels=(Linear(), RBF(bandwidth=None)))
    """

    kernels: tuple[Kernel, ...]

    def __post_init__(self) -> None:
        hint = "Write for example vi.kernels.Sum((vi.kernels.Linear(), vi.kernels.RBF()))."
        check_instance(self.kernels, tuple, "kernels", hint)
        if not self.kernels:
            raise ValueError(f"kernels: expected at least one kernel, got none. {hint}")
        for kernel in self.kernels:
            check_instance(kernel, Kernel, "kernels", hint)

    def settle(self, points: Draws, *, factor: float = 1.0) -> PairKernel:
        """The sum, each kernel with a bandwidth of its own."""
        settled = [kernel.settle(points, factor=factor) for kernel in self.kernels]

        def total(terms: list[Pair]) -> Pair:
            return lambda x, y: jnp.stack([term(x, y) for term in terms]).sum()

        return PairKernel(total([k.value for k in settled]), total([k.mixed_trace for k in settled]))


def from_pair(value: Pair) -> PairKernel:
    """A settled kernel of a function k(x, y) of ONE pair of points; its mixed derivatives by autodiff, dim at a time.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> k = vi.kernels.from_pair(lambda x, y: (1 + x @ y) ** 2)
        >>> float(k.mixed_trace(jnp.array([1.0]), jnp.array([2.0])))  # 2 (1 + x y) + 2 x y
        10.0
    """
    return PairKernel(value, lambda x, y: jnp.trace(jax.jacfwd(jax.grad(value), argnums=1)(x, y)))


def median_distance(points: Draws) -> Scalar:
    """The median distance of two different points, held fixed under gradients; 1 where all of them coincide.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> float(vi.kernels.median_distance(jnp.array([[0.0], [1.0], [3.0]])))
        2.0
    """
    first, second = np.triu_indices(len(points), k=1)
    points = jax.lax.stop_gradient(points)
    if not len(first):
        return jnp.ones((), points.dtype)
    middle = jnp.sqrt(jnp.median(jnp.sum((points[first] - points[second]) ** 2, axis=-1)))
    return jnp.where(middle > 0, middle, 1.0)


def _radial(profile: Callable[[Scalar], Scalar], length: Scalar) -> PairKernel:
    """k(x, y) = f(t) with t = |x - y|^2 / h^2, and its mixed trace -(2 dim f'(t) + 4 t f''(t)) / h^2."""
    first = jax.grad(profile)
    second = jax.grad(first)

    def scaled(x: Vector, y: Vector) -> Scalar:
        return jnp.sum((x - y) ** 2) / length**2

    def mixed_trace(x: Vector, y: Vector) -> Scalar:
        t = scaled(x, y)
        return -(2 * len(x) * first(t) + 4 * t * second(t)) / length**2

    return PairKernel(lambda x, y: profile(scaled(x, y)), mixed_trace)


def _length(bandwidth: float | None, points: Draws, factor: float) -> Scalar:
    return factor * median_distance(points) if bandwidth is None else jnp.asarray(bandwidth, points.dtype)


def _check_bandwidth(bandwidth: float | None) -> None:
    if bandwidth is not None:
        check_positive(bandwidth, "bandwidth")
