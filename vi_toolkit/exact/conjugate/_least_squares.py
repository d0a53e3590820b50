"""Regularised least squares by an orthogonal factorisation, which never squares the condition number."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import qr, solve_triangular


class LeastSquares(NamedTuple):
    """The quadratic form |y - X b|^2 + |b|^2 / s^2 = |y - X m|^2 + |m|^2 / s^2 + |R (b - m)|^2."""

    mean: np.ndarray  # m, (d,)
    root: np.ndarray  # L = R^-1, (d, d), so that L L' = (X'X + I / s^2)^-1
    log_det: float  # log |X'X + I / s^2|
    minimum: float  # |y - X m|^2 + |m|^2 / s^2


def least_squares(X: np.ndarray, y: np.ndarray, prior_sd: float) -> LeastSquares:
    """Completes the square in b, for a design X (n, d), a response y (n,) and a prior sd s of each coefficient."""
    d = X.shape[1]
    stacked = np.vstack([X, np.eye(d) / prior_sd])
    Q, R = qr(stacked, mode="economic")
    mean = solve_triangular(R, Q[: len(y)].T @ y)
    residual = y - X @ mean
    return LeastSquares(
        mean=mean,
        root=solve_triangular(R, np.eye(d)),
        log_det=2.0 * float(np.log(np.abs(np.diag(R))).sum()),
        minimum=float(residual @ residual + mean @ mean / prior_sd**2),
    )


def inverse_root(A: np.ndarray) -> np.ndarray:
    """The lower Cholesky factor T of (A'A)^-1 for A of full column rank; A'A is not formed.

    With A J = Q R, where J reverses the order of columns, (A'A)^-1 = (J R^-1 J)(J R^-1 J)', and J R^-1 J is lower
    triangular.
    """
    R = qr(A[:, ::-1], mode="r")[0][: A.shape[1]]
    root = solve_triangular(R, np.eye(len(R)))[::-1, ::-1]
    return np.tril(root * np.sign(np.diag(root)))


def lower_root(root: np.ndarray) -> np.ndarray:
    """The lower Cholesky factor of L L' for any square L; L L' is not formed."""
    R = qr(root.T, mode="r")[0]
    return np.tril(R.T * np.sign(np.diag(R)))
