"""A mixture whose components are known, and the component of every observation unknown."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import Distribution

from vi_toolkit.exact.discrete._components import (
    as_observations,
    check_components,
    component_log_probs,
    given_state,
    mixture,
)
from vi_toolkit.exact.discrete._states import as_probabilities, draw_states, log_of
from vi_toolkit.exact.discrete.posterior import DiscretePosterior


def finite_mixture_model(num_observations: int, y: Any = None, *, weights: Any, components: Distribution) -> None:
    """x_i ~ Categorical(weights);  y_i ~ component x_i."""
    with numpyro.plate("observations", num_observations):
        x = numpyro.sample("allocations", dist.Categorical(probs=weights), infer={"enumerate": "parallel"})
        numpyro.sample("y", given_state(components, x), obs=y)


def finite_mixture(y: Any, *, weights: Any, components: Distribution) -> DiscretePosterior:
    r"""The posterior of the components x_i that observations come from: P(x_i = k) = w_k, y_i | x_i = k ~ f_k.

    Given the data the x_i are independent, with P(x_i = k | y) = w_k f_k(y_i) / f(y_i), where f = sum_k w_k f_k, and

        log Z = sum_i log f(y_i)

    Args:
        y: the observations, of shape (n,), or (n, ...) for components with an event shape.
        weights: w, of shape (K,): probabilities that sum to one.
        components: the f_k: a NumPyro distribution of batch shape (K,), one support for all, such as
            ``Normal(means, sds)`` or ``Poisson(rates)``. They are evaluated in JAX's precision, all else in float64.

    Returns:
        The posterior of "allocations", n states among 0 to K - 1; log evidence in nats. ``predictive()`` is the
        distribution f of a further observation.

    Raises:
        TypeError: if an argument is not numeric, or ``components`` is not a NumPyro distribution.
        ValueError: if shapes do not fit, the weights do not sum to one, or an observation is outside the support or
            impossible under every component.

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as dist
        >>> from vi_toolkit import exact
        >>> components = dist.Poisson(jnp.array([2.0, 8.0]))
        >>> posterior = exact.finite_mixture([1, 9], weights=[0.75, 0.25], components=components)
        >>> posterior.mode, posterior.marginals.round(3)
        (array([0, 1]), array([[0.997, 0.003],
               [0.005, 0.995]]))

    Source: Fruehwirth-Schnatter (2006), Finite Mixture and Markov Switching Models, chapter 2,
    doi:10.1007/978-0-387-35768-9.
    """
    weights = as_probabilities(weights, "weights", 1)
    check_components(components, "components", len(weights))
    y = as_observations(y, components, "y")
    log_joint = log_of(weights) + component_log_probs(components, y, "components")
    log_density = np.logaddexp.reduce(log_joint, axis=1)
    if np.isneginf(log_density).any():
        index = int(np.argmin(log_density))
        raise ValueError(f"y: {y[index]} at index {index} is impossible under every component of positive weight.")
    log_marginals = log_joint - log_density[:, None]
    marginals = np.exp(log_marginals)
    return DiscretePosterior(
        name=f"allocations to {len(weights)} known components",
        how="closed form",
        site="allocations",
        log_evidence=float(log_density.sum()),
        log_probs=partial(_log_probs, log_marginals),
        sampler=partial(_draw, marginals),
        marginals=marginals,
        mode=log_joint.argmax(axis=1),
        model=finite_mixture_model,
        args=(len(y),),
        kwargs={"y": y, "weights": weights, "components": components},
        predictive=partial(mixture, weights, components),
    )


def _log_probs(log_marginals: np.ndarray, x: np.ndarray) -> np.ndarray:
    return log_marginals[np.arange(len(log_marginals)), x].sum(axis=1)


def _draw(marginals: np.ndarray, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    return draw_states(generator, marginals, (num_draws, len(marginals)))
