"""KL divergences within the families of normals, gammas, betas and Dirichlets, in float64, batches and all.

Each is a sum of differences between a convex function and its tangent, which keeps its digits where p and q are nearly
the same; the textbook forms, and NumPyro's, are differences of large numbers there, and may turn negative.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpyro.distributions import Beta, Dirichlet, Distribution, Gamma, Normal, StudentT
from scipy.special import betaln, digamma, factorial, gammaln, polygamma

Numbers = Any  # an array in float64, or one of NumPy's numbers
NUM_TERMS = 12  # of a Taylor series in at most 1/20


def kl(p: Distribution, q: Distribution) -> Any:
    """D(p || q) of the batch; None where the two are not of one of these families."""
    for family, divergence in ((Normal, _normal), (Gamma, _gamma), (Beta, _beta), (Dirichlet, _dirichlet)):
        if isinstance(p, family) and isinstance(q, family):
            return divergence(p, q)
    return None


def entropy(p: Distribution) -> Any:
    """Those entropies that NumPyro finds by JAX's betaln, which has six digits; None of others."""
    if isinstance(p, Beta):
        a, b = _pair(p)
        return betaln(a, b) - (a - 1.0) * digamma(a) - (b - 1.0) * digamma(b) + (a + b - 2.0) * digamma(a + b)
    if isinstance(p, StudentT):
        half, scale = 0.5 * _numbers(p.df), _numbers(p.scale)
        tail = (half + 0.5) * (digamma(half + 0.5) - digamma(half))
        return tail + 0.5 * np.log(2.0 * half) + betaln(half, 0.5) + np.log(scale)
    return None


def _normal(p: Normal, q: Normal) -> Numbers:
    """((m_p - m_q)^2 / s_q^2 + r - 1 - log r) / 2 with r = s_p^2 / s_q^2."""
    (mean, sd), (mean_q, sd_q) = ((_numbers(each.loc), _numbers(each.scale)) for each in (p, q))
    less_one = (sd / sd_q - 1.0) * (sd / sd_q + 1.0)
    return 0.5 * (((mean - mean_q) / sd_q) ** 2 + less_log(less_one, 2.0 * (np.log(sd) - np.log(sd_q))))


def _gamma(p: Gamma, q: Gamma) -> Numbers:
    """G(a_q | a_p) + a_p (r - 1 - log r) - (a_q - a_p) log r with G as in `gammaln_less_tangent`, r = b_q / b_p."""
    a, more = _numbers(p.concentration), _numbers(q.concentration) - _numbers(p.concentration)
    rate, rate_q = _numbers(p.rate), _numbers(q.rate)
    less_one = (rate_q - rate) / rate
    near = np.abs(less_one) < 0.5
    log_ratio = np.where(near, np.log1p(np.where(near, less_one, 0.0)), np.log(rate_q) - np.log(rate))
    return gammaln_less_tangent(a, more) + a * less_log(less_one, log_ratio) - more * log_ratio


def _beta(p: Beta, q: Beta) -> Numbers:
    """The Dirichlet divergence of (a, b)."""
    return _of_concentrations(*(np.stack(_pair(each), axis=-1) for each in (p, q)))


def _pair(beta: Beta) -> tuple[Numbers, ...]:
    return np.broadcast_arrays(_numbers(beta.concentration1), _numbers(beta.concentration0))


def _dirichlet(p: Dirichlet, q: Dirichlet) -> Numbers:
    return _of_concentrations(_numbers(p.concentration), _numbers(q.concentration))


def _of_concentrations(a: Numbers, a_q: Numbers) -> Numbers:
    """sum_i G(a_q,i | a_i) - G(sum a_q | sum a)."""
    more = a_q - a
    return gammaln_less_tangent(a, more).sum(axis=-1) - gammaln_less_tangent(a.sum(axis=-1), more.sum(axis=-1))


def gammaln_less_tangent(a: Numbers, more: Numbers) -> Numbers:
    """G(a + m | a) = log Gamma(a + m) - log Gamma(a) - m psi(a), by its Taylor series where m is small."""
    near = np.abs(more) < 0.05 * a
    small = np.where(near, more, 0.0)
    series = sum(polygamma(n - 1, a) * small**n / factorial(n) for n in range(2, NUM_TERMS + 1))
    return np.where(near, series, gammaln(a + more) - gammaln(a) - more * digamma(a))


def less_log(less_one: Numbers, log_ratio: Numbers) -> Numbers:
    """r - 1 - log r of r - 1 and log r, from r - 1 alone where that is small."""
    near = np.abs(less_one) < 0.5
    return less_one - np.where(near, np.log1p(np.where(near, less_one, 0.0)), log_ratio)


def _numbers(parameter: Any) -> Numbers:
    return np.asarray(parameter, np.float64)
