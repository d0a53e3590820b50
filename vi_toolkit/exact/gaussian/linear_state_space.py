"""A linear Gaussian state space model: hidden states that move linearly, seen through noise."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpyro
import numpyro.distributions as dist

from vi_toolkit._checks import check_finite, check_positive_int, describe
from vi_toolkit.exact._inputs import as_array
from vi_toolkit.exact.gaussian._algebra import Gaussian
from vi_toolkit.exact.gaussian._arguments import as_covariance_root, as_matrix, as_vector
from vi_toolkit.exact.gaussian._entry import as_distribution, gaussian_entry
from vi_toolkit.exact.gaussian._kalman import Chain, forecast, kalman_filter, smooth
from vi_toolkit.exact.gaussian._path import LinearGaussianPath
from vi_toolkit.exact.posterior import ExactPosterior


def linear_state_space_model(
    times: Any,
    y: Any = None,
    *,
    num_steps: int,
    transition: Any,
    transition_root: Any,
    emission: Any,
    emission_root: Any,
    initial_mean: Any,
    initial_root: Any,
) -> None:
    """states ~ LinearGaussianPath;  row i of y ~ N(emission states[times[i]], emission_root emission_root')."""
    path = LinearGaussianPath(num_steps, transition, transition_root, initial_mean, initial_root)
    states = numpyro.sample("states", path)
    numpyro.sample("y", dist.MultivariateNormal(states[times] @ emission.T, scale_tril=emission_root), obs=y)


def linear_state_space(
    y: Any,
    *,
    transition: Any,
    transition_covariance: Any,
    emission: Any,
    emission_covariance: Any,
    initial_mean: Any,
    initial_covariance: Any,
) -> ExactPosterior:
    r"""The posterior of states x_1, ..., x_T that move linearly, given noisy linear views y_t of them.

        x_1 ~ N(m, P),   x_t | x_(t-1) ~ N(F x_(t-1), Q),   y_t | x_t ~ N(H x_t, R)

    All states together are Gaussian given y. The Kalman filter gives log Z = sum_t log p(y_t | y_1, ..., y_(t-1)), and
    the smoother of Rauch, Tung and Striebel, back from x_T, the mean and the covariance of all states: with x_t of mean
    m_t and covariance P_t given y_1, ..., y_t, and the gain J_t = P_t F' (F P_t F' + Q)^-1,

        E[x_t | y] = m_t + J_t (E[x_(t+1) | y] - F m_t),   Cov[x_t, x_s | y] = J_t Cov[x_(t+1), x_s | y] for s > t

    The joint covariance is kept whole, and so the memory needed grows with (T d)^2.

    Args:
        y: the observations, of shape (T, p). A row of NaN is a time without an observation.
        transition: F, of shape (d, d).
        transition_covariance: Q, of shape (d, d), symmetric positive definite.
        emission: H, of shape (p, d).
        emission_covariance: R, of shape (p, p), symmetric positive definite.
        initial_mean: m, the prior mean of the first state x_1, of shape (d,).
        initial_covariance: P, its prior covariance, of shape (d, d), symmetric positive definite.

    Returns:
        The posterior of the site "states" of shape (T, d), of dim T d, time after time; log evidence in nats.
        ``predictive(steps)`` is the joint normal of y_(T+1), ..., y_(T+steps), of event shape (steps, p).

    Raises:
        TypeError: if an argument is not numeric, or ``steps`` is not a whole number.
        ValueError: if shapes do not fit, no row of y is observed, a row is NaN in part, an argument is infinite, or a
            covariance is not symmetric positive definite.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import exact
        >>> posterior = exact.linear_state_space(  # a random walk, not seen at its second step
        ...     [[1.0], [np.nan], [3.0]], transition=[[1.0]], transition_covariance=[[1.0]], emission=[[1.0]],
        ...     emission_covariance=[[1.0]], initial_mean=[0.0], initial_covariance=[[1.0]])
        >>> posterior.mean.round(3), posterior.sd.round(3)
        (array([0.857, 1.571, 2.286]), array([0.655, 0.926, 0.845]))
        >>> posterior.predictive(2).mean.round(3)
        Array([[2.286],
               [2.286]], dtype=...)

    Source: Sarkka (2013), Bayesian Filtering and Smoothing, sections 4.3 and 8.2, doi:10.1017/CBO9781139344203; Rauch,
    Tung and Striebel (1965), Maximum likelihood estimates of linear dynamic systems, doi:10.2514/3.3166.
    """
    y, seen = _as_series(y)
    p = y.shape[1]
    F = as_array(transition, "transition", 2)
    d = len(F)
    F = as_matrix(F, "transition", d, d, "(d, d)")
    initial_mean = as_vector(initial_mean, "initial_mean", d, "states")
    chain = Chain(
        transition=F,
        transition_root=as_covariance_root(transition_covariance, "transition_covariance", d),
        emission=as_matrix(emission, "emission", p, d, f"{(p, d)}, a row for each column of y"),
        emission_root=as_covariance_root(emission_covariance, "emission_covariance", p),
        initial=Gaussian(initial_mean, as_covariance_root(initial_covariance, "initial_covariance", d)),
    )
    filtered = kalman_filter(chain, y, seen)
    return gaussian_entry(
        "linear state space",
        smooth(chain, filtered),
        filtered.log_evidence,
        how="Kalman filter and Rauch-Tung-Striebel smoother",
        model=linear_state_space_model,
        args=(np.flatnonzero(seen),),
        kwargs={"y": y[seen], "num_steps": len(y), **_model_arguments(chain)},
        predictive=partial(_predict, chain, filtered.states[-1]),
    )


def _as_series(value: Any) -> tuple[np.ndarray, np.ndarray]:
    """y (T, p), and which of its rows were observed."""
    try:
        y = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"y: expected numbers, got {describe(value)}.") from None
    if y.ndim != 2 or y.size == 0:
        raise ValueError(f"y: expected shape (T, p), a row a time, got {describe(y)}; y[:, None] for one column.")
    missing = np.isnan(y)
    seen = ~missing.all(axis=1)
    if missing[seen].any():
        row = int(np.flatnonzero(missing.any(axis=1) & seen)[0])
        raise ValueError(f"y: row {row} is NaN in part; only rows that are NaN throughout are times not observed.")
    if not seen.any():
        raise ValueError("y: every row is NaN; at least one time must be observed.")
    check_finite(y[seen], "y")
    return y, seen


def _model_arguments(chain: Chain) -> dict[str, np.ndarray]:
    arguments = {name: value for name, value in chain._asdict().items() if name != "initial"}
    return {**arguments, "initial_mean": chain.initial.mean, "initial_root": chain.initial.root}


def _predict(chain: Chain, last: Gaussian, steps: int) -> dist.Distribution:
    steps = check_positive_int(steps, "steps")
    return as_distribution(forecast(chain, last, steps), (steps, len(chain.emission)))
