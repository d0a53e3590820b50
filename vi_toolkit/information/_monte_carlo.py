"""Monte Carlo: from draws of both distributions, or of one and an unnormalised density."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from numpyro.distributions import Distribution
from scipy.special import logsumexp

from vi_toolkit._types import Key
from vi_toolkit.information._functionals import Functional
from vi_toolkit.information._operands import is_density, logs_at
from vi_toolkit.information.measurement import Measurement, plain

NUM_GROUPS = 50


def from_draws_of_both(
    functional: Functional, p: Distribution, q: Distribution, key: Key, num_draws: int
) -> Measurement:
    """E_p[...] where the functional has such a form, else E_m[integrand / m] for the mixture m = (p + q) / 2.

    Half of the draws come from p and half from q; no ratio p/m or q/m is above two.
    """
    check_enough(num_draws)
    key_p, key_q = jax.random.split(key)
    if functional.integrand is None:
        groups = [functional.under_p(*_logs(p, q, key_p, num_draws, p))]
    else:
        sources = ((p, key_p), (q, key_q))
        logs = [_logs(p, q, source_key, -(-num_draws // 2), source) for source, source_key in sources]
        # The integrand over m is that of p / m and q / m, which neither over- nor underflow.
        sizes = [functional.log_size(-_log_mixture(*pair), *pair) for pair in logs]
        functional = functional.rescaled(np.concatenate(sizes))
        groups = [functional.times(-_log_mixture(*pair), *pair) for pair in logs]
    value, se = _jackknife(functional.finish, groups)
    return Measurement(_known(value), se, f"Monte Carlo, {sum(map(len, groups)):,} draws")


def check_enough(num_draws: int) -> None:
    if num_draws < 2 * NUM_GROUPS:
        raise ValueError(f"num_draws: expected at least {2 * NUM_GROUPS}, for a standard error, got {num_draws}.")


def _known(value: Any) -> Any:
    if np.isnan(value).any():
        raise ValueError(
            "Monte Carlo: a log density is NaN, or infinite under p and q alike, at a draw: the draws have too few "
            "digits near a bound."
        )
    return value


def _logs(p: Distribution, q: Distribution, key: Key, num: int, source: Distribution) -> tuple[np.ndarray, np.ndarray]:
    x = np.asarray(source.sample(key, (num,)))
    return logs_at(p, x), logs_at(q, x)


def _log_mixture(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    return np.logaddexp(log_p, log_q) - np.log(2.0)


def _jackknife(finish: Callable[[np.ndarray], Any], groups: list[np.ndarray]) -> tuple[Any, Any]:
    """finish(mean over groups of the means of their rows), and its standard error by the jackknife over blocks."""
    with np.errstate(invalid="ignore"):
        means = [values.mean(axis=0) for values in groups]
        value = finish(np.mean(means, axis=0))
        variance: Any = 0.0
        for which, values in enumerate(groups):
            total, n = values.sum(axis=0), len(values)
            others = means[:which] + means[which + 1 :]
            blocks = np.array_split(values, min(NUM_GROUPS, n))
            rest = [(total - block.sum(axis=0)) / (n - len(block)) for block in blocks]
            variance = variance + squared_error([finish(np.mean([mean, *others], axis=0)) for mean in rest])
    return plain(value), plain(np.where(np.isfinite(value), np.sqrt(variance), 0.0))


def squared_error(left_out: Any) -> Any:
    """The variance of an estimate, from what it is without each of some blocks of draws of equal size."""
    count = len(left_out)
    return (count - 1) / count * np.sum((np.asarray(left_out) - np.mean(left_out, axis=0)) ** 2, axis=0)


def from_weights(functional: Functional, p: Any, q: Any, key: Key, num_draws: int) -> Measurement:
    """With one side unnormalised: draws of the other, weighed by w = p~ / q; log Z is their mean unless it is known.

    The value is the integral of integrand / r over draws of r, the side that can be drawn from.
    """
    check_enough(num_draws)
    source, density = (q, p) if is_density(p) else (p, q)
    x = np.asarray(source.sample(key, (num_draws,)))
    log_source, log_density = logs_at(source, x), logs_at(density, x.reshape(num_draws, -1))
    known = getattr(density, "log_evidence", None)

    def estimate(kept: np.ndarray) -> Any:
        log_weights = log_density[kept] - log_source[kept]
        log_evidence = float(known) if known is not None else logsumexp(log_weights) - np.log(kept.sum())
        logs = log_density[kept] - log_evidence, log_source[kept]
        log_p, log_q = logs if is_density(p) else logs[::-1]
        rescaled = functional.rescaled(functional.log_size(-logs[1], log_p, log_q))
        return rescaled.finish(rescaled.times(-logs[1], log_p, log_q).mean(axis=0))

    number = np.arange(num_draws) * NUM_GROUPS // num_draws
    with np.errstate(invalid="ignore"):
        left_out = [estimate(number != group) for group in range(NUM_GROUPS)]
        value = estimate(np.ones(num_draws, dtype=bool))
        variance = squared_error(left_out)
    log_weights = log_density - log_source
    effective = np.exp(2.0 * logsumexp(log_weights) - logsumexp(2.0 * log_weights))
    how = "importance sampling" if known is not None else "self-normalised importance sampling"
    se = plain(np.where(np.isfinite(value), np.sqrt(variance), 0.0))
    return Measurement(_known(plain(value)), se, f"{how}, {effective:,.0f} of {num_draws:,} draws effective")
