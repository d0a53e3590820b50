"""One worked example of every kind of posterior that is known, on small real data."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from vi_toolkit.datasets import (
    BEETLES_EXPOSED,
    BEETLES_KILLED,
    BEETLES_LOG_DOSE,
    COAL_MINING_DISASTERS,
    COAL_MINING_YEARS,
    EIGHT_SCHOOLS_EFFECTS,
    EIGHT_SCHOOLS_SES,
    O_RINGS_FAHRENHEIT,
    O_RINGS_FAILED,
)
from vi_toolkit.exact import conjugate, discrete, gaussian, mixtures, quadrature
from vi_toolkit.exact.discrete.posterior import DiscretePosterior
from vi_toolkit.exact.posterior import ExactPosterior

Known = ExactPosterior | DiscretePosterior


def gallery() -> dict[str, Known]:
    """Examples of every entry of `vi.exact`, by the entry's name; they take about half a minute, most of it compiling.

    The data are those of `vi.datasets`. A method that is to be tried on all of them loops over this; `vi.check` holds
    each fit against its posterior.

    Returns:
        {name: posterior}; those over discrete unknowns are `DiscretePosterior`, all others `ExactPosterior`.

    Example:
        >>> from vi_toolkit.exact.gallery import EXAMPLES
        >>> posterior = EXAMPLES["gamma_poisson"]()
        >>> posterior.name, round(posterior.log_evidence, 2)
        ('gamma-Poisson', -62.27)
    """
    return {name: make() for name, make in EXAMPLES.items()}


def _dose() -> np.ndarray:
    """A column of ones, and the log dose of the beetles in steps of 0.1 about its mean."""
    return np.stack([np.ones(len(BEETLES_LOG_DOSE)), (BEETLES_LOG_DOSE - BEETLES_LOG_DOSE.mean()) / 0.1], axis=1)


def _log_odds() -> np.ndarray:
    """The beetles' empirical log odds of dying."""
    return np.log((BEETLES_KILLED + 0.5) / (BEETLES_EXPOSED - BEETLES_KILLED + 0.5))


def _temperature() -> np.ndarray:
    """A column of ones, and the temperature at launch in steps of 10 degrees from 70."""
    return np.stack([np.ones(len(O_RINGS_FAHRENHEIT)), (O_RINGS_FAHRENHEIT - 70.0) / 10.0], axis=1)


def _roots_of_coal(years: int) -> tuple[np.ndarray, np.ndarray]:
    """The middle of every so many years, and the root of the mean number of disasters in them."""
    whole = len(COAL_MINING_YEARS) // years * years
    means = COAL_MINING_DISASTERS[:whole].reshape(-1, years).mean(axis=1)
    return COAL_MINING_YEARS[:whole].reshape(-1, years).mean(axis=1), np.sqrt(means)


def _lattice() -> np.ndarray:
    """The couplings of three by three vertices with their nearest neighbours."""
    place = np.array(list(np.ndindex(3, 3)))
    return 0.4 * (np.abs(place[:, None] - place).sum(axis=2) == 1)


def _corners() -> np.ndarray:
    """The fields of nine vertices in three states: one corner is drawn to state 0, the opposite one to state 2."""
    field = np.zeros((9, 3))
    field[0, 0] = field[8, 2] = 2.0
    return field


def _autoregressive_covariance() -> np.ndarray:
    n = len(BEETLES_LOG_DOSE)
    return 0.25 * 0.5 ** np.abs(np.arange(n)[:, None] - np.arange(n))


def _gaussian_process() -> ExactPosterior:
    years, roots = _roots_of_coal(8)
    kernel = gaussian.SquaredExponential(length_scale=30.0, amplitude=1.0)
    return gaussian.gaussian_process(years, roots - roots.mean(), kernel=kernel, noise_sd=0.2)


def _local_level() -> ExactPosterior:
    one = np.ones((1, 1))
    return gaussian.linear_state_space(
        _roots_of_coal(4)[1][:, None],
        transition=one,
        transition_covariance=0.05 * one,
        emission=one,
        emission_covariance=0.1 * one,
        initial_mean=np.array([1.5]),
        initial_covariance=one,
    )


EXAMPLES: dict[str, Callable[[], Known]] = {
    "beta_binomial": lambda: conjugate.beta_binomial(BEETLES_KILLED[:3], BEETLES_EXPOSED[:3], a=1.0, b=1.0),
    "dirichlet_multinomial": lambda: conjugate.dirichlet_multinomial(
        np.bincount(np.minimum(COAL_MINING_DISASTERS, 4)), concentration=np.ones(5)
    ),
    "gamma_poisson": lambda: conjugate.gamma_poisson(COAL_MINING_DISASTERS[:30], shape=1.0, rate=0.5),
    "gamma_exponential": lambda: conjugate.gamma_exponential(
        np.diff(COAL_MINING_YEARS[COAL_MINING_DISASTERS > 0]), shape=1.0, rate=1.0
    ),
    "normal_unknown_mean": lambda: conjugate.normal_unknown_mean(
        EIGHT_SCHOOLS_EFFECTS, sd=12.0, prior_mean=0.0, prior_sd=10.0
    ),
    "normal_unknown_variance": lambda: conjugate.normal_unknown_variance(
        EIGHT_SCHOOLS_EFFECTS, mean=8.0, shape=2.0, rate=100.0
    ),
    "normal_unknown_mean_and_variance": lambda: conjugate.normal_unknown_mean_and_variance(
        EIGHT_SCHOOLS_EFFECTS, prior_mean=0.0, prior_count=1.0, shape=2.0, rate=100.0
    ),
    "multivariate_normal": lambda: conjugate.multivariate_normal(
        np.stack([_dose()[:, 1], _log_odds()], axis=1),
        prior_mean=np.zeros(2),
        prior_count=1.0,
        degrees_of_freedom=4.0,
        scale=np.eye(2),
    ),
    "linear_regression": lambda: conjugate.linear_regression(_dose(), _log_odds(), noise_sd=0.5, prior_sd=10.0),
    "linear_regression_unknown_noise": lambda: conjugate.linear_regression_unknown_noise(
        _dose(), _log_odds(), prior_sd=10.0, shape=2.0, rate=0.5
    ),
    "linear_regression_g_prior": lambda: conjugate.linear_regression_g_prior(
        _dose(), _log_odds(), g=8.0, shape=2.0, rate=0.5
    ),
    "linear_gaussian": lambda: gaussian.linear_gaussian(
        _dose(),
        _log_odds(),
        prior_mean=np.zeros(2),
        prior_covariance=np.array([[4.0, 1.0], [1.0, 4.0]]),
        noise_covariance=_autoregressive_covariance(),
    ),
    "gaussian_process": _gaussian_process,
    "linear_state_space": _local_level,
    "random_effects": lambda: gaussian.random_effects(EIGHT_SCHOOLS_EFFECTS, EIGHT_SCHOOLS_SES, tau=5.0, prior_sd=5.0),
    "eight_schools": gaussian.eight_schools,
    "hidden_markov": lambda: discrete.hidden_markov(
        COAL_MINING_DISASTERS,
        initial=[0.5, 0.5],
        transition=[[0.98, 0.02], [0.02, 0.98]],
        emission=dist.Poisson(jnp.array([1.0, 3.0])),
    ),
    "finite_mixture": lambda: discrete.finite_mixture(
        EIGHT_SCHOOLS_EFFECTS, weights=[0.7, 0.3], components=dist.Normal(jnp.array([3.0, 20.0]), 8.0)
    ),
    "ising": lambda: discrete.ising(_lattice(), np.linspace(-0.4, 0.4, 9)),
    "potts": lambda: discrete.potts(2.0 * _lattice(), _corners()),
    "change_point": lambda: discrete.change_point(COAL_MINING_DISASTERS, shape=1.0, rate=1.0),
    "change_point_location": lambda: discrete.change_point_location(COAL_MINING_DISASTERS, shape=1.0, rate=1.0),
    "logistic_regression": lambda: quadrature.logistic_regression(_temperature(), O_RINGS_FAILED, prior_sd=3.0),
    "probit_regression": lambda: quadrature.probit_regression(_temperature(), O_RINGS_FAILED, prior_sd=3.0),
    "gaussian_mixture": lambda: mixtures.gaussian_mixture(
        [0.3, 0.7], [[-2.0, 0.0], [2.0, 1.0]], [[[1.0, 0.5], [0.5, 1.0]], [[0.5, -0.3], [-0.3, 1.0]]]
    ),
    "label_switching": lambda: mixtures.label_switching(EIGHT_SCHOOLS_EFFECTS, num_components=2, sd=8.0, prior_sd=20.0),
}
