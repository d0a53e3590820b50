"""Where the intensity of Poisson counts changes."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import gammaln

from vi_toolkit.exact.discrete._regimes import find_regimes, next_count
from vi_toolkit.exact.discrete._states import draw_states
from vi_toolkit.exact.discrete.posterior import DiscretePosterior


def change_point_location_model(counts: Any, *, shape: Any, rate: Any) -> None:
    """tau ~ Uniform{1, ..., n - 1}, and the evidence of the early and of the late counts as a factor."""
    n = len(counts)
    prior = jnp.append(0.0, jnp.full(n - 1, 1.0 / (n - 1)))
    tau = numpyro.sample("tau", dist.Categorical(probs=prior), infer={"enumerate": "parallel"})
    totals = jnp.append(0.0, jnp.cumsum(counts))  # of the first 0, 1, ..., n counts

    def log_evidence(total: Any, length: Any) -> Any:
        a = shape + total
        return shape * jnp.log(rate) - gammaln(shape) + gammaln(a) - a * jnp.log(rate + length)

    of_regimes = log_evidence(totals[tau], tau) + log_evidence(totals[n] - totals[tau], n - tau)
    numpyro.factor("counts", of_regimes - jnp.sum(gammaln(jnp.asarray(counts) + 1.0)))


def change_point_location(counts: Any, *, shape: float, rate: float) -> DiscretePosterior:
    r"""The posterior of the place tau where the intensity of Poisson counts changes; both intensities integrated out.

    y_t ~ Poisson(early) for t < tau and Poisson(late) for t >= tau, t = 0..n-1; early and late ~ Gamma(shape, rate),
    tau uniform on 1..n-1. With S_tau the sum of the first tau counts,

        P(tau | y) proportional to m(S_tau, tau) m(S_n - S_tau, n - tau)
        m(s, l) = G(shape + s) / (rate + l)^(shape + s)

    where m(s, l) is the evidence of l counts of sum s up to a factor, and G is the gamma function. `change_point` has
    the same model, with tau summed out and the intensities kept.

    Args:
        counts: the counts y_t in order of time, of shape (n,), n at least 2.
        shape: shape of the prior of both intensities, above 0.
        rate: rate of this prior, above 0: the prior mean is shape / rate.

    Returns:
        The posterior of "tau": one state among 0 to n - 1, the index of the first late count; 0 has probability 0. Log
        evidence in nats. ``predictive()`` is the distribution of the count after the last.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if there are fewer than 2 counts, one is negative or not whole, or ``shape`` or ``rate`` is not
            positive.

    Example:
        >>> from vi_toolkit import datasets, exact
        >>> posterior = exact.change_point_location(datasets.COAL_MINING_DISASTERS, shape=1.0, rate=1.0)
        >>> datasets.COAL_MINING_YEARS[posterior.mode], round(float(posterior.marginals.max()), 3)
        (np.int64(1892), 0.245)

    Source: Carlin, Gelfand and Smith (1992), Hierarchical Bayesian analysis of changepoint problems,
    doi:10.2307/2347570.
    """
    y, shape, rate, regimes = find_regimes(counts, shape, rate)
    log_probs = np.append(-np.inf, regimes.log_weights)
    probs = np.exp(log_probs)
    return DiscretePosterior(
        name="location of a change point",
        how=f"sums over {len(y) - 1} places",
        site="tau",
        log_evidence=regimes.log_evidence,
        log_probs=partial(np.take, log_probs),
        sampler=partial(_draw, probs),
        marginals=probs,
        mode=np.asarray(probs.argmax()),
        model=change_point_location_model,
        args=(y,),
        kwargs={"shape": np.asarray(shape), "rate": np.asarray(rate)},
        predictive=partial(next_count, regimes),
    )


def _draw(probs: np.ndarray, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    return draw_states(generator, probs, (num_draws,))
