"""What logistic and probit regression share: inputs, the grid, and the probability of a new response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from vi_toolkit._checks import check_positive, describe
from vi_toolkit.exact._inputs import as_array, as_regression
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.exact.quadrature._nodes import Nodes, nodes_of
from vi_toolkit.exact.quadrature.grid import grid
from vi_toolkit.targets import from_numpyro

MAX_COEFFICIENTS = 3

Link = Callable[[np.ndarray], np.ndarray]  # from x . beta to the probability of a one


def binary_regression(
    name: str, model: Callable[..., Any], link: Link, X: Any, y: Any, prior_sd: Any
) -> ExactPosterior:
    """The posterior of "beta" by quadrature, with its moments and what it predicts."""
    X, y = as_regression(X, y)
    if not np.isin(y, (0.0, 1.0)).all():
        index = int(np.argmax(~np.isin(y, (0.0, 1.0))))
        raise ValueError(f"y: expected zeros and ones, got {y[index]} at index {index}.")
    if X.shape[1] > MAX_COEFFICIENTS:
        raise ValueError(
            f"X: expected at most {MAX_COEFFICIENTS} columns, since the posterior is found by quadrature, got "
            f"{describe(X)}. For more, vi.exact.reference runs NUTS."
        )
    args, kwargs = (X,), {"y": y, "prior_sd": np.asarray(check_positive(prior_sd, "prior_sd"))}
    posterior = grid(from_numpyro(model, *args, **kwargs))
    return replace(
        posterior,
        name=name,
        constrained_moments={"beta": (posterior.mean, posterior.sd)},
        predictive=partial(_predict, link, nodes_of(posterior)),
        model=model,
        args=args,
        kwargs=kwargs,
    )


def _predict(link: Link, nodes: Nodes, X: Any) -> dist.Distribution:
    """New responses at rows X (new rows, d), each on its own: P(y = 1) = E[link(x . beta)]."""
    X = as_array(X, "X", 2)
    if X.shape[1] != nodes.z.shape[1]:
        raise ValueError(
            f"X: expected rows of {nodes.z.shape[1]} entries, as many as the design had columns, got {X.shape[1]}."
        )
    probability = np.array([nodes.weights @ link(nodes.z @ row) for row in X])
    return dist.Bernoulli(probs=jnp.asarray(np.clip(probability, 0.0, 1.0)))
