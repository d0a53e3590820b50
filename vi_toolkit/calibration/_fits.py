"""Fits to simulated data sets, and where the values that the data came from lie among the draws of each fit."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._types import Key, Params, Vector, numpy_generator
from vi_toolkit.algorithms import Method
from vi_toolkit.calibration._model import Model, Values, check_simulated, first_target, simulate, with_values
from vi_toolkit.fit import default_method, fit
from vi_toolkit.targets import Target
from vi_toolkit.targets._arguments import bind_arguments
from vi_toolkit.windows import Status

CHUNK = 50  # data sets that are simulated at once
LIKELIHOOD, DENSITY = "log likelihood", "log density"


@dataclass(frozen=True)
class Work:
    """What is simulated and fitted."""

    model: Model
    fit_model: Model
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    observed: tuple[str, ...]
    method: Method | None
    sites: tuple[str, ...]  # whose ranks are asked for; empty for all unknown ones
    joint: bool  # whether the log likelihood and the log density are ranked, too
    num_simulations: int
    num_draws: int


class Ranks(NamedTuple):
    """Where the true values lie among the draws of the fits."""

    pit: dict[str, np.ndarray]  # {quantity: (fits, ...)}
    statuses: dict[str, int]  # how many fits ended how
    failures: tuple[str, ...]  # why fits were left out
    interrupted: bool


class _Found(NamedTuple):
    """One fit: its ranks, or why there are none."""

    pit: dict[str, np.ndarray] | None
    status: str | None
    failure: str | None


def simulate_and_fit(key: Key, work: Work) -> Ranks:
    """Draws unknowns and data from the model, fits each data set, and ranks the unknowns among draws of q.

    Fits run in as many threads as there are cores, with one program, which the first of them compiles.
    """
    arguments, data = bind_arguments(work.model, work.args, dict(work.kwargs))
    check_simulated(work.model, arguments, data, work.observed)
    key_data, key_fits = jax.random.split(key)
    keys = jax.random.split(key_data, -(-work.num_simulations // CHUNK) * CHUNK)
    found: list[_Found] = []
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for first in range(0, work.num_simulations, CHUNK):
                chunk = simulate(work.model, arguments, data, keys[first : first + CHUNK])
                if not found:
                    target = _first_target(work, chunk)
                    found.append(_fit_one(key_fits, work, target, chunk, 0))
                one = partial(_fit_one, key_fits, work, target, chunk)
                for result in pool.map(one, range(len(found), min(first + CHUNK, work.num_simulations))):
                    found.append(result)  # one by one: an interrupt leaves what there is
                if all(result.pit is None for result in found):
                    raise ValueError(
                        f"model: none of the first {len(found)} simulated data sets could be fitted. Check that the "
                        f"prior allows data like yours, and not far wilder ones. The first: {found[0].failure}"
                    )
    except KeyboardInterrupt:
        return _gathered(found, True)
    return _gathered(found, False)


def _first_target(work: Work, chunk: Values) -> Target:
    target = first_target(work.fit_model, _at(chunk, 0), work.observed, work.args, work.kwargs)
    (default_method(target.dim) if work.method is None else work.method).check(target)
    known = jax.eval_shape(target.constrain, jax.ShapeDtypeStruct((target.dim,), jnp.result_type(float)))
    for name in work.sites:
        if name not in known:
            raise ValueError(f"sites: the model has no site {name!r}; it has {sorted(known)}.")
    return target


def _fit_one(key: Key, work: Work, target: Target, chunk: Values, number: int) -> _Found:
    """The ``number``-th fit, with random numbers of its own."""
    key_fit, key_draws = jax.random.split(jax.random.fold_in(key, number))
    values = _at(chunk, number % CHUNK)
    try:
        fitted = fit(key_fit, with_values(target, values, work.observed), work.method, preflight=number == 0)
    except ValueError as error:  # the data leave no place to begin
        return _Found(None, None, str(error))
    if fitted.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    if fitted.status is Status.DIVERGED:
        return _Found(None, fitted.status.name, fitted.status.value)
    truth = {site.name: values[site.name] for site in target.sites}
    ranks = _ranks(
        fitted.method, fitted.target, fitted.params, truth, key_draws,
        num_draws=work.num_draws, sites=work.sites, joint=work.joint,
    )  # fmt: skip
    ties = numpy_generator(key_draws)
    names = [*(work.sites or truth), *(name for name in (LIKELIHOOD, DENSITY) if name in ranks)]
    pit = {name: _pit(ranks[name], work.num_draws, ties) for name in names}
    return _Found(pit, fitted.status.name, None)


@partial(jax.jit, static_argnames=("num_draws", "sites", "joint"))
def _ranks(
    method: Method, target: Target, params: Params, truth: Values, key: Key, *, num_draws: int, sites: Any, joint: bool
) -> dict[str, tuple[Any, Any]]:
    """For every quantity, how many draws of q are below its true value, and how many equal to it."""
    draws = method.posterior(params).sample(key, (num_draws,))
    at_truth = _quantities(target, target.unconstrain(truth)[0], sites, joint)
    of_draws = jax.vmap(lambda z: _quantities(target, z, sites, joint))(draws)
    return {
        name: (jnp.sum(of_draws[name] < value, axis=0), jnp.sum(of_draws[name] == value, axis=0))
        for name, value in at_truth.items()
    }


def _quantities(target: Target, z: Vector, sites: tuple[str, ...], joint: bool) -> Values:
    """What is ranked, at one point; a value that is not a number counts as the lowest there is."""
    everything = target.constrain(z)
    out = {name: everything[name] for name in sites or [site.name for site in target.sites]}
    if joint:
        terms = target.log_likelihood(z)
        if terms:
            out[LIKELIHOOD] = sum((jnp.sum(term) for term in terms.values()), jnp.zeros(()))
        out[DENSITY] = target.log_density(z)
    return {name: jnp.where(jnp.isnan(value), -jnp.inf, value) for name, value in out.items()}


def _pit(ranks: tuple[Any, Any], num_draws: int, ties: np.random.Generator) -> np.ndarray:
    """Uniform on (0, 1) where truth and draws come from one distribution: ties are broken at random."""
    below, equal = map(np.asarray, ranks)
    return np.asarray((below + (1.0 - ties.random(below.shape)) * (1 + equal)) / (num_draws + 1))


def _at(chunk: Values, place: int) -> Values:
    return {name: values[place] for name, values in chunk.items()}


def _gathered(found: list[_Found], interrupted: bool) -> Ranks:
    ranked = [one.pit for one in found if one.pit is not None]
    pit = {name: np.stack([one[name] for one in ranked]) for name in ranked[0]} if ranked else {}
    failures = tuple(one.failure for one in found if one.failure is not None)
    return Ranks(pit, Counter(one.status for one in found if one.status is not None), failures, interrupted)
