"""One-way random effects whose variances are known."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpyro
import numpyro.distributions as dist

from vi_toolkit._checks import check_positive
from vi_toolkit.exact._inputs import check_number
from vi_toolkit.exact.gaussian._algebra import Gaussian
from vi_toolkit.exact.gaussian._arguments import as_effects, check_not_negative
from vi_toolkit.exact.gaussian._entry import as_distribution, gaussian_entry
from vi_toolkit.exact.gaussian._groups import Groups, effects_given, mean_given
from vi_toolkit.exact.posterior import ExactPosterior


def random_effects_model(ses: Any, effects: Any = None, *, tau: Any, prior_mean: Any, prior_sd: Any) -> None:
    """mu ~ Normal(prior_mean, prior_sd);  theta_j ~ Normal(mu, tau);  effects_j ~ Normal(theta_j, ses_j)."""
    mu = numpyro.sample("mu", dist.Normal(prior_mean, prior_sd))
    with numpyro.plate("groups", len(ses)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("effects", dist.Normal(theta, ses), obs=effects)


def random_effects(effects: Any, ses: Any, *, tau: float, prior_mean: float = 0.0, prior_sd: float) -> ExactPosterior:
    r"""The posterior of mu ~ N(m, s^2) and theta_j ~ N(mu, tau^2) given y_j ~ N(theta_j, se_j^2), tau being known.

    It is Gaussian. With w_j = 1 / (tau^2 + se_j^2) and the share b_j = tau^2 w_j of group j in its own estimate,

        mu | y ~ N(c, V),   1 / V = 1 / s^2 + sum_j w_j,   c = V (m / s^2 + sum_j w_j y_j)
        theta_j | mu, y ~ N(b_j y_j + (1 - b_j) mu, b_j se_j^2), independent over j
        log Z = sum_j log N(y_j; c, 1 / w_j) + log N(c; m, s^2) - log N(c; c, V)

    The last is p(y | mu) p(mu) / p(mu | y), at mu = c. For tau unknown see `eight_schools`.

    Args:
        effects: the estimates y_j, of shape (J,).
        ses: their standard errors se_j, of shape (J,), above 0.
        tau: the standard deviation between groups, above 0.
        prior_mean: m, the prior mean of mu.
        prior_sd: s, the prior standard deviation of mu, above 0.

    Returns:
        The posterior of ("mu", "theta"), of dim 1 + J; log evidence in nats. ``predictive(se=0.0)`` is the normal
        distribution of the estimate in a new group that would be seen with standard error ``se``: for 0, of its effect.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if shapes do not fit, the data are empty, NaN or infinite, or a standard deviation or error is not
            positive.

    Example:
        >>> from vi_toolkit import exact
        >>> posterior = exact.random_effects([1.0, 3.0], [1.0, 1.0], tau=1.0, prior_sd=2.0)
        >>> posterior.mean.round(4)  # mu: 2 * 4 / 5; theta: halfway from there to the estimates
        array([1.6, 1.3, 2.3])
        >>> float(posterior.predictive().mean.round(4)), float(posterior.predictive().variance.round(4))  # 4/5 + 1
        (1.6, 1.8)

    Source: Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013), Bayesian Data Analysis, 3rd edition, section 5.4,
    doi:10.1201/b16018.
    """
    groups = Groups(
        *as_effects(effects, ses), check_number(prior_mean, "prior_mean"), check_positive(prior_sd, "prior_sd")
    )
    tau = _check_tau(tau)
    mean, given_mu = mean_given(np.asarray(tau), groups), effects_given(np.asarray(tau), groups)
    centre, sd = float(mean.centre), float(np.sqrt(mean.variance))
    posterior = Gaussian(
        mean=np.append(centre, given_mu.intercept + given_mu.slope * centre),
        root=np.block(
            [[sd, np.zeros(len(given_mu.slope))], [sd * given_mu.slope[:, None], np.diag(given_mu.variance**0.5)]]
        ),
    )
    return gaussian_entry(
        "random effects",
        posterior,
        float(mean.log_evidence),
        model=random_effects_model,
        args=(groups.ses,),
        kwargs={
            "effects": groups.effects,
            "tau": np.asarray(tau),
            "prior_mean": np.asarray(groups.prior_mean),
            "prior_sd": np.asarray(groups.prior_sd),
        },
        predictive=partial(_predict, centre, sd, tau),
    )


def _check_tau(tau: Any) -> float:
    try:
        return check_positive(tau, "tau")
    except ValueError as error:
        raise ValueError(
            f"{error} Without scatter between groups, every theta_j is mu: that is vi.exact.linear_gaussian with A a "
            "column of ones."
        ) from None


def _predict(centre: float, sd: float, tau: float, se: float = 0.0) -> dist.Normal:
    se = check_not_negative(se, "se")
    return as_distribution(Gaussian(np.array([centre]), np.array([[sd, tau, se]])), ())
