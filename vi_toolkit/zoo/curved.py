"""Curved densities: a banana, Neal's funnel, a donut."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr

from vi_toolkit._checks import check_positive, check_positive_int
from vi_toolkit._types import Scalar, Vector
from vi_toolkit.exact import ExactPosterior
from vi_toolkit.targets import from_log_density


def banana(*, curvature: float = 0.5, sd: float = 2.0) -> ExactPosterior:
    r"""A Gaussian bent along a parabola: z_0 ~ N(0, s^2), z_1 given z_0 ~ N(c (z_0^2 - s^2), 1).

    Its mean is 0, its covariance diag(s^2, 1 + 2 c^2 s^4), its mode (0, -c s^2). The coordinates are uncorrelated, and
    far from independent.

    Args:
        curvature: c, above 0.
        sd: s, the standard deviation of z_0; above 0.

    Returns:
        The posterior, of dim 2, normalised: log evidence 0.

    Raises:
        TypeError: if an argument is not a number.
        ValueError: if ``curvature`` or ``sd`` is not positive.

    Example:
        >>> from vi_toolkit import zoo
        >>> zoo.banana(curvature=1.0, sd=1.0).covariance
        array([[1., 0.],
               [0., 3.]])

    Source: Haario, Saksman and Tamminen (1999), Adaptive proposal distribution for random walk Metropolis algorithm,
    doi:10.1007/s001800050022, in other units.
    """
    c, s = check_positive(curvature, "curvature"), check_positive(sd, "sd")
    return ExactPosterior(
        name=f"banana, curvature {c:g}",
        target=from_log_density(
            jax.tree_util.Partial(_log_banana, jnp.asarray(c), jnp.asarray(s)), dim=2, log_evidence=0.0
        ),
        how="closed form",
        sampler=partial(_draw_banana, c, s),
        log_evidence=0.0,
        mean=np.zeros(2),
        covariance=np.diag([s**2, 1.0 + 2.0 * c**2 * s**4]),
        modes=np.array([[0.0, -c * s**2]]),
        mode_weights=np.ones(1),
    )


def _log_banana(c: Any, s: Any, z: Vector) -> Scalar:
    quadratic = (z[0] / s) ** 2 + (z[1] - c * (z[0] ** 2 - s**2)) ** 2
    return -0.5 * quadratic - jnp.log(2.0 * jnp.pi * s)


def _draw_banana(c: float, s: float, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    first, noise = generator.standard_normal((2, num_draws))
    return np.stack([s * first, c * s**2 * (first**2 - 1.0) + noise], axis=1)


def funnel(dim: int = 10) -> ExactPosterior:
    r"""Neal's funnel: v = z_0 ~ N(0, 9), and z_i given v ~ N(0, exp(v)) for i = 1..d-1.

    Its mean is 0, its covariance diag(9, exp(9/2), ..., exp(9/2)), its mode (-9 (d - 1) / 2, 0, ..., 0): at the bottom
    of a neck that holds next to no mass.

    Args:
        dim: d, the number of coordinates, at least 2.

    Returns:
        The posterior, normalised: log evidence 0.

    Raises:
        TypeError: if ``dim`` is not a whole number.
        ValueError: if ``dim`` is below 2.

    Example:
        >>> from vi_toolkit import zoo
        >>> zoo.funnel(3).sd.round(4), zoo.funnel(3).modes
        (array([3.    , 9.4877, 9.4877]), array([[-9.,  0.,  0.]]))

    Source: Neal (2003), Slice sampling, section 8, doi:10.1214/aos/1056562461.
    """
    dim = check_positive_int(dim, "dim")
    if dim < 2:
        raise ValueError("dim: expected at least 2, the log variance and what has it, got 1.")
    return ExactPosterior(
        name=f"funnel, dim {dim}",
        target=from_log_density(_log_funnel, dim=dim, log_evidence=0.0),
        how="closed form",
        sampler=partial(_draw_funnel, dim),
        log_evidence=0.0,
        mean=np.zeros(dim),
        covariance=np.diag(np.append(9.0, np.full(dim - 1, np.exp(4.5)))),
        modes=np.append(-4.5 * (dim - 1), np.zeros(dim - 1))[None],
        mode_weights=np.ones(1),
    )


def _log_funnel(z: Vector) -> Scalar:
    v, rest = z[0], z[1:]
    quadratic = v**2 / 9.0 + jnp.sum(rest**2) * jnp.exp(-v)
    return -0.5 * (quadratic + rest.size * v) - jnp.log(3.0) - 0.5 * z.size * jnp.log(2.0 * jnp.pi)


def _draw_funnel(dim: int, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    draws = generator.standard_normal((num_draws, dim))
    draws[:, 0] *= 3.0
    draws[:, 1:] *= np.exp(0.5 * draws[:, :1])
    return draws


def donut(*, radius: float = 5.0, sd: float = 0.5) -> ExactPosterior:
    r"""A ring: p(z) = exp(-(|z| - R)^2 / (2 s^2)) / Z on R^2.

    With I_k = integral over r > 0 of r^k exp(-(r - R)^2 / (2 s^2)), which are I_0 = s sqrt(2 pi) Phi(R / s),
    I_1 = R I_0 + s^2 exp(-R^2 / (2 s^2)) and I_(k+1) = R I_k + k s^2 I_(k-1), the normaliser is Z = 2 pi I_1 and the
    covariance I_3 / (2 I_1) I. The density is divided by Z. Its maximum is a circle, and so ``modes`` is None.

    Args:
        radius: R, above 0.
        sd: s, the thickness of the ring; above 0.

    Returns:
        The posterior, of dim 2, normalised: log evidence 0.

    Raises:
        TypeError: if an argument is not a number.
        ValueError: if ``radius`` or ``sd`` is not positive.

    Example:
        >>> from vi_toolkit import zoo
        >>> zoo.donut(radius=5.0, sd=0.1).sd.round(4)  # close to 5 / sqrt(2), 3.5355
        array([3.5377, 3.5377])
    """
    R, s = check_positive(radius, "radius"), check_positive(sd, "sd")
    I_0, edge = s * np.sqrt(2.0 * np.pi) * ndtr(R / s), s**2 * np.exp(-0.5 * (R / s) ** 2)
    I_1 = R * I_0 + edge
    I_2 = R * I_1 + s**2 * I_0
    I_3 = R * I_2 + 2.0 * s**2 * I_1
    density = jax.tree_util.Partial(_log_donut, jnp.asarray(R), jnp.asarray(s), jnp.asarray(np.log(2.0 * np.pi * I_1)))
    return ExactPosterior(
        name=f"donut, radius {R:g}",
        target=from_log_density(density, dim=2, log_evidence=0.0),
        how="closed form",
        sampler=partial(_draw_donut, R, s),
        log_evidence=0.0,
        mean=np.zeros(2),
        covariance=0.5 * I_3 / I_1 * np.eye(2),
    )


def _log_donut(R: Any, s: Any, log_normaliser: Any, z: Vector) -> Scalar:
    squared = jnp.sum(z**2)
    is_centre = squared == 0.0  # where the root has no gradient; zero is put in its place
    r = jnp.where(is_centre, 0.0, jnp.sqrt(jnp.where(is_centre, 1.0, squared)))
    return -0.5 * ((r - R) / s) ** 2 - log_normaliser


def _draw_donut(R: float, s: float, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    """The radius has density ~ r exp(-(r - R)^2 / (2 s^2)): by rejection from the two terms of r <= R + |r - R|."""
    radius = np.empty(0)
    gaussian_term, rayleigh_term = R * s * np.sqrt(2.0 * np.pi), 2.0 * s**2
    while len(radius) < num_draws:
        size = 2 * num_draws + 16
        is_gaussian = generator.uniform(size=size) * (gaussian_term + rayleigh_term) < gaussian_term
        sign = np.where(generator.uniform(size=size) < 0.5, -1.0, 1.0)
        distance = np.where(is_gaussian, generator.standard_normal(size), sign * generator.rayleigh(size=size))
        r = R + s * distance
        accepted = generator.uniform(size=size) * (R + np.abs(r - R)) < r
        radius = np.append(radius, r[accepted])
    angle = generator.uniform(0.0, 2.0 * np.pi, size=num_draws)
    return radius[:num_draws, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
