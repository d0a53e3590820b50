"""Random effects whose scatter is unknown: the eight schools, and any other groups."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpyro
import numpyro.distributions as dist

from vi_toolkit._checks import check_positive
from vi_toolkit.datasets import EIGHT_SCHOOLS_EFFECTS, EIGHT_SCHOOLS_SES
from vi_toolkit.exact._inputs import check_number
from vi_toolkit.exact.gaussian._arguments import as_effects
from vi_toolkit.exact.gaussian._groups import Groups, effects_given, standardised_given
from vi_toolkit.exact.gaussian._marginals import effects_marginal, mean_marginal, predict, tau_marginal
from vi_toolkit.exact.gaussian._scatter import (
    Scatter,
    draw,
    integrate_scatter,
    moments,
    standardised_modes,
    tau_moments,
)
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import from_numpyro


def eight_schools_model(
    ses: Any, effects: Any = None, *, prior_mean: Any, prior_sd: Any, tau_scale: Any, centred: bool = False
) -> None:
    """theta_j ~ Normal(mu, tau), a site or mu + tau standardised_j;  effects_j ~ Normal(theta_j, ses_j)."""
    mu = numpyro.sample("mu", dist.Normal(prior_mean, prior_sd))
    tau = numpyro.sample("tau", dist.HalfCauchy(tau_scale))
    with numpyro.plate("groups", len(ses)):
        if centred:
            theta = numpyro.sample("theta", dist.Normal(mu, tau))
        else:
            standardised = numpyro.sample("standardised", dist.Normal(0.0, 1.0))
            theta = numpyro.deterministic("theta", mu + tau * standardised)
        numpyro.sample("effects", dist.Normal(theta, ses), obs=effects)


def eight_schools(
    effects: Any = EIGHT_SCHOOLS_EFFECTS,
    ses: Any = EIGHT_SCHOOLS_SES,
    *,
    prior_mean: float = 0.0,
    prior_sd: float = 5.0,
    tau_scale: float = 5.0,
    centred: bool = False,
) -> ExactPosterior:
    r"""The posterior of groups' effects theta_j, of their mean mu and of their scatter tau, all of them unknown.

        mu ~ N(m, s^2),   tau ~ HalfCauchy(c),   theta_j ~ N(mu, tau^2),   y_j ~ N(theta_j, se_j^2),   j = 1..J

    Given tau, everything is Gaussian in closed form, as in `random_effects`; p(log tau | y) is then integrated by
    Gauss-Legendre quadrature on panels that are halved until polynomials resolve it, to about 1e-13:

        Z = int p(tau) N(y; m 1, s^2 1 1' + diag(tau^2 + se_j^2)) dtau
        E[g] = E[E[g | tau]],   Cov[g] = E[Cov[g | tau]] + Cov[E[g | tau]]   for g = (mu, log tau, effects)

    Draws of log tau come from the inverse of its distribution function. By default, the sites are (mu, tau,
    standardised) with theta = mu + tau standardised, whose density a guide can follow; with ``centred=True`` they are
    (mu, tau, theta), whose density is a funnel: at theta_j = mu, j = 1..J, it climbs like tau^(1 - J) as tau goes to 0,
    without bound for J > 1. So ``modes`` are None there. Otherwise they are all local maxima, and ``mode_weights``
    are None where there are several.

    The posterior density of tau falls like tau^-(J + 2), so that for J = 1 it has no standard deviation.

    Args:
        effects: the estimates y_j, of shape (J,). By default, effects of coaching in eight schools.
        ses: their standard errors se_j, of shape (J,), above 0.
        prior_mean: m, the prior mean of mu.
        prior_sd: s, the prior standard deviation of mu, above 0.
        tau_scale: c, the prior median of tau, above 0.
        centred: whether theta itself is the site; else "standardised" is.

    Returns:
        The posterior of ("mu", log "tau", "standardised" or "theta"), of dim 2 + J; log evidence in nats. Moments and
        marginal of "theta" are there either way. ``predictive(se=0.0)`` is the distribution of the estimate in a new
        group that would be seen with standard error ``se``: for 0, of its effect.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if shapes do not fit, the data are empty, NaN or infinite, or a scale or error is not positive.

    Example:
        >>> from vi_toolkit import exact
        >>> posterior = exact.eight_schools()
        >>> round(posterior.log_evidence, 4)
        -31.3113
        >>> {name: float(posterior.constrained_moments[name][0].round(3)) for name in ("mu", "tau")}
        {'mu': 4.397, 'tau': 3.598}
        >>> posterior.constrained_moments["theta"][0].round(2)
        array([6.21, 4.94, 3.93, 4.76, 3.62, 4.04, 6.3 , 4.85])

    Source: Rubin (1981), Estimation in parallel randomized experiments, doi:10.3102/10769986006004377; Gelman (2006),
    Prior distributions for variance parameters in hierarchical models, doi:10.1214/06-BA117A; on the two
    parametrisations Papaspiliopoulos, Roberts and Skold (2007), doi:10.1214/088342307000000014.
    """
    y, se = as_effects(effects, ses)
    m, s = check_number(prior_mean, "prior_mean"), check_positive(prior_sd, "prior_sd")
    scatter = integrate_scatter(Groups(y, se, m, s), check_positive(tau_scale, "tau_scale"))
    log_evidence = scatter.panels.log_total
    site, given = ("theta", effects_given) if centred else ("standardised", standardised_given)
    mean, covariance = moments(scatter, given)
    modes = None if centred else standardised_modes(scatter)
    args, kwargs = (se,), _model_arguments(scatter, centred)
    return ExactPosterior(
        name=f"{len(y)} groups, {'centred' if centred else 'non-centred'}",
        target=replace(from_numpyro(eight_schools_model, *args, **kwargs), log_evidence=log_evidence),
        how="quadrature over log tau, the rest in closed form",
        sampler=partial(draw, scatter, given),
        log_evidence=log_evidence,
        mean=mean,
        covariance=covariance,
        modes=modes,
        mode_weights=np.ones(1) if modes is not None and len(modes) == 1 else None,
        constrained_moments=_constrained_moments(scatter, site, mean, covariance),
        marginals={
            "mu": mean_marginal(scatter),
            "tau": tau_marginal(scatter),
            site: effects_marginal(scatter, given),
            "theta": effects_marginal(scatter, effects_given),
        },
        predictive=partial(predict, scatter),
        model=eight_schools_model,
        args=args,
        kwargs=kwargs,
    )


def _model_arguments(scatter: Scatter, centred: bool) -> dict[str, Any]:
    y, _, m, s = scatter.groups
    hyperparameters = {
        "prior_mean": np.asarray(m),
        "prior_sd": np.asarray(s),
        "tau_scale": np.asarray(scatter.tau_scale),
    }
    return {"effects": y, **hyperparameters, "centred": bool(centred)}


def _constrained_moments(
    scatter: Scatter, site: str, mean: np.ndarray, covariance: np.ndarray
) -> dict[str, tuple[Any, Any]]:
    sd = np.sqrt(np.diag(covariance))
    theta, theta_covariance = moments(scatter, effects_given)
    found: dict[str, tuple[Any, Any]] = {"mu": (mean[0], sd[0])}
    if scatter.highest_moment == 2:
        tau, variance = tau_moments(scatter)
        found["tau"] = (np.float64(tau), np.sqrt(variance))
    found[site] = (mean[2:], sd[2:])
    found["theta"] = (theta[2:], np.sqrt(np.diag(theta_covariance))[2:])
    return found
