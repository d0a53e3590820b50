"""Draws of q with weights that correct them towards p."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import check_instance, check_key, check_positive_int
from vi_toolkit._types import Key
from vi_toolkit.diagnostics._scores import draw_and_score
from vi_toolkit.diagnostics.evidence import effective_draws
from vi_toolkit.diagnostics.moments import moments_of_draws
from vi_toolkit.diagnostics.psis import smooth
from vi_toolkit.fit import Fit
from vi_toolkit.targets.target import constrain_draws


@dataclass(frozen=True, eq=False)
class Reweighted:
    """Draws of q and the weights that correct them.

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


def reweight(key: Key, fit: Fit, *, num_draws: int = 4000) -> Reweighted:
    """Draws from a fitted q and weighs the draws by p / q, smoothed.

        E_p[f(z)] is estimated by sum_i w_i f(z_i),    w_i proportional to p~(z_i) / q(z_i),  z_i from q

    Args:
        key: a JAX random key.
        fit: from `vi.fit`.
        num_draws: how many draws, at least 25.

    Returns:
        Draws, weights and corrected moments, in NumPy. Where p is zero the weight is zero.

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
    )
