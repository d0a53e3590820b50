"""Several modes: mixtures of Gaussians."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from vi_toolkit._checks import check_positive, check_positive_int, describe
from vi_toolkit.exact import ExactPosterior, gaussian_mixture


def two_modes(*, separation: float = 8.0, weights: Any = (0.5, 0.5), dim: int = 2) -> ExactPosterior:
    r"""Two standard Gaussians, p(z) = w_0 N(z; -(s/2) e, I) + w_1 N(z; (s/2) e, I), with e the first unit vector.

    Where forward and reverse Kullback-Leibler divergence part: one Gaussian fitted by reverse KL takes one mode, by
    forward KL it takes the mean and covariance of both, which are (w_1 - w_0) (s/2) e and I + w_0 w_1 s^2 e e'.

    Args:
        separation: s, the distance of the modes in standard deviations; above 0. At 2 and below, equal weights have
            one mode only.
        weights: (w_0, w_1), above 0. They are divided by their sum.
        dim: the number of coordinates.

    Returns:
        The posterior, normalised: log evidence 0.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if ``separation`` or a weight is not positive, there are not two weights, or ``dim`` is below 1.

    Example:
        >>> from vi_toolkit import zoo
        >>> zoo.two_modes(separation=8.0, dim=1).covariance
        array([[17.]])
    """
    separation, dim = check_positive(separation, "separation"), check_positive_int(dim, "dim")
    if np.shape(weights) != (2,):
        raise ValueError(f"weights: expected two numbers, got {describe(weights)}; exact.gaussian_mixture takes more.")
    means = np.zeros((2, dim))
    means[:, 0] = (-0.5 * separation, 0.5 * separation)
    mixture = gaussian_mixture(weights, means, np.stack([np.eye(dim)] * 2))
    return replace(mixture, name=f"two modes, separation {separation:g}")


def ring_of_modes(num_modes: int = 8, *, radius: float = 8.0, sd: float = 1.0) -> ExactPosterior:
    r"""K equal Gaussians on a circle: p(z) = (1/K) sum_k N(z; R (cos 2 pi k / K, sin 2 pi k / K), s^2 I) on R^2.

    For K >= 3 its mean is 0 and its covariance (s^2 + R^2 / 2) I.

    Args:
        num_modes: K, the number of Gaussians. They have one maximum each where neighbours are well apart, that is for
            R sin(pi / K) well above s.
        radius: R, above 0.
        sd: s, above 0.

    Returns:
        The posterior, of dim 2, normalised: log evidence 0.

    Raises:
        TypeError: if an argument is not a number.
        ValueError: if ``num_modes`` is below 1, or ``radius`` or ``sd`` is not positive.

    Example:
        >>> from vi_toolkit import zoo
        >>> ring = zoo.ring_of_modes(5, radius=10.0, sd=1.0)
        >>> len(ring.modes), ring.sd.round(4)
        (5, array([7.1414, 7.1414]))
    """
    num_modes = check_positive_int(num_modes, "num_modes")
    radius, sd = check_positive(radius, "radius"), check_positive(sd, "sd")
    angle = 2.0 * np.pi * np.arange(num_modes) / num_modes
    means = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    mixture = gaussian_mixture(np.ones(num_modes), means, np.stack([sd**2 * np.eye(2)] * num_modes))
    return replace(mixture, name=f"ring of {num_modes} modes")


def forty_modes() -> ExactPosterior:
    r"""The mixture of 40 equal Gaussians on R^2 that the literature on samplers with normalising flows compares on.

    p(z) = (1/40) sum_k N(z; mu_k, s^2 I) with s = log(1 + e) = 1.3133, and mu_k drawn once, uniform on (-40, 40)^2. The
    means are those of the original: it draws u uniform on (0, 1) in single precision as the low 24 bits of the Mersenne
    Twister's words of 32 bits, seeded by 0, and takes mu = 80 (u - 1/2). Some Gaussians overlap: there are 36 maxima.

    Returns:
        The posterior, of dim 2, normalised: log evidence 0.

    Example:
        >>> from vi_toolkit import zoo
        >>> posterior = zoo.forty_modes()
        >>> len(posterior.modes), posterior.mean.round(2)
        (36, array([-2.14,  1.24]))

    Source: Midgley, Stimper, Simm, Schoelkopf and Hernandez-Lobato (2023), Flow Annealed Importance Sampling Bootstrap,
    arXiv:2208.01893.
    """
    words = np.random.RandomState(0).randint(0, 2**32, size=(40, 2), dtype=np.uint32)
    means = 80.0 * ((words & 0xFFFFFF) / 2.0**24 - 0.5)
    mixture = gaussian_mixture(np.ones(40), means, np.stack([np.log1p(np.e) ** 2 * np.eye(2)] * 40))
    return replace(mixture, name="forty modes")
