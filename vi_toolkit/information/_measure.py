"""Which way a measure is found: a closed form, an exact sum, quadrature, Monte Carlo, or nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpyro.distributions import Distribution

from vi_toolkit._checks import check_key, check_positive_int
from vi_toolkit.information import _closed_forms, _monte_carlo
from vi_toolkit.information._charts import event_shape
from vi_toolkit.information._discrete import outcomes_of, sum_outcomes
from vi_toolkit.information._functionals import Functional
from vi_toolkit.information._operands import EXPECTED, Vectors, as_operand, is_density
from vi_toolkit.information._quadrature import integrate_functional, space_of
from vi_toolkit.information.measurement import Measurement, plain
from vi_toolkit.information.sample import Sample


class Measure(NamedTuple):
    """A functional with its closed forms, and how it is estimated from draws."""

    functional: Functional
    closed_form: Callable[[Distribution, Distribution], Any] = _closed_forms.none
    from_draws: Callable[[Sample, Sample], Measurement] | None = None


def take(measure: Measure, p: Any, q: Any, *, key: Any = None, num_draws: int = 10_000) -> Measurement:
    """The measure of p and q, in nats."""
    p, q = as_operand(p, "p"), as_operand(q, "q")
    num_draws = check_positive_int(num_draws, "num_draws")
    if key is not None:
        check_key(key)
    if isinstance(p, Vectors) and isinstance(q, Vectors):
        return _over_vectors(measure.functional, p, q)
    if isinstance(p, Sample) and isinstance(q, Sample):
        if measure.from_draws is None:
            raise ValueError(f"{measure.functional.name}: it cannot be estimated from two sets of draws.")
        return measure.from_draws(p, q)
    if any(isinstance(operand, (Vectors, Sample)) for operand in (p, q)):
        raise TypeError(
            f"{measure.functional.name}: expected p and q of one kind, got {_kind(p)} and {_kind(q)}. Each may be "
            f"{EXPECTED}."
        )
    if is_density(p) or is_density(q):
        return _with_density(measure.functional, p, q, key, num_draws)
    check_spaces(p, q)
    closed = measure.closed_form(p, q)
    if closed is not None:
        return _exact(closed, "closed form")
    if p.batch_shape or q.batch_shape:
        raise ValueError(
            f"{measure.functional.name}: there is no closed form of {_kind(p)} and {_kind(q)}, and only closed forms "
            f"take a batch, got batch shapes {p.batch_shape} and {q.batch_shape}. Write .to_event(), which makes one "
            "distribution of them, or take them one by one."
        )
    return _without_closed_form(measure.functional, p, q, key, num_draws)


def check_spaces(p: Distribution, q: Distribution) -> None:
    """Raises unless two distributions are of the same space."""
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"q: expected event shape {p.event_shape}, that of p ({_kind(p)}), got {q.event_shape} ({_kind(q)})."
        )
    if p.is_discrete != q.is_discrete:
        raise ValueError(f"q: {_kind(p)} and {_kind(q)} are not of one space: only one of them is discrete.")
    try:
        np.broadcast_shapes(p.batch_shape, q.batch_shape)
    except ValueError:
        raise ValueError(
            f"q: expected a batch shape that goes with p's, {p.batch_shape}, got {q.batch_shape}."
        ) from None


def _over_vectors(functional: Functional, p: Vectors, q: Vectors) -> Measurement:
    """The sum over the last axis; the other axes broadcast."""
    first, second = p.probabilities, q.probabilities
    if first.shape[-1] != second.shape[-1]:
        raise ValueError(
            f"q: expected {first.shape[-1]} outcomes along the last axis, as p has, got {second.shape[-1]}."
        )
    try:
        first, second = np.broadcast_arrays(first, second)
    except ValueError:
        raise ValueError(f"q: expected a shape that goes with p's, {first.shape}, got {second.shape}.") from None
    with np.errstate(divide="ignore"):
        logs = np.log(first), np.log(second)
    functional = functional.rescaled(functional.log_size(0.0, *logs))
    return _exact(functional.finish(functional.times(0.0, *logs).sum(axis=-2)), "exact sum")


def _exact(value: Any, route: str) -> Measurement:
    return Measurement(plain(value), plain(np.zeros(np.shape(value))), route)


def _without_closed_form(functional: Functional, p: Any, q: Any, key: Any, num_draws: int) -> Measurement:
    if p.is_discrete:
        outcomes = outcomes_of(p, q)
        summed = None if outcomes is None else sum_outcomes(functional, p, q, outcomes)
        if summed is not None:
            return Measurement(plain(summed[0]), plain(summed[1]), "exact sum")
    else:
        found = _by_quadrature(functional, p, q)
        if found is not None:
            return found
    check_needed_key(functional.name, key)
    return _monte_carlo.from_draws_of_both(functional, p, q, key, num_draws)


def _by_quadrature(functional: Functional, p: Any, q: Any) -> Measurement | None:
    space = space_of(p, q)
    found = None if space is None else integrate_functional(functional, space)
    if found is None:
        return None
    functional, integral = found
    value = functional.finish(integral.value)
    nearby = functional.finish(integral.value + np.where(np.isfinite(integral.error), integral.error, 0.0))
    with np.errstate(invalid="ignore"):
        error = np.where(np.isfinite(value), np.abs(nearby - value), 0.0)
    return Measurement(plain(value), plain(error), "quadrature")


def _with_density(functional: Functional, p: Any, q: Any, key: Any, num_draws: int) -> Measurement:
    """Where one of the two, or both, are unnormalised."""
    check_against_density(p, q)
    found = _by_quadrature(functional, p, q)
    if found is not None:
        return found
    if is_density(p) and is_density(q):
        raise ValueError(
            f"{functional.name}: in {p.dim} dimensions one of p and q must be a distribution to draw from."
        )
    check_needed_key(functional.name, key)
    return _monte_carlo.from_weights(functional, p, q, key, num_draws)


def check_against_density(p: Any, q: Any) -> None:
    """Raises unless two operands, one an unnormalised density, are of the same R^dim."""
    for operand, name in ((p, "p"), (q, "q")):
        if not is_density(operand) and (operand.is_discrete or operand.batch_shape or len(operand.event_shape) > 1):
            raise ValueError(
                f"{name}: expected one continuous distribution of a number or a vector beside a target, got "
                f"{_kind(operand)} with batch shape {operand.batch_shape} and event shape {operand.event_shape}."
            )
    dims = [int(np.prod(event_shape(operand))) for operand in (p, q)]
    if dims[0] != dims[1]:
        raise ValueError(f"q: expected dim {dims[0]}, that of p, got {dims[1]}.")


def check_needed_key(name: str, key: Any) -> Any:
    """The random key, which is asked for where nothing but Monte Carlo is left."""
    if key is None:
        raise ValueError(
            f"key: {name} of these two has no closed form, sum or quadrature, and Monte Carlo needs a random key: pass "
            "key=jax.random.key(0)."
        )
    check_key(key)
    return key


def _kind(operand: Any) -> str:
    if isinstance(operand, Vectors):
        return "a probability vector"
    if isinstance(operand, Sample):
        return repr(operand)
    return type(operand).__name__
