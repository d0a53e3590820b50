"""Exponentially many modes: a product of double wells."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import quad

from vi_toolkit._checks import check_positive_int
from vi_toolkit._types import Scalar, Vector
from vi_toolkit.exact import ExactPosterior
from vi_toolkit.targets import from_log_density

MAX_LISTED = 1024  # modes


def many_well(dim: int = 32) -> ExactPosterior:
    r"""A product of d / 2 double wells on R^d, with 2^(d/2) modes.

        log p~(z) = sum over pairs (x, y) = (z_0, z_1), (z_2, z_3), ... of x / 2 + 6 x^2 - x^4 - y^2 / 2

    Each x has one mode near -1.71 and one near 1.75, which is the heavier; each y is a standard normal. So
    log Z = (d/2) (log Z_1 + (1/2) log(2 pi)) with Z_1 = integral of exp(x / 2 + 6 x^2 - x^4) = 11784.5, by quadrature.

    Args:
        dim: d, an even number.

    Returns:
        The posterior; log evidence in nats. It is not normalised: the target is as it is in the literature. ``modes``
        and ``mode_weights``, of the regions nearest to each, are listed up to dim 20, and None above.

    Raises:
        TypeError: if ``dim`` is not a whole number.
        ValueError: if ``dim`` is not even or below 2.

    Example:
        >>> from vi_toolkit import zoo
        >>> posterior = zoo.many_well(4)
        >>> len(posterior.modes), round(posterior.log_evidence, 3)
        (4, 20.587)

    Source: Midgley, Stimper, Simm, Schoelkopf and Hernandez-Lobato (2023), Flow Annealed Importance Sampling Bootstrap,
    arXiv:2208.01893; the double well is that of Noe, Olsson, Koehler and Wu (2019), Boltzmann generators,
    arXiv:1812.01729.
    """
    dim = check_positive_int(dim, "dim")
    if dim % 2:
        raise ValueError(f"dim: expected an even number, two coordinates a well, got {dim}.")
    pairs = dim // 2
    well = _make_well()
    log_evidence = float(pairs * (np.log(well.integral) + 0.5 * np.log(2.0 * np.pi)))
    modes, mode_weights = _modes(well, pairs) if 2**pairs <= MAX_LISTED else (None, None)
    return ExactPosterior(
        name=f"many-well, dim {dim}",
        target=from_log_density(_log_density, dim=dim, log_evidence=log_evidence),
        how="closed form and quadrature in one dimension, relative error below 1e-12",
        sampler=partial(_draw, pairs),
        log_evidence=log_evidence,
        mean=np.tile([well.mean, 0.0], pairs),
        covariance=np.diag(np.tile([well.variance, 1.0], pairs)),
        modes=modes,
        mode_weights=mode_weights,
    )


def _log_density(z: Vector) -> Scalar:
    x, y = z[0::2], z[1::2]
    return (0.5 * x + 6.0 * x**2 - x**4 - 0.5 * y**2).sum()


class _Well(NamedTuple):
    """The density f(x) = exp(x / 2 + 6 x^2 - x^4) of one coordinate."""

    integral: float
    mean: float
    variance: float
    modes: np.ndarray  # left, right
    weights: np.ndarray  # mass left and right of the point half-way between the modes


def _density(x: Any) -> Any:
    return np.exp(0.5 * x + 6.0 * x**2 - x**4)


def _make_well() -> _Well:
    x = np.linspace(-5.0, 5.0, 2001)  # for a smooth density that vanishes at both ends, the sum is exact to rounding
    f = _density(x)
    mean = float((x * f).sum() / f.sum())
    left, _, right = np.sort(np.roots([-4.0, 0.0, 12.0, 0.5]).real)  # where the derivative of log f is zero
    middle = 0.5 * (left + right)
    masses = np.array([quad(_density, *ends, epsabs=0.0, epsrel=1e-12)[0] for ends in ((-5.0, middle), (middle, 5.0))])
    return _Well(
        integral=float(f.sum() * (x[1] - x[0])),
        mean=mean,
        variance=float(((x - mean) ** 2 * f).sum() / f.sum()),
        modes=np.array([left, right]),
        weights=masses / masses.sum(),
    )


def _modes(well: _Well, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Every choice of a side for every pair: (2^pairs, 2 pairs), and the product of the masses of these sides."""
    sides = np.array(list(itertools.product((0, 1), repeat=pairs)))
    modes = np.zeros((len(sides), 2 * pairs))
    modes[:, 0::2] = well.modes[sides]
    return modes, np.prod(well.weights[sides], axis=1)


def _draw(pairs: int, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    draws = generator.standard_normal((num_draws, 2 * pairs))
    draws[:, 0::2] = _draw_well(generator, num_draws * pairs).reshape(num_draws, pairs)
    return draws


def _draw_well(generator: np.random.Generator, num_draws: int) -> np.ndarray:
    """Draws from f by rejection, (num_draws,).

    On the side of sign s = 1 or -1, (x^2 - 3)^2 = (x - s a)^2 (x + s a)^2 >= 3 (x - s a)^2 with a = sqrt(3), and so
    f(x) = exp(9 + x / 2 - (x^2 - 3)^2) lies below a multiple exp(s a / 2) of N(x; s a + 1/12, 1/6).
    """
    a = np.sqrt(3.0)
    kept = np.empty(0)
    while len(kept) < num_draws:
        size = 2 * num_draws + 16
        sign = np.where(generator.uniform(size=size) < 1.0 / (1.0 + np.exp(-a)), 1.0, -1.0)
        x = sign * a + 1.0 / 12.0 + generator.standard_normal(size) / np.sqrt(6.0)
        log_ratio = 3.0 * (x - sign * a) ** 2 - (x**2 - 3.0) ** 2
        accepted = (sign * x > 0.0) & (np.log(generator.uniform(size=size)) < log_ratio)
        kept = np.append(kept, x[accepted])
    return kept[:num_draws]
