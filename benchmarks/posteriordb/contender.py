"""What a method of the bench is: a function from a problem and a seed to an approximation of its posterior."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from benchmarks.posteriordb.problems import Problem


@dataclass(frozen=True)
class Fitted:
    """An approximation q of a posterior p on R^dim.

    Attributes:
        sample: (JAX key, num_draws) -> draws of q (num_draws, dim), and log q at them (num_draws,) or None where the
            library does not give it.
        log_density: points (points, dim) -> log q, normalised, (points,); None where the library does not give it.
        mean: of q, (dim,), where it is known without draws, else None.
        sd: of q, likewise.
        gradients: of log p~ that the fit spent, one a draw, a Hessian-vector product two, a bare density a third;
            None where the library does not say.
        ended: how the library says that the fit ended; empty where it says nothing.
    """

    sample: Callable[[Any, int], tuple[Any, Any]]
    log_density: Callable[[Any], Any] | None = None
    mean: Any = None
    sd: Any = None
    gradients: float | None = None
    ended: str = ""


@dataclass(frozen=True)
class Contender:
    """A method under a name.

    Attributes:
        settings: what it was told, and where that comes from.
        fit: (problem, seed) -> the approximation, with all that is timed done.
        missing: () -> why it cannot run here, or None.
        count: (problem, seed) -> gradients spent by that fit, for methods that must be run again to count them: this
            run is not timed.
    """

    settings: str
    fit: Callable[[Problem, int], Fitted]
    missing: Callable[[], str | None] = lambda: None
    count: Callable[[Problem, int], float] | None = None


def fitted_distribution(distribution: Any, *, order: Any = None, gradients: float | None, ended: str = "") -> Fitted:
    """A NumPyro distribution on R^dim as what was fitted; z[i] = x[order[i]] for draws x of it."""
    dim = distribution.event_shape[0]
    order = np.arange(dim) if order is None else np.asarray(order)
    back = np.argsort(order)

    def sample(key: Any, num_draws: int) -> tuple[Any, Any]:
        draws = distribution.sample(key, (num_draws,))
        return draws[:, order], distribution.log_prob(draws)

    mean, sd = _moments(distribution, order)
    return Fitted(sample, lambda points: distribution.log_prob(points[:, back]), mean, sd, gradients, ended)


def _moments(distribution: Any, order: Any) -> tuple[Any, Any]:
    try:
        return np.asarray(distribution.mean)[order], np.sqrt(np.asarray(distribution.variance))[order]
    except NotImplementedError:
        return None, None


def sampled_only(draws: Any, *, gradients: float | None, ended: str = "") -> Fitted:
    """Draws (draws, dim) of something whose density is not known."""
    draws = np.asarray(draws, np.float64)
    return Fitted(
        lambda key, num_draws: (draws, None), None, draws.mean(axis=0), draws.std(axis=0, ddof=1), gradients, ended
    )


def without(contenders: Mapping[str, Contender], missing: Callable[[], str | None]) -> dict[str, Contender]:
    """The same contenders, which need something that may not be there."""
    return {name: replace(contender, missing=missing) for name, contender in contenders.items()}


def wait(value: Any) -> Any:
    """The value, once JAX has computed it."""
    return jax.block_until_ready(value)
