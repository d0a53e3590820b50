"""Gaussians by their roots: a covariance is L L', and only factors L are computed with, never a difference of two."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from vi_toolkit.exact.conjugate._least_squares import least_squares


class Gaussian(NamedTuple):
    """z = mean + root e with e ~ N(0, I), so that z ~ N(mean, root root')."""

    mean: np.ndarray  # (d,)
    root: np.ndarray  # (d, k) of any k >= d

    @property
    def covariance(self) -> np.ndarray:
        return self.root @ self.root.T

    @property
    def sd(self) -> np.ndarray:
        return np.linalg.norm(self.root, axis=1)

    def part(self, start: int, stop: int) -> Gaussian:
        """The marginal of the coordinates start..stop-1."""
        return Gaussian(self.mean[start:stop], self.root[start:stop])

    def draw(self, generator: np.random.Generator, num_draws: int) -> np.ndarray:
        return self.mean + generator.standard_normal((num_draws, self.root.shape[1])) @ self.root.T


def lower_root(root: np.ndarray) -> np.ndarray:
    """The lower triangular L of positive diagonal with L L' = root root', for a root (d, k) of k >= d."""
    lower = np.linalg.qr(root.T, mode="r").T
    return lower * np.where(np.diag(lower) < 0, -1.0, 1.0)


def condition(prior: Gaussian, A: np.ndarray, y: np.ndarray, noise_root: np.ndarray) -> tuple[Gaussian, float]:
    """z | y for y | z ~ N(A z, N N') with N = noise_root, and log p(y).

    In e, where z = m + P e, it is least squares: |N^-1 (y - A z)|^2 + |e|^2 = |r - W e|^2 + |e|^2 with W = N^-1 A P.
    A vague prior costs no digits there, as it does where covariances are updated.
    """
    W = solve_triangular(noise_root, A @ prior.root, lower=True)
    r = solve_triangular(noise_root, y - A @ prior.mean, lower=True)
    square = least_squares(W, r, 1.0)
    log_det = 0.5 * square.log_det + np.log(np.diag(noise_root)).sum()
    log_evidence = float(-0.5 * (len(y) * np.log(2.0 * np.pi) + square.minimum) - log_det)
    return Gaussian(prior.mean + prior.root @ square.mean, prior.root @ square.root), log_evidence


def gain_and_root(root: np.ndarray, A: np.ndarray, noise_root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """K and C with z | y ~ N(m + K (y - A m), C C'), for z ~ N(m, root root'), y | z ~ N(A z, N N'), N = noise_root.

    C is as in `condition`, and K = C C' A' (N N')^-1 = C B' N^-1 with B = N^-1 A C.
    """
    W = solve_triangular(noise_root, A @ root, lower=True)
    C = root @ least_squares(W, np.zeros(len(W)), 1.0).root
    B = solve_triangular(noise_root, A @ C, lower=True)
    return solve_triangular(noise_root, B @ C.T, lower=True, trans="T").T, C


def observe(z: Gaussian, A: np.ndarray, offset: np.ndarray, noise_root: np.ndarray) -> Gaussian:
    """The distribution of y | z ~ N(A z + offset, noise_root noise_root') when z has the given one."""
    return Gaussian(A @ z.mean + offset, lower_root(np.hstack([noise_root, A @ z.root])))
