"""The Fisher divergence: how much the slopes of two log densities differ."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from vi_toolkit._checks import check_positive_int
from vi_toolkit._types import Key
from vi_toolkit.information import _closed_forms
from vi_toolkit.information._charts import event_shape
from vi_toolkit.information._measure import check_against_density, check_needed_key, check_spaces
from vi_toolkit.information._monte_carlo import check_enough
from vi_toolkit.information._operands import EXPECTED, Vectors, as_operand, in_chunks, is_density, logs_at, scores
from vi_toolkit.information._quadrature import integrate, space_of
from vi_toolkit.information.measurement import Measurement
from vi_toolkit.information.sample import Sample


def fisher_divergence(p: Any, q: Any, *, key: Key | None = None, num_draws: int = 10_000) -> Measurement:
    r"""F(p‖q) = ∫ p(x) |∇ log p(x) - ∇ log q(x)|^2 dx, which no normaliser enters.

    It depends on the coordinates: its unit is one over that of x, squared. It does not see the weights of modes that
    lie far apart.

    Args:
        p: a continuous NumPyro distribution; or in one and two dimensions a target (an unnormalised log density).
        q: another on the same space, or a target.
        key: a JAX random key, needed where only Monte Carlo is left.
        num_draws: how many draws of p Monte Carlo takes.

    Returns:
        The divergence, its standard error, and the route to it.

    Raises:
        TypeError: if p or q is neither a distribution nor a target.
        ValueError: if one is discrete, their shapes differ, or p would have to be drawn from and cannot be.

    Example:
        >>> import numpyro.distributions as dist
        >>> from vi_toolkit import information
        >>> information.fisher_divergence(dist.Normal(0.0, 1.0), dist.Normal(2.0, 1.0)).value
        4.0

    Source: Hyvaerinen (2005), Estimation of non-normalized statistical models by score matching, JMLR 6, 695.
    """
    p, q = as_operand(p, "p"), as_operand(q, "q")
    num_draws = check_positive_int(num_draws, "num_draws")
    for operand, name in ((p, "p"), (q, "q")):
        if isinstance(operand, (Vectors, Sample)):
            raise TypeError(f"{name}: expected a continuous distribution or a target, got another of: {EXPECTED}.")
        if not is_density(operand) and (operand.is_discrete or operand.batch_shape):
            raise ValueError(f"{name}: expected one continuous distribution, got {type(operand).__name__}.")
    if is_density(p) or is_density(q):
        check_against_density(p, q)
    else:
        check_spaces(p, q)
        closed = _closed_forms.fisher(p, q)
        if closed is not None:
            return Measurement(closed, 0.0, "closed form")
    space = space_of(p, q)
    integral = None if space is None else integrate(partial(_integrand, p, q), space)
    if integral is not None:
        error = np.where(np.isfinite(integral.error), integral.error, 0.0)
        return Measurement(float(integral.value[0]), float(error[0]), "quadrature")
    return _monte_carlo(p, q, key, num_draws)


def _integrand(
    p: Any, q: Any, x: np.ndarray, log_volume: np.ndarray, log_p: np.ndarray, log_q: np.ndarray
) -> np.ndarray:
    mass = np.exp(log_p + log_volume)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(mass > 0.0, mass * _squared_difference(p, q, x, log_q), 0.0)[:, None]


def _squared_difference(p: Any, q: Any, x: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """|∇ log p - ∇ log q|^2 at every row of x; infinite where q is zero and has no slope."""
    slopes = [in_chunks(scores, each, x.reshape(len(x), *event_shape(each))) for each in (p, q)]
    of_p, of_q = (slope.reshape(len(x), -1) for slope in slopes)
    return np.where(log_q > -np.inf, np.sum((of_p - of_q) ** 2, axis=1), np.inf)


def _monte_carlo(p: Any, q: Any, key: Any, num_draws: int) -> Measurement:
    if is_density(p):
        raise ValueError("p: in more than two dimensions it must be a distribution, since its draws are needed.")
    check_needed_key("Fisher divergence", key)
    check_enough(num_draws)
    x = np.asarray(p.sample(key, (num_draws,)))
    values = _squared_difference(p, q, x, logs_at(q, x))
    with np.errstate(invalid="ignore"):
        value, se = float(values.mean()), float(values.std(ddof=1) / np.sqrt(num_draws))
    return Measurement(value, se if np.isfinite(value) else 0.0, f"Monte Carlo, {num_draws:,} draws")
