"""Draws of q with weights that correct them towards p, and the error that remains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import check_instance, check_key, check_positive_int, describe
from vi_toolkit._types import Key
from vi_toolkit.diagnostics.moments import Moments, moments_of_draws
from vi_toolkit.diagnostics.scores._scores import draw_and_score
from vi_toolkit.diagnostics.weights.evidence import Estimate, can_correct, effective_draws, log_evidence
from vi_toolkit.diagnostics.weights.psis import smooth
from vi_toolkit.fit import Fit
from vi_toolkit.targets.target import constrain_draws


class Resampled(NamedTuple):
    """Equally weighted draws: some of them come up more than once.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2)
        >>> corrected = vi.reweight(jax.random.key(1), vi.fit(jax.random.key(0), target))
        >>> corrected.resample(jax.random.key(2), 50).sites["z"].shape
        (50, 2)
    """

    draws: np.ndarray
    sites: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Reweighted:
    """Draws of q and the weights that correct them.

    Errors are standard errors of what is estimated with these weights, in the units of what they belong to. They are
    infinite where k-hat is not below 0.7 and the weights are not nearly all alike (`vi.diagnostics.nearly_even`), since
    these then do not know their own error, and they are blind to what q does not visit.

    Attributes:
        draws: on the unconstrained space, of shape (draws, dim).
        sites: {site: (draws, ...)} in the model's own space, deterministic sites included.
        log_weights: Pareto-smoothed, normalised: their exponentials sum to one.
        khat: their tail index; above 0.7 the correction is not to be trusted.
        ess: the effective number of draws, 1 / sum w^2.
        mean: corrected means of the unconstrained coordinates, of shape (dim,).
        sd: corrected standard deviations, of shape (dim,).
        site_means: {site: corrected mean}.
        site_sds: {site: corrected standard deviation}.
        mean_se: the error that remains in ``mean``, of shape (dim,).
        sd_se: that in ``sd``.
        site_mean_ses: {site: that in the corrected mean}.
        site_sd_ses: {site: that in the corrected standard deviation}.
        log_evidence: log Z by importance sampling, in nats, with its error.
        raw_log_weights: log p~ - log q as they were found, in nats.
        num_gradients: log-density gradients spent; a bare density counts a third.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2)
        >>> vi.reweight(jax.random.key(1), vi.fit(jax.random.key(0), target), num_draws=100).draws.shape
        (100, 2)
    """

    draws: np.ndarray
    sites: dict[str, np.ndarray]
    log_weights: np.ndarray
    khat: float
    ess: float
    mean: np.ndarray
    sd: np.ndarray
    site_means: dict[str, np.ndarray]
    site_sds: dict[str, np.ndarray]
    mean_se: np.ndarray
    sd_se: np.ndarray
    site_mean_ses: dict[str, np.ndarray]
    site_sd_ses: dict[str, np.ndarray]
    log_evidence: Estimate
    raw_log_weights: np.ndarray = field(repr=False)
    num_gradients: float

    def quantiles(self, probabilities: Sequence[float] | np.ndarray) -> dict[str, np.ndarray]:
        """Weighted quantiles of every site, in the model's own space.

        The smallest draw at which the weights, added up in order, reach the probability.

        Args:
            probabilities: between 0 and 1, of shape (probabilities,).

        Returns:
            {site: (probabilities, ...)}.

        Raises:
            ValueError: if a probability is not between 0 and 1.

        Example:
            >>> import jax, jax.numpy as jnp, vi_toolkit as vi
            >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
            >>> corrected = vi.reweight(jax.random.key(1), vi.fit(jax.random.key(0), target), num_draws=20_000)
            >>> [round(float(q), 1) for q in corrected.quantiles([0.25, 0.5, 0.75])["z"][:, 0]]
            [-0.7, 0.0, 0.7]
        """
        wanted = np.atleast_1d(np.asarray(probabilities, np.float64))
        if wanted.ndim != 1 or not ((wanted >= 0) & (wanted <= 1)).all():
            raise ValueError(f"probabilities: expected numbers between 0 and 1, got {describe(probabilities)}.")
        weights = np.exp(self.log_weights)
        return {name: _quantiles(values, weights, wanted) for name, values in self.sites.items()}

    def resample(self, key: Key, num_draws: int) -> Resampled:
        """Draws of p, as far as the weights are right: ``num_draws`` of the draws, picked by their weights.

        Args:
            key: a JAX random key.
            num_draws: how many; of more than ``ess`` many are copies of one another.

        Raises:
            TypeError, ValueError: if an argument is of the wrong kind or ``num_draws`` is below 1.
        """
        check_key(key)
        num_draws = check_positive_int(num_draws, "num_draws")
        reached = np.cumsum(np.exp(self.log_weights))
        levels = reached[-1] * np.asarray(jax.random.uniform(key, (num_draws,)), np.float64)
        picked = np.searchsorted(reached, levels, side="right")
        return Resampled(self.draws[picked], {name: values[picked] for name, values in self.sites.items()})


def reweight(key: Key, fit: Fit, *, num_draws: int = 4000) -> Reweighted:
    """Draws from a fitted q and weighs the draws by p / q, smoothed.

        E_p[f(z)] is estimated by sum_i w_i f(z_i),    w_i proportional to p~(z_i) / q(z_i),  z_i from q

    Args:
        key: a JAX random key.
        fit: from `vi.fit`.
        num_draws: how many draws, at least 25.

    Returns:
        Draws, weights, corrected moments and the errors that remain, in NumPy. Where p is zero the weight is zero.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if there are fewer than 25 draws.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> # z is the log of a Gamma(10): its mean is psi(10), its variance psi'(10)
        >>> target = vi.from_log_density(lambda z: jnp.sum(10 * z - jnp.exp(z)), dim=1)
        >>> corrected = vi.reweight(jax.random.key(1), vi.fit(jax.random.key(0), target))
        >>> bool(abs(corrected.mean[0] - 2.2518) < 0.03), bool(abs(corrected.sd[0] - 0.3243) < 0.03)
        (True, True)

    Source: Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, arXiv:1507.02646.
    """
    check_key(key)
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    num_draws = check_positive_int(num_draws, "num_draws")
    scores = draw_and_score(key, fit, num_draws)
    smoothed = smooth(scores.log_weights, rounding=scores.rounding)
    constrained = constrain_draws(fit.target, jnp.asarray(scores.draws, jnp.result_type(float)))
    sites = {name: np.asarray(values) for name, values in constrained.items()}
    moments = moments_of_draws(scores.draws, smoothed.log_weights)
    by_site = {name: moments_of_draws(values, smoothed.log_weights) for name, values in sites.items()}
    told = can_correct(smoothed.khat, scores.log_weights)
    errors = {name: _errors(found) if told else _unknown(found) for name, found in {**by_site, "": moments}.items()}
    mean_se, sd_se = errors.pop("")
    return Reweighted(
        draws=scores.draws,
        sites=sites,
        log_weights=smoothed.log_weights,
        khat=smoothed.khat,
        ess=effective_draws(smoothed.log_weights),
        mean=moments.mean,
        sd=moments.sd,
        site_means={name: value.mean for name, value in by_site.items()},
        site_sds={name: value.sd for name, value in by_site.items()},
        mean_se=mean_se,
        sd_se=sd_se,
        site_mean_ses={name: error[0] for name, error in errors.items()},
        site_sd_ses={name: error[1] for name, error in errors.items()},
        log_evidence=log_evidence(scores.log_weights),
        raw_log_weights=scores.log_weights,
        num_gradients=num_draws / 3,
    )


def _unknown(moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Infinite standard errors, where the weights have no say on them."""
    return np.full(np.shape(moments.mean), np.inf), np.full(np.shape(moments.sd), np.inf)


def _errors(moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    """The standard errors of means and sds."""
    with np.errstate(invalid="ignore"):
        sd_se = np.where(moments.sd > 0, moments.sd * moments.log_sd_se, 0.0)
    return moments.mean_se, sd_se


def _quantiles(values: Any, weights: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Those of every column of ``values`` (draws, ...)."""
    flat = values.reshape(len(values), -1)
    found = np.empty((len(probabilities), flat.shape[1]))
    for column, entries in enumerate(flat.T):
        order = np.argsort(entries, kind="stable")
        reached = np.cumsum(weights[order])
        places = np.searchsorted(reached / reached[-1], probabilities, side="left")
        found[:, column] = entries[order][np.minimum(places, len(order) - 1)]
    return found.reshape(len(probabilities), *values.shape[1:])
