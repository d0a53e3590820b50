"""A hidden Markov model whose parameters are known, and its path of states unknown."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.control_flow import scan
from numpyro.distributions import Distribution

from vi_toolkit._checks import check_positive_int
from vi_toolkit.exact.discrete._chain import Chain, backward, best_path, draw_paths, forward, log_weights, normalised
from vi_toolkit.exact.discrete._components import (
    Mixture,
    as_observations,
    check_components,
    component_log_probs,
    mixture,
)
from vi_toolkit.exact.discrete._states import as_probabilities, log_of
from vi_toolkit.exact.discrete.posterior import DiscretePosterior


def hidden_markov_model(y: Any, *, initial: Any, transition: Any, emission: Distribution) -> None:
    """x_0 ~ Categorical(initial);  x_t+1 ~ Categorical(row x_t of transition);  y_t ~ emission of state x_t.

    The observations enter as log f_k(y_t) at k = x_t. NumPyro's enumeration over a scan is right for a Delta with this
    log density, and not for a factor.
    """
    transition = jnp.asarray(transition)

    def step(probs: Any, log_probs: Any) -> tuple[Any, None]:
        x = numpyro.sample("states", dist.Categorical(probs=probs), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Delta(jnp.zeros(jnp.shape(x)), log_probs[x]), obs=jnp.zeros(()))
        return transition[x], None

    scan(step, jnp.asarray(initial), emission.log_prob(jnp.asarray(y)[:, None]))


def hidden_markov(y: Any, *, initial: Any, transition: Any, emission: Distribution) -> DiscretePosterior:
    r"""The posterior of the path x of a Markov chain of K states that is seen through y_t ~ f_k where x_t = k.

    With P(x_0 = k) = pi_k and P(x_t+1 = l | x_t = k) = A_kl, the recursions forward and backward in time,

        a_0(k) = pi_k f_k(y_0),   a_t+1(l) = f_l(y_t+1) sum_k a_t(k) A_kl
        b_T-1(k) = 1,             b_t(k) = sum_l A_kl f_l(y_t+1) b_t+1(l)

    give Z = sum_k a_T-1(k), P(x_t = k | y) = a_t(k) b_t(k) / Z, P(x_t = k, x_t+1 = l | y) = a_t(k) A_kl f_l(y_t+1)
    b_t+1(l) / Z, and draws of whole paths, backward in time. ``mode`` is the most probable path, by Viterbi's
    recursion: it need not consist of each step's most probable state. All sums are of logarithms.

    Args:
        y: the observations in order of time, of shape (T,), or (T, ...) for an emission with an event shape.
        initial: pi, of shape (K,): probabilities that sum to one.
        transition: A, of shape (K, K): row k has the probabilities of the state after state k, and sums to one.
        emission: the f_k: a NumPyro distribution of batch shape (K,), one support for all, such as
            ``Normal(means, sds)``, ``Poisson(rates)`` or ``Categorical(probs)``, the last with probs of shape
            (K, categories). It is evaluated in JAX's precision, all else in float64.

    Returns:
        The posterior of "states", T states among 0 to K - 1; log evidence in nats. ``pair_marginals`` are those of
        neighbours, of shape (T - 1, K, K). ``predictive(steps=1)`` is the distribution of y_T-1+steps.

    Raises:
        TypeError: if an argument is not numeric, or ``emission`` is not a NumPyro distribution.
        ValueError: if shapes do not fit, probabilities do not sum to one, or an observation is outside the support;
            or if y is impossible.

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as dist
        >>> from vi_toolkit import exact
        >>> posterior = exact.hidden_markov(
        ...     [0, 1, 0, 5, 0, 7, 6], initial=[0.5, 0.5], transition=[[0.9, 0.1], [0.1, 0.9]],
        ...     emission=dist.Poisson(jnp.array([1.0, 5.0])))
        >>> posterior.mode, posterior.marginals[:, 1].round(2)
        (array([0, 0, 0, 1, 1, 1, 1]), array([0.  , 0.  , 0.01, 0.64, 0.39, 1.  , 1.  ]))

    Source: Rabiner (1989), A tutorial on hidden Markov models and selected applications in speech recognition,
    doi:10.1109/5.18626; the draws are those of Scott (2002), Bayesian methods for hidden Markov models,
    doi:10.1198/016214502753479464.
    """
    initial, transition = as_probabilities(initial, "initial", 1), as_probabilities(transition, "transition", 2)
    K = len(initial)
    if transition.shape != (K, K):
        raise ValueError(f"transition: expected shape ({K}, {K}), as initial has {K} states, got {transition.shape}.")
    check_components(emission, "emission", K)
    y = as_observations(y, emission, "y")
    chain = Chain(log_of(initial), log_of(transition), component_log_probs(emission, y, "emission"))
    alpha, beta = forward(chain), backward(chain)
    log_evidence = float(np.logaddexp.reduce(alpha[-1]))
    if np.isneginf(log_evidence):
        index = int(np.argmax(np.isneginf(alpha).all(axis=1)))
        raise ValueError(f"y: it is impossible: no path of positive probability explains it up to index {index}.")
    onward = (chain.local + beta)[1:]
    pairs = alpha[:-1, :, None] + chain.transition + onward[:, None, :]
    return DiscretePosterior(
        name=f"hidden Markov model of {K} states",
        how="forward and backward sums",
        site="states",
        log_evidence=log_evidence,
        log_probs=partial(_log_probs, chain, log_evidence),
        sampler=partial(draw_paths, chain, alpha),
        marginals=np.exp(alpha + beta - log_evidence),
        mode=best_path(chain),
        model=hidden_markov_model,
        args=(y,),
        kwargs={"initial": initial, "transition": transition, "emission": emission},
        pair_marginals=np.exp(pairs - log_evidence),
        predictive=partial(_predictive, normalised(alpha[-1]), transition, emission),
    )


def _log_probs(chain: Chain, log_evidence: float, paths: np.ndarray) -> np.ndarray:
    return log_weights(chain, paths) - log_evidence


def _predictive(last: np.ndarray, transition: np.ndarray, emission: Distribution, steps: int = 1) -> Mixture:
    """The distribution of the observation ``steps`` after the last one, whose state has the probabilities ``last``."""
    steps = check_positive_int(steps, "steps")
    return mixture(last @ np.linalg.matrix_power(transition, steps), emission)
