"""Bias and variance of the gradients that objectives and their estimators give, per unit of work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from vi_toolkit._checks import check_instance, check_key, check_positive_int, describe
from vi_toolkit._gradient_points import Point, find_points
from vi_toolkit._types import Key, Params, Scalar
from vi_toolkit.algorithms import gradient
from vi_toolkit.fit import Fit
from vi_toolkit.guides import Guide
from vi_toolkit.objectives import Objective
from vi_toolkit.targets import Target

CHUNK = 50  # gradients in one call of the compiled program; the spread between chunks is the error of the variance
LONG_RUN = 10  # times as many gradients for a reference that is a run itself

Reference = str | Callable[[Params], Scalar] | None
Flat = Float[np.ndarray, "entries"]
FlatArray = Float[Array, "entries"]


@dataclass(frozen=True, eq=False)
class GradientVariance:
    """Bias and variance of the gradients of several objectives.

    With g one estimate of the gradient in the guide's own coordinates, all its entries together, and nats throughout:

    Attributes:
        table: one row for each point and objective. ``point``, ``step`` (of the fit; -1 for a point that is of none),
            ``objective``, ``estimator``, ``num_draws``; ``work``, log-density gradients for one g, a bare density
            counting a third; ``gradient`` = |E g| and ``gradient se``; ``variance`` = E |g - E g|^2 and
            ``variance se``; ``variance x work``, the smaller the better: the variance for a given budget;
            ``signal to noise`` = |E g| / sqrt(variance); ``bias`` = |E g - reference| and ``bias se``, if there is a
            reference; ``non-finite``, the share of estimates that were left out for that. The errors of ``gradient``
            and ``bias`` are the root mean square of the whole vector's, so that an unbiased estimator shows a bias of
            about one of them.
        repeats: estimates of each gradient.
        reference: what the bias is against, in words; None without.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
        >>> params = {"location": jnp.zeros(1), "log_scale": jnp.zeros(1)}  # q = p
        >>> found = vi.gradient_variance(jax.random.key(0), target, vi.MeanFieldNormal(), {"STL": vi.ReverseKL()},
        ...     params=params, num_draws=4, repeats=100)
        >>> found.table[["objective", "estimator", "work", "variance"]].values.tolist()
        [['STL', 'stick_the_landing', 4.0, 0.0]]
    """

    table: pd.DataFrame
    repeats: int
    reference: str | None

    def __str__(self) -> str:
        return str(self.table.to_string(index=False, float_format="{:.3g}".format))


def gradient_variance(
    key: Key,
    target: Target,
    guide: Guide,
    objectives: Mapping[str, Objective],
    *,
    params: Params | list[Params] | None = None,
    fit: Fit | None = None,
    num_points: int = 1,
    num_draws: int | None = None,
    repeats: int = 1000,
    reference: Reference = None,
) -> GradientVariance:
    """Measures bias and variance of each objective's gradient at given points, at the start, or along a fit.

    Gradients are taken in the guide's own coordinates (`Guide.move` at a zero step), as a fit takes them, so that the
    units of the model do not matter. All objectives are given the same keys, so that a row does not change when others
    are added. Objectives that carry something from step to step are measured by their `loss`, which does not.

    Args:
        key: a JAX random key.
        target: from `vi.from_numpyro`, `vi.from_log_density` or `vi.from_log_mass`.
        guide: the family whose parameters the gradients are of.
        objectives: {name: objective}, such as ``{"STL": vi.ReverseKL(), "score": vi.ReverseKL(score_function)}``.
        params: parameters of the guide, or a list of such; by default, and without a ``fit``, those that a fit would
            start from.
        fit: a fit of this guide, at whose parameters the gradients are taken.
        num_points: with a ``fit``, how many points of its path: 1 is its result. From 2 on the first is its start, the
            last its result, and those between are the parameters at steps that are spaced geometrically; the fit is run
            again for them, with the key that it was run with.
        num_draws: draws for one gradient; by default each objective's own number.
        repeats: estimates of each gradient, rounded up to a multiple of 50, and at least 100.
        reference: what the bias is against: the exact loss as a JAX function of the parameters, which is
            differentiated; or the name of one of the objectives, of which a further run of 10 x ``repeats`` is the
            reference. It makes sense for objectives of the same loss.

    Returns:
        The table; `vi.plot_gradient_variance` draws it.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if there are no objectives, an estimator is not valid for the guide, the parameters or the fit are
            not the guide's, both are given, or ``reference`` is not among the objectives.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum((z - 1.0) ** 2), dim=1)
        >>> objectives = {"STL": vi.ReverseKL(), "score": vi.ReverseKL(vi.estimators.score_function)}
        >>> params = {"location": jnp.zeros(1), "log_scale": 0.5 * jnp.ones(1)}
        >>> found = vi.gradient_variance(
        ...     jax.random.key(0), target, vi.MeanFieldNormal(), objectives, params=params, reference="STL")
        >>> table = found.table.set_index("objective")
        >>> bool(table["variance"]["score"] > 2 * table["variance"]["STL"])
        True
        >>> bool((table["bias"] < 5 * table["bias se"]).all())
        True

    Source: Geffner & Domke (2018), Using large ensembles of control variates for variational inference,
    arXiv:1810.12482 (variance against cost).
    """
    check_key(key)
    check_instance(
        target, Target, "target", "Make one with vi.from_numpyro(model, ...) or vi.from_log_density(f, dim=...)."
    )
    check_instance(guide, Guide, "guide", "Use for example vi.FullRankNormal().")
    repeats = max(2 * CHUNK, -(-check_positive_int(repeats, "repeats") // CHUNK) * CHUNK)
    _check_objectives(objectives, target, guide, num_draws)
    _check_reference(reference, objectives)
    key_start, key_run, key_reference = jax.random.split(key, 3)
    rows = []
    for point in find_points(key_start, target, guide, params, fit, num_points):
        exact = _reference_at(reference, objectives, target, guide, point.params, num_draws, repeats, key_reference)
        for name, objective in objectives.items():
            draws = _draws(objective, num_draws)
            found = _measure(objective, target, guide, point.params, draws, _chunks(key_run, repeats))
            rows.append(_row(point, name, objective, draws, objective.gradients_over(guide, draws), found, exact))
    words = reference if reference is None or isinstance(reference, str) else "the exact loss"
    return GradientVariance(pd.DataFrame(rows), repeats, words)


class _Measured(NamedTuple):
    """Moments of one gradient estimate g."""

    mean: Flat
    mean_se: float  # root mean square of |mean - E g|
    variance: float
    variance_se: float
    non_finite: float


@partial(jax.jit, static_argnames=("guide", "num_draws"))
def _gradients(
    objective: Objective, target: Target, params: Params, keys: Any, guide: Guide, num_draws: int
) -> Float[Array, "keys entries"]:
    """d loss(move(params, step)) / d step at step = 0, for every key; NaN where the loss is not finite."""

    def one(key: Key) -> Any:
        return _in_own_coordinates(guide, params, lambda p: objective.loss(key, p, guide, target, num_draws)[0])

    return jax.vmap(one)(keys)


def _in_own_coordinates(guide: Guide, params: Params, loss: Callable[[Params], Scalar]) -> FlatArray:
    zero = jax.tree.map(jnp.zeros_like, params)
    value, slope = jax.value_and_grad(lambda step: loss(guide.move(params, step)))(zero)
    return jnp.where(jnp.isfinite(value), ravel_pytree(slope)[0], jnp.nan)


def _measure(
    objective: Objective, target: Target, guide: Guide, params: Params, num_draws: int, chunks: list[Any]
) -> _Measured:
    """Means and variances of finite gradients, chunk by chunk in float64."""
    means, variances, counts = [], [], []
    for keys in chunks:
        found = np.asarray(_gradients(objective, target, params, keys, guide, num_draws), np.float64)
        finite = found[np.isfinite(found).all(axis=1)]
        if len(finite) < 2:
            continue
        means.append(finite.mean(axis=0))
        with np.errstate(over="ignore"):  # the variance is infinite then
            variances.append((finite - finite[0]).var(axis=0, ddof=1).sum())  # exactly zero where all are the same
        counts.append(len(finite))
    if not counts:
        nowhere = np.full(len(found[0]), np.nan)
        return _Measured(nowhere, np.nan, np.nan, np.nan, 1.0)
    variance = float(np.average(variances, weights=counts))
    variance_se = float(np.std(variances, ddof=1) / np.sqrt(len(counts))) if len(counts) > 1 else np.nan
    num_finite = sum(counts)
    mean, left_out = np.average(means, axis=0, weights=counts), 1 - num_finite / (CHUNK * len(chunks))
    return _Measured(mean, (variance / num_finite) ** 0.5, variance, variance_se, left_out)


def _reference_at(
    reference: Reference,
    objectives: Mapping[str, Objective],
    target: Target,
    guide: Guide,
    params: Params,
    num_draws: int | None,
    repeats: int,
    key: Key,
) -> tuple[Flat, float] | None:
    """The gradient that is taken for the truth, and its standard error."""
    if reference is None:
        return None
    if callable(reference):
        return np.asarray(_in_own_coordinates(guide, params, reference), np.float64), 0.0
    objective = objectives[reference]
    chunks = _chunks(key, LONG_RUN * repeats)
    found = _measure(objective, target, guide, params, _draws(objective, num_draws), chunks)
    return found.mean, found.mean_se


def _row(
    point: Point,
    name: str,
    objective: Objective,
    num_draws: int,
    work: float,
    found: _Measured,
    exact: tuple[Flat, float] | None,
) -> dict[str, Any]:
    size = float(np.linalg.norm(found.mean))
    row = {
        "point": point.name,
        "step": point.step,
        "objective": name,
        "estimator": getattr(getattr(objective, "estimator", None), "name", "its own"),
        "num_draws": num_draws,
        "work": work,
        "gradient": size,
        "gradient se": found.mean_se,
        "variance": found.variance,
        "variance se": found.variance_se,
        "variance x work": found.variance * work,
        "signal to noise": size / found.variance**0.5 if found.variance else (np.inf if size else 0.0),
    }
    if exact is not None:
        row["bias"] = float(np.linalg.norm(found.mean - exact[0]))
        row["bias se"] = float(np.hypot(found.mean_se, exact[1]))
    return row | {"non-finite": found.non_finite}


def _chunks(key: Key, repeats: int) -> list[Any]:
    return list(jax.random.split(key, (repeats // CHUNK, CHUNK)))


def _draws(objective: Objective, num_draws: int | None) -> int:
    return objective.num_draws if num_draws is None else num_draws


def _check_objectives(objectives: Any, target: Target, guide: Guide, num_draws: int | None) -> None:
    hint = 'Write for example {"reverse KL": vi.ReverseKL()}.'
    if not isinstance(objectives, Mapping) or not all(isinstance(name, str) for name in objectives):
        raise TypeError(f"objectives: expected a dict of names and objectives, got {describe(objectives)}. {hint}")
    if not objectives:
        raise ValueError(f"objectives: expected at least one, got none. {hint}")
    for name, objective in objectives.items():
        check_instance(objective, Objective, f"objectives[{name!r}]", "Use for example vi.ReverseKL().")
        gradient(guide, objective, num_draws=num_draws).check(target)


def _check_reference(reference: Any, objectives: Mapping[str, Objective]) -> None:
    if reference is None or callable(reference):
        return
    if not isinstance(reference, str):
        raise TypeError(f"reference: expected a loss or the name of an objective, got {describe(reference)}.")
    if reference not in objectives:
        raise ValueError(f"reference: expected one of the objectives {list(objectives)}, got {reference!r}.")
