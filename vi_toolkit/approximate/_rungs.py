"""What is fitted on each rung of the ladder, and where it begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._types import Key, Params
from vi_toolkit.algorithms import gradient, natural_gradient
from vi_toolkit.approximate.budget import Purse
from vi_toolkit.diagnostics import Basins
from vi_toolkit.estimators import reparameterised
from vi_toolkit.fit import FULL_RANK_DIM, Fit, default_method
from vi_toolkit.guides import NormalMixture, SinhArcsinhNormal
from vi_toolkit.guides.flows import AffineCouplingFlow
from vi_toolkit.information import jeffreys
from vi_toolkit.objectives import ReverseKL
from vi_toolkit.targets import Target
from vi_toolkit.windows import Status

STARTS = 3
APART = 5.0  # nats of symmetrised divergence, beyond which two normals are of two places
FLOW_DRAWS = 64
NEGLIGIBLE = 8.0  # nats of ELBO below the best, under which a place is left out


class Found(NamedTuple):
    """What the rungs before have found."""

    normal: Fit | None = None
    places: tuple[Fit, ...] = ()  # normals apart from one another, the best first
    modes: Params = None  # of a mixture, where a diagnosis came upon modes that the normal misses

    def with_modes(self, basins: Basins | None) -> Found:
        """With a component at each of the modes that a search found, where the fit misses some."""
        if self.normal is None or basins is None or not basins.missed:
            return self
        locations, factors = basins.normals()
        params = {
            "location": locations,
            "log_diagonal": np.log(np.diagonal(factors, axis1=1, axis2=2)),
            "lower": np.tril(factors, -1),
        }
        start = {"log_weights": np.log(np.maximum(basins.mass.values, 1e-3)), "components": params}
        return self._replace(modes=jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float)), start))


@dataclass(frozen=True)
class Step:
    """A rung: whether it serves, and how it is fitted."""

    name: str
    serves: Callable[[Target, Found], bool]
    fit: Callable[[Key, Target, Found, Purse], tuple[Fit, Found]]


def _fit_normal(key: Key, target: Target, found: Found, purse: Purse) -> tuple[Fit, Found]:
    method: Any = default_method(target.dim)
    fits = [purse.fit(key, target, method)]
    if target.dim > FULL_RANK_DIM:
        return fits[0], Found()
    for start in range(1, STARTS):
        if purse.empty or fits[-1].status is Status.INTERRUPTED:
            break
        fits.append(purse.fit(jax.random.fold_in(key, start), target, replace(method, start=start)))
    ranked = sorted(fits, key=_rank, reverse=True)
    places = [ranked[0]]
    for fitted in ranked[1:]:
        ends_well = fitted.status is Status.CONVERGED and _elbo(fitted) > _elbo(ranked[0]) - NEGLIGIBLE
        if ends_well and all(_apart(fitted, other) > APART for other in places):
            places.append(fitted)
    return ranked[0], Found(ranked[0], tuple(places))


def _fit_mixture(key: Key, target: Target, found: Found, purse: Purse) -> tuple[Fit, Found]:
    if found.modes is not None:
        guide = NormalMixture(len(found.modes["log_weights"]))
        return purse.fit(key, target, natural_gradient(guide, start=found.modes)), found
    guide = NormalMixture(len(found.places))
    components = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(fitted.params for fitted in found.places))
    elbos = jnp.asarray([_elbo(fitted) for fitted in found.places], components["location"].dtype)
    start = {"log_weights": elbos - elbos.max(), "components": components}
    return purse.fit(key, target, natural_gradient(guide, start=start)), found


def _fit_skewed(key: Key, target: Target, found: Found, purse: Purse) -> tuple[Fit, Found]:
    assert found.normal is not None
    params: Any = found.normal.params
    none = jnp.zeros_like(params["location"])
    start = {**params, "skewness": none, "log_tail_weight": none}
    return purse.fit(key, target, gradient(SinhArcsinhNormal(), ReverseKL(), start=start)), found


def _fit_flow(key: Key, target: Target, found: Found, purse: Purse) -> tuple[Fit, Found]:
    assert found.normal is not None
    guide = AffineCouplingFlow()
    start = guide.start_at(key, found.normal.posterior)
    method = gradient(guide, ReverseKL(reparameterised), num_draws=FLOW_DRAWS, start=start)
    return purse.fit(key, target, method), found


RUNGS = (
    Step("normal", lambda target, found: True, _fit_normal),
    Step("mixture of normals", lambda target, found: len(found.places) > 1 or found.modes is not None, _fit_mixture),
    Step("skewed normal", lambda target, found: found.normal is not None, _fit_skewed),
    Step("flow", lambda target, found: found.normal is not None and target.dim > 1, _fit_flow),
)


def _elbo(fitted: Fit) -> float:
    return float(fitted.history["elbo"][-1])


def _rank(fitted: Fit) -> tuple[bool, float]:
    return fitted.status is Status.CONVERGED, np.nan_to_num(_elbo(fitted), nan=-np.inf)


def _apart(a: Fit, b: Fit) -> float:
    """The symmetrised divergence of two normals, in nats: half of D(a || b) + D(b || a)."""
    return 0.5 * float(jeffreys(a.posterior, b.posterior).value)
