"""Groups whose scatter tau is unknown: everything else is Gaussian given tau, and tau is integrated out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from vi_toolkit.exact.gaussian._groups import Effects, Groups, Mean, mean_given, standardised_given
from vi_toolkit.exact.gaussian._panels import Panels, panels_of, quantile

EffectsGiven = Callable[[np.ndarray, Groups], Effects]  # the effects of a parametrisation, given tau
DECADES = 80.0  # how far beyond the scales of the data and the prior log tau is looked for, in units of e
SPACING = 0.125  # of that first look
NEGLIGIBLE = 45.0  # nats below the peak: 3e-20


class Scatter(NamedTuple):
    """tau ~ HalfCauchy(tau_scale), with the posterior of log tau on panels and that of mu given tau at their nodes."""

    groups: Groups
    tau_scale: float
    panels: Panels
    tau: np.ndarray  # (nodes,)
    mean: Mean  # (nodes,)

    @property
    def highest_moment(self) -> int:
        """The largest k of 1 and 2 for which E[tau^k] exists: for k <= J, as tau's density falls like tau^-(J + 2)."""
        return min(2, len(self.groups.effects))


def integrate_scatter(groups: Groups, tau_scale: float) -> Scatter:
    log_density = partial(log_joint, groups, tau_scale)
    u = _first_look(groups, tau_scale)
    values = log_density(u)
    peak = int(values.argmax())
    # the tail must be there for the moments of tau too: E[tau^k] weighs it with exp(k log tau)
    reach = values + min(2, len(groups.effects)) * np.maximum(u - u[peak], 0.0)
    inside = np.flatnonzero(reach > values[peak] - NEGLIGIBLE)
    panels = panels_of(log_density, u[max(inside[0] - 1, 0)], u[min(inside[-1] + 1, len(u) - 1)])
    tau = np.exp(panels.nodes)
    return Scatter(groups, tau_scale, panels, tau, mean_given(tau, groups))


def log_joint(groups: Groups, tau_scale: float, u: np.ndarray) -> np.ndarray:
    """log p(log tau = u, y) = log HalfCauchy(e^u; tau_scale) + u + log p(y | tau)."""
    log_prior = np.log(2.0 / np.pi / tau_scale) - np.logaddexp(0.0, 2.0 * (u - np.log(tau_scale)))
    return log_prior + u + mean_given(np.exp(u), groups).log_evidence


def _first_look(groups: Groups, tau_scale: float) -> np.ndarray:
    y, se, m, s = groups
    low = np.log(min(tau_scale, s, se.min()))
    high = np.log(max(tau_scale, s, se.max(), np.abs(y - m).max()))
    return np.arange(low - DECADES, high + DECADES, SPACING)


def moments(scatter: Scatter, effects_given: EffectsGiven) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of (mu, log tau, effects): E[E[. | tau]], and E[Cov[. | tau]] + Cov[E[. | tau]]."""
    x, w = effects_given(scatter.tau, scatter.groups), scatter.panels.weights
    centre, variance = scatter.mean.centre, scatter.mean.variance
    given_tau = np.column_stack([centre, scatter.panels.nodes, x.intercept + x.slope * centre[:, None]])
    along_mu = np.column_stack([np.ones_like(w), np.zeros_like(w), x.slope])
    mean = w @ given_tau
    centred = given_tau - mean
    within = (along_mu.T * (w * variance)) @ along_mu + np.diag(np.append([0.0, 0.0], w @ x.variance))
    return mean, within + (centred.T * w) @ centred


def tau_moments(scatter: Scatter) -> tuple[float, float]:
    """Mean and variance of tau; the variance is infinite for one group."""
    w, tau = scatter.panels.weights, scatter.tau
    mean = float(w @ tau)
    return mean, float(w @ (tau - mean) ** 2) if scatter.highest_moment == 2 else np.inf


def draw(scatter: Scatter, effects_given: EffectsGiven, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    """log tau by inversion of its distribution function, then mu given tau, then the effects given both."""
    u = quantile(scatter.panels, generator.uniform(size=num_draws))
    mean, x = mean_given(np.exp(u), scatter.groups), effects_given(np.exp(u), scatter.groups)
    mu = mean.centre + np.sqrt(mean.variance) * generator.standard_normal(num_draws)
    effects = x.intercept + x.slope * mu[:, None] + np.sqrt(x.variance) * generator.standard_normal(x.slope.shape)
    return np.column_stack([mu, u, effects])


def standardised_modes(scatter: Scatter) -> np.ndarray:
    """Every local maximum of the density of (mu, log tau, standardised effects), the highest first.

    Given tau the density has one maximum, at the conditional mean; along these, its maxima are where `_slope` passes
    through zero from above.
    """
    u = _first_look(scatter.groups, scatter.tau_scale)
    slope = _slope(scatter, u)
    modes = []
    for i in np.flatnonzero((slope[:-1] > 0) & (slope[1:] <= 0)):
        best = brentq(lambda u: _slope(scatter, np.array([u]))[0], u[i], u[i + 1], xtol=1e-14, rtol=1e-14)
        modes.append(_conditional_mean(scatter, np.array([best]))[0])
    return np.stack(sorted(modes, key=partial(_height, scatter), reverse=True))


def _conditional_mean(scatter: Scatter, u: np.ndarray) -> np.ndarray:
    """E[(mu, log tau, standardised) | log tau = u], of shape (points, 2 + J)."""
    centre, x = mean_given(np.exp(u), scatter.groups).centre, standardised_given(np.exp(u), scatter.groups)
    return np.column_stack([centre, u, x.intercept + x.slope * centre[:, None]])


def _slope(scatter: Scatter, u: np.ndarray) -> np.ndarray:
    """The derivative in log tau of the joint log density at the conditional means, where the others vanish."""
    groups, tau = scatter.groups, np.exp(u)
    z = _conditional_mean(scatter, u)
    mu, scattered = z[:, :1], tau[:, None] * z[:, 2:]
    of_prior = 1.0 - 2.0 / (1.0 + (scatter.tau_scale / tau) ** 2)
    return of_prior + np.sum((groups.effects - mu - scattered) * scattered / groups.ses**2, axis=-1)


def _height(scatter: Scatter, z: np.ndarray) -> float:
    """The joint log density of z = (mu, log tau, standardised), but for a constant."""
    y, se, m, s = scatter.groups
    mu, u, standardised = z[0], z[1], z[2:]
    white = np.concatenate([[(mu - m) / s], standardised, (y - mu - np.exp(u) * standardised) / se])
    return float(u - np.logaddexp(0.0, 2.0 * (u - np.log(scatter.tau_scale))) - 0.5 * white @ white)
