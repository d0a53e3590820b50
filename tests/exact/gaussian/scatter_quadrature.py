"""The posterior of groups of unknown scatter, by SciPy's quadrature and matrix inverses."""

import numpy as np
from scipy import integrate, stats

from vi_toolkit.datasets import EIGHT_SCHOOLS_EFFECTS, EIGHT_SCHOOLS_SES

TWO = {"effects": [2.0, -1.0], "ses": [1.0, 0.5], "prior_mean": 0.5, "prior_sd": 2.0, "tau_scale": 1.5}


def log_normal(x, mean, sd):
    return -0.5 * ((x - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)


def nested(effects, ses, prior_mean=0.0, prior_sd=5.0, tau_scale=5.0):
    """Z, and E of mu, mu^2, mu log tau, log tau, log^2 tau, tau, tau^2, over mu for each tau and then over tau."""
    effects, ses = np.asarray(effects), np.asarray(ses)

    def over_mu(u):
        sds = np.hypot(np.exp(u), ses)

        def joint(mu):
            log_density = log_normal(mu, prior_mean, prior_sd) + log_normal(effects, mu, sds).sum()
            return np.exp(log_density + 30.0) * np.array([1.0, mu, mu**2])

        low, high = prior_mean - 9 * prior_sd, prior_mean + 9 * prior_sd
        one, mu, square = integrate.quad_vec(joint, low, high, epsrel=1e-11, epsabs=0.0, quadrature="gk21")[0]
        prior = 2 / np.pi * tau_scale / (tau_scale**2 + np.exp(2 * u)) * np.exp(u)
        return prior * np.array([one, mu, square, u * mu, u * one, u**2 * one, np.exp(u) * one, np.exp(2 * u) * one])

    points = [-10.0, 0.0, 2.0, 4.0]
    z, *rest = integrate.quad_vec(over_mu, -35.0, 25.0, epsrel=1e-10, epsabs=0.0, points=points)[0]
    return np.log(z) - 30.0, np.array(rest) / z


def given(tau, effects, ses, prior_mean=0.0, prior_sd=5.0):
    """Mean and covariance of (mu, theta) given tau and the data, and log p(y | tau), by inverses."""
    J = len(effects)
    prior = np.full((1 + J, 1 + J), prior_sd**2) + tau**2 * np.diag(np.append(0.0, np.ones(J)))
    marginal = prior[1:, 1:] + np.diag(np.square(ses))
    gain = prior[:, 1:] @ np.linalg.inv(marginal)
    mean = np.full(J, prior_mean)
    log_density = stats.multivariate_normal(mean, marginal).logpdf(effects)
    return prior_mean + gain @ (effects - mean), prior - gain @ prior[1:], log_density


def over_tau(function, low, effects=EIGHT_SCHOOLS_EFFECTS, ses=EIGHT_SCHOOLS_SES, tau_scale=5.0, **prior):
    """E[function(log tau, mean, covariance) | y], an array, with the mean and covariance of (mu, theta) given tau.

    The integral is over log tau from ``low``; what lies below has a probability of about 0.2 exp(low).
    """

    def integrand(u):
        mean, covariance, log_density = given(np.exp(u), np.asarray(effects), ses, **prior)
        density = np.exp(log_density + stats.halfcauchy.logpdf(np.exp(u), scale=tau_scale) + u + 30.0)
        return density * np.append(1.0, function(u, mean, covariance))

    points = [-5.0, 0.0, 2.0, 4.0]
    total, *values = integrate.quad_vec(integrand, low, 12.0, epsrel=1e-10, epsabs=0.0, points=points)[0]
    return np.array(values) / total
