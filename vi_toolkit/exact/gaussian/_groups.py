"""Groups whose effects scatter about a common mean: what is Gaussian once the scatter tau is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Groups(NamedTuple):
    """mu ~ N(m, s^2);  theta_j | mu ~ N(mu, tau^2);  y_j | theta_j ~ N(theta_j, se_j^2), for j = 1..J."""

    effects: np.ndarray  # y, (J,)
    ses: np.ndarray  # (J,)
    prior_mean: float  # m
    prior_sd: float  # s


class Mean(NamedTuple):
    """mu | tau, y ~ N(centre, variance), and log p(y | tau); each of the shape of tau."""

    centre: np.ndarray
    variance: np.ndarray
    log_evidence: np.ndarray


class Effects(NamedTuple):
    """x_j | mu, tau, y ~ N(intercept_j + slope_j mu, variance_j), independent; each of shape tau.shape + (J,)."""

    intercept: np.ndarray
    slope: np.ndarray
    variance: np.ndarray


def mean_given(tau: np.ndarray, groups: Groups) -> Mean:
    """With weights w_j = 1 / (tau^2 + se_j^2), since y_j | mu, tau ~ N(mu, 1 / w_j)."""
    y, se, m, s = groups
    w = 1.0 / (tau[..., None] ** 2 + se**2)
    variance = 1.0 / (1.0 / s**2 + w.sum(axis=-1))
    centre = variance * (m / s**2 + w @ y)
    minimum = np.sum(w * (y - centre[..., None]) ** 2, axis=-1) + ((centre - m) / s) ** 2
    log_det = -np.log(w).sum(axis=-1) + np.log(s**2 / variance)
    return Mean(centre, variance, -0.5 * (len(y) * np.log(2.0 * np.pi) + log_det + minimum))


def effects_given(tau: np.ndarray, groups: Groups) -> Effects:
    """theta: it lies between y_j and mu, nearer to y_j where tau is large beside se_j."""
    share = 1.0 / (1.0 + (groups.ses / tau[..., None]) ** 2)  # tau^2 / (tau^2 + se^2)
    return Effects(share * groups.effects, 1.0 - share, share * groups.ses**2)


def standardised_given(tau: np.ndarray, groups: Groups) -> Effects:
    """(theta - mu) / tau, which has the limits N(0, 1) as tau goes to 0 and 0 as it grows."""
    tau = tau[..., None]
    w = 1.0 / (tau**2 + groups.ses**2)
    return Effects(tau * w * groups.effects, -tau * w, w * groups.ses**2)
