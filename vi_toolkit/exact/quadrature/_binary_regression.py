"""What the regressions of binary data share: their checks, and their posterior by quadrature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpyro.distributions as dist

from vi_toolkit._checks import describe
from vi_toolkit.exact._inputs import as_array, as_counts, as_regression, as_trials
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.exact.quadrature._integrate import integrate, posterior_nodes
from vi_toolkit.exact.quadrature.grid import TOLERANCES, summarise
from vi_toolkit.targets import from_numpyro

Link = Callable[[np.ndarray], np.ndarray]  # from x . beta to a probability


def binary_regression(
    name: str, model: Callable[..., None], link: Link, X: Any, y: Any, *, trials: Any, prior_sd: Any
) -> ExactPosterior:
    """The posterior of ``model``, whose y_i ~ Binomial(trials_i, link(x_i . beta)) with normal priors."""
    X, y = as_regression(X, y)
    y = as_counts(y, "y")
    if X.shape[1] not in TOLERANCES:
        raise ValueError(
            f"X: expected one to three columns, got {X.shape[1]}. For more coefficients, vi.exact.reference runs NUTS."
        )
    args = (X,)
    numbers = as_trials(trials, y, "y", "Counts of successes need trials=.")
    kwargs = {"y": y, "trials": numbers, "prior_sd": _prior_sds(prior_sd, X.shape[1])}
    integral = integrate(from_numpyro(model, *args, **kwargs), TOLERANCES[X.shape[1]])
    posterior = summarise(integral)
    return replace(
        posterior,
        name=name,
        constrained_moments={"beta": (posterior.mean, posterior.sd)},
        predictive=partial(_predictive, link, *posterior_nodes(integral)),
        model=model,
        args=args,
        kwargs=kwargs,
    )


def _predictive(link: Link, beta: np.ndarray, weights: np.ndarray, X: Any) -> dist.Distribution:
    """The probability of a one, in each row: sum_k w_k link(x . beta_k) over the nodes of the quadrature."""
    X = as_array(X, "X", 2)
    if X.shape[1] != beta.shape[1]:
        raise ValueError(f"X: expected new rows of {beta.shape[1]} columns, as the data have, got {describe(X)}.")
    probs = np.array([weights @ link(beta @ x) for x in X])
    return dist.Bernoulli(probs=np.clip(probs, 0.0, 1.0))


def _prior_sds(prior_sd: Any, dim: int) -> np.ndarray:
    sds = as_array(np.atleast_1d(np.asarray(prior_sd)), "prior_sd", 1)
    if sds.shape not in ((1,), (dim,)):
        raise ValueError(f"prior_sd: expected one number or {dim}, one for each column of X, got {len(sds)}.")
    if (sds <= 0).any():
        raise ValueError(f"prior_sd: expected numbers above 0, got {sds.min()}.")
    return np.broadcast_to(sds, (dim,)).copy()
