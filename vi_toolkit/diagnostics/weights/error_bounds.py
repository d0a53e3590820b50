"""Bounds of the errors of means, standard deviations and Wasserstein distances that follow from the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpyro.distributions import Distribution

from vi_toolkit._checks import describe
from vi_toolkit.diagnostics.weights._squares import are_trustworthy, squares
from vi_toolkit.diagnostics.weights.evidence import Estimate, mean_and_error
from vi_toolkit.diagnostics.weights.khat_error import khat_with_error
from vi_toolkit.diagnostics.weights.psis import as_log_weights
from vi_toolkit.information._gaussian import as_gaussian

NUM_SES = 3.0  # how many standard errors are added to what is estimated
NORMAL_KURTOSIS = 3.0


@dataclass(frozen=True, eq=False)
class ErrorBounds:
    """Upper bounds of how far q is from p; all but ``d2`` in units of q's own standard deviations, by coordinate.

    Attributes:
        d2: Renyi's D_2(p||q), in nats, three standard errors above its estimate.
        mean: of |E_q[z_i] - E_p[z_i]| / sd_q(z_i), of shape (dim,).
        sd: of |sd_p(z_i) / sd_q(z_i) - 1|, of shape (dim,).
        wasserstein_1: of the distance between the marginals of z_i, over sd_q(z_i), of shape (dim,).
        wasserstein_2: likewise.

    A bound is inf where a moment of q that it needs does not exist, or cannot be had from the draws.

    Example:
        >>> import numpy as np, numpyro.distributions as dist
        >>> from vi_toolkit import diagnostics
        >>> q = dist.Normal(np.zeros(2), 1.0).to_event(1)
        >>> diagnostics.error_bounds(np.zeros(100), q, np.zeros((100, 2))).mean  # q = p
        array([0., 0.])
    """

    d2: float
    mean: np.ndarray = field(repr=False)
    sd: np.ndarray = field(repr=False)
    wasserstein_1: np.ndarray = field(repr=False)
    wasserstein_2: np.ndarray = field(repr=False)


def error_bounds(log_weights: Any, q: Distribution, draws: Any, *, rounding: float = 0.0) -> ErrorBounds | None:
    r"""Bounds of errors of q from its importance weights w = p~ / q.

        D = D_2(p||q) = log E_q[w^2] - 2 log E_q[w],    c^2 = e^D - 1 = Var_q[w] / E_q[w]^2

    E_p[f] - E_q[f] is the covariance of f and w / E_q[w] under q, at most sd_q(f) c. In units of sd_q(z_i), with k_i
    the kurtosis of z_i under q, and a_i = c sqrt(k_i - 1):

        mean              c
        Wasserstein-1     c                                   (Kantorovich: z -> |z - m| w moves all that differs)
        Wasserstein-2     sqrt(2) k_i^(1/4) sqrt(c),          and sqrt(2 D) where q is normal (Talagrand)
        sd                the larger of sqrt(1 + a_i) - 1 and 1 - sqrt(1 - a_i - c^2), or Wasserstein-2 if that is less

    The first three are the bounds of Huggins et al. with 2^(1 - 1/order) for their factor 2, for one coordinate at a
    time, whose marginals differ no more than the whole; so no bound grows with the dimension but through D, and none
    depends on the units of z. The kurtosis of a normal q is 3; any other q's comes from its draws, plus three standard
    errors, where its own tails let that error be trusted.

    D is estimated with both terms from draws of q, rather than with the ELBO for log E_q[w], which would double it for
    q near p. It takes the mean of w^2, and there is no bound but where that can be trusted, as for the CUBO of
    `bracket`: k-hat + 3 se < 1/2. It comes with three standard errors, which allow for a heavier tail as well.

    They are bounds for p as far as q has seen it. No draws of q know of a mode that q never visits, for which E_q[w^2]
    is far larger than any of them show.

    Args:
        log_weights: log p~(z_i) - log q(z_i) at draws z_i of q, in nats, of shape (draws,).
        q: the approximation, with event_shape (dim,).
        draws: of q, of shape (draws, dim).
        rounding: as for `smooth`.

    Returns:
        The bounds; None where the weights are not good enough for any.

    Raises:
        ValueError: if there are fewer than 25 draws, or the shapes do not match.

    Example:
        >>> import numpy as np, numpyro.distributions as dist
        >>> from vi_toolkit import diagnostics
        >>> z = np.random.default_rng(0).standard_normal((4000, 1))
        >>> log_weights = 0.1 * z[:, 0] - 0.005  # q = N(0, 1), p = N(0.1, 1): D_2 = 0.01
        >>> bounds = diagnostics.error_bounds(log_weights, dist.Normal(np.zeros(1), 1.0).to_event(1), z)
        >>> round(bounds.d2, 3), bool(0.1 < bounds.mean[0] < 0.12), bool(0.1 < bounds.wasserstein_2[0] < 0.2)
        (0.011, True, True)

    Source: Huggins, Kasprzak, Campbell and Broderick (2020), Validated variational inference via practical posterior
    error bounds, arXiv:1910.04102; Villani (2009), Optimal transport, theorem 6.15, doi:10.1007/978-3-540-71050-9;
    Talagrand (1996), Transportation cost for Gaussian and other product measures, doi:10.1007/BF02249265.
    """
    log_weights, draws = as_log_weights(log_weights), np.asarray(draws, np.float64)
    if draws.ndim != 2 or len(draws) != len(log_weights):
        raise ValueError(f"draws: expected shape ({len(log_weights)}, dim), got {describe(draws)}.")
    khat = khat_with_error(log_weights, rounding=rounding)
    if not are_trustworthy(khat, len(log_weights)):
        return None
    divergence = second_divergence(log_weights, khat)
    d2 = max(divergence.value + NUM_SES * divergence.se, 0.0)
    if as_gaussian(q) is not None:
        return _bounds(d2, np.full(draws.shape[1], NORMAL_KURTOSIS), is_normal=True)
    kurtosis = [_kurtosis(*each) for each in zip(draws.T, _has_variances(q, draws.shape[1]), strict=True)]
    return _bounds(d2, np.array(kurtosis), is_normal=False)


def second_divergence(log_weights: np.ndarray, khat: Estimate) -> Estimate:
    """D_2(p||q) = log E_q[w^2] - 2 log E_q[w], where the mean of w^2 can be trusted."""
    found = squares(log_weights, khat)
    weights = np.exp(log_weights - log_weights.max())
    log_mean = log_weights.max() + np.log(weights.mean())
    se = mean_and_error(found.terms - 2.0 * weights / weights.mean()).se
    return Estimate(float(found.log_mean - 2.0 * log_mean), max(se, 0.5 * found.rise))


def _bounds(d2: float, kurtosis: np.ndarray, *, is_normal: bool) -> ErrorBounds:
    chi = np.sqrt(np.expm1(d2))
    exists = np.where(np.isnan(kurtosis), np.inf, 1.0)  # NaN stands for a variance that does not exist
    kurtosis = np.where(np.isnan(kurtosis), np.inf, kurtosis)
    with np.errstate(invalid="ignore"):  # 0 * inf, where the weights are all alike
        wasserstein_1 = np.where(chi > 0.0, chi * exists, 0.0)
        wasserstein_2 = np.where(chi > 0.0, np.sqrt(2.0 * chi) * kurtosis**0.25, 0.0)
        change = np.where(chi > 0.0, chi * np.sqrt(kurtosis - 1.0), 0.0)  # of E[(z - m)^2], relative
    if is_normal:
        wasserstein_2 = np.minimum(wasserstein_2, np.sqrt(2.0 * d2))
    above = np.sqrt(1.0 + change) - 1.0
    below = 1.0 - np.sqrt(np.maximum(1.0 - change - chi**2, 0.0))
    sd = np.minimum(np.maximum(above, below), wasserstein_2)
    return ErrorBounds(d2, wasserstein_1, sd, wasserstein_1, wasserstein_2)


def _kurtosis(z: np.ndarray, has_variance: bool | None) -> float:
    """E[(z - m)^4] / Var[z]^2 of draws plus three standard errors; inf where that fails, NaN without a variance.

    It is e^D_2 with (z - m)^2 in the place of the weights, and so are the tails that it takes.
    """
    with np.errstate(divide="ignore"):
        log_squares = 2.0 * np.log(np.abs(z - z.mean()))
    khat = khat_with_error(log_squares)
    if are_trustworthy(khat, len(z)):
        divergence = second_divergence(log_squares, khat)
        return float(np.exp(divergence.value + NUM_SES * divergence.se))
    exists = khat.value + NUM_SES * khat.se < 1.0 if has_variance is None else has_variance
    return float(np.inf if exists else np.nan)


def _has_variances(q: Distribution, dim: int) -> list[bool | None]:
    """Whether each coordinate of q has a variance, where q itself knows."""
    try:
        return [bool(np.isfinite(value)) for value in np.broadcast_to(np.asarray(q.variance, np.float64), dim)]
    except (NotImplementedError, AttributeError, ValueError):
        return [None] * dim
