"""Poisson counts whose intensity changes once: what is known given the place of the change, for every place."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from scipy.special import gammaln

from vi_toolkit._checks import check_positive
from vi_toolkit.exact._inputs import as_counts


class Regimes(NamedTuple):
    """For every place tau = 1, ..., n - 1 of the change, tau counts being early and n - tau late."""

    a: np.ndarray  # (n - 1, 2), given tau the intensities are Gamma(a, r), early and late, independent
    r: np.ndarray  # (n - 1, 2)
    log_evidence: float  # log P(y)
    weights: np.ndarray  # (n - 1,), P(tau | y)
    log_weights: np.ndarray


def find_regimes(counts: Any, shape: Any, rate: Any) -> tuple[np.ndarray, float, float, Regimes]:
    """The checked arguments, and the regimes.

    For s counts in m years, a regime's evidence is rate^shape G(shape + s) / (G(shape) (rate + m)^(shape + s)), but for
    the factorials of the counts.
    """
    y = as_counts(counts, "counts")
    shape, rate = check_positive(shape, "shape"), check_positive(rate, "rate")
    n = len(y)
    if n < 2:
        raise ValueError(f"counts: expected at least 2, so that one is early and one is late, got {n}.")
    tau, early = np.arange(1, n), np.cumsum(y)[:-1]
    a = shape + np.stack([early, y.sum() - early], axis=1)
    r = rate + np.stack([tau, n - tau], axis=1)
    of_regimes = np.sum(shape * np.log(rate) - gammaln(shape) + gammaln(a) - a * np.log(r), axis=1)
    log_joint = of_regimes - gammaln(y + 1).sum() - np.log(n - 1)
    log_evidence = float(np.logaddexp.reduce(log_joint))
    log_weights = log_joint - log_evidence
    return y, shape, rate, Regimes(a, r, log_evidence, np.exp(log_weights), log_weights)


def next_count(regimes: Regimes) -> dist.MixtureSameFamily:
    """The distribution of the count after the last, which is late: a mixture over tau of gamma-Poisson ones."""
    return dist.MixtureSameFamily(
        dist.Categorical(probs=jnp.asarray(regimes.weights)),
        dist.GammaPoisson(jnp.asarray(regimes.a[:, 1]), jnp.asarray(regimes.r[:, 1])),
    )
