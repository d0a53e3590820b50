"""The functions of a target made from a NumPyro model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpyro import validation_enabled
from numpyro.distributions.transforms import biject_to
from numpyro.handlers import block, seed, substitute, trace
from numpyro.infer.util import constrain_fn, potential_energy

from vi_toolkit._types import Key, Scalar, Sites, Vector
from vi_toolkit.targets._arguments import Arguments
from vi_toolkit.targets._closed_form_prior import with_closed_form_prior
from vi_toolkit.targets._dependencies import find_dependencies
from vi_toolkit.targets._enumeration import summed_log_density
from vi_toolkit.targets._explain import at_values, bad_arguments, bad_site
from vi_toolkit.targets._replicate import DrawnAnew, counted
from vi_toolkit.targets._structure import Structure
from vi_toolkit.targets.target import Site

Model = Callable[..., Any]


@dataclass(frozen=True)
class NumPyroProgram:
    """The functions of a target made from a NumPyro model; ``data`` holds the model's array arguments."""

    model: Model
    arguments: Arguments
    structure: Structure

    @property
    def dim(self) -> int:
        return self.sites[-1].stop

    @property
    def sites(self) -> tuple[Site, ...]:
        return self.structure.sites

    def deterministic_dims(self) -> Mapping[str, tuple[str, ...]]:
        return dict(self.structure.deterministic_dims)

    def log_density(self, data: Any, z: Vector) -> Scalar:
        args, kwargs = self.arguments.call(data)
        if self.structure.summed:
            return summed_log_density(self.model, self.structure.first_free_dim, args, kwargs, self._unflatten(z))
        return -potential_energy(self.model, args, kwargs, self._unflatten(z))

    def log_density_with_closed_form_prior(
        self, data: Any, z: Vector, location: Vector, scale: Vector
    ) -> tuple[Scalar, Any]:
        if self.structure.summed:
            raise ValueError(
                f"target: its sites {list(self.structure.summed)} are summed out, and the priors then have no closed "
                "forms. Use another estimator."
            )
        return with_closed_form_prior(self.sites, self._run(data, z), self.log_density(data, z), location, scale)

    def constrain(self, data: Any, z: Vector) -> Sites:
        args, kwargs = self.arguments.call(data)
        # A model may draw keys of its own; the seed keeps NumPyro from asking for one.
        sites = constrain_fn(seed(self.model, 0), args, kwargs, self._unflatten(z), return_deterministic=True)
        return {name: value for name, value in sites.items() if name not in self.structure.unsettled}

    def unconstrain(self, data: Any, sites: Sites) -> tuple[Vector, Scalar]:
        missing = [site.name for site in self.sites if site.name not in sites]
        if missing:
            raise ValueError(
                f"sites: expected a value for each of {[site.name for site in self.sites]}, got {sorted(sites)}, "
                f"without {missing}."
            )
        parts, log_jacobian = [], jnp.zeros(())
        for name, support in self.supports(data, sites).items():
            bijection, value = biject_to(support), sites[name]
            part = bijection.inv(value)
            parts.append(part.reshape(-1))
            log_jacobian += jnp.sum(bijection.log_abs_det_jacobian(part, value))
        return jnp.concatenate(parts), log_jacobian

    def supports(self, data: Any, sites: Sites) -> dict[str, Any]:
        """The support of every unknown given the others, in the order of the flat vector."""
        run = self._run_at(data, {site.name: sites[site.name] for site in self.sites})
        return {site.name: run[site.name]["fn"].support for site in self.sites}

    def prior_draw(self, data: Any, key: Key) -> Vector | None:
        if not self.structure.prior_samples:
            return None
        args, kwargs = self.arguments.call(data)
        with block():
            sites = trace(seed(self.model, key)).get_trace(*args, **kwargs)
        parts = [biject_to(sites[s.name]["fn"].support).inv(sites[s.name]["value"]).reshape(-1) for s in self.sites]
        return jnp.concatenate(parts)

    def observed(self, data: Any) -> Mapping[str, np.ndarray]:
        with validation_enabled(False):  # zero need not be a point that the model allows
            sites = self._run(data, jnp.zeros(self.dim))
        return {name: np.asarray(sites[name]["value"]) for name in self.structure.observed}

    def log_likelihood(self, data: Any, z: Vector) -> Sites:
        sites = self._run(data, z)
        names = [name for name in self.structure.observed if name not in self.structure.unsettled]
        return {name: sites[name]["fn"].log_prob(sites[name]["value"]) for name in names}

    def counted(self, data: Any) -> Mapping[str, np.ndarray]:
        with validation_enabled(False):
            sites = self._run(data, jnp.zeros(self.dim))
        return {name: counted(sites[name]) for name in self.structure.observed}

    def predictive_draw(self, data: Any, key: Key, z: Vector) -> Sites:
        args, kwargs = self.arguments.call(data)
        anew = seed(DrawnAnew(self.model), key)
        with block():  # a trace inside another handler must not leak into it
            run = trace(substitute(anew, data=self._latents(data, z))).get_trace(*args, **kwargs)
        return {name: run[name]["value"] for name in self.structure.observed}

    def dependencies(self, data: Any) -> Mapping[str, tuple[str, ...]]:
        args, kwargs = self.arguments.call(data)
        return find_dependencies(self.model, args, kwargs)

    def remarks(self) -> tuple[str, ...]:
        """What is odd about the model's sites, in words."""
        return self.structure.remarks

    def explain(self, data: Any, z: Vector) -> str:
        """The sites whose log density is not finite at z, with the values that they take there."""
        lines = bad_arguments(self.arguments.array_names, data)
        with validation_enabled(False):  # or NumPyro refuses a bad parameter before its site can be named
            run = self._run(data, z)
            settled = {n: s for n, s in run.items() if s["type"] == "sample" and n not in self.structure.unsettled}
            lines += [said for name, site in settled.items() if (said := bad_site(name, site))]
        if self.structure.summed and not lines:
            lines.append(f"the sum over {list(self.structure.summed)} is {float(self.log_density(data, z))} there")
        where = at_values({site.name: run[site.name]["value"] for site in self.sites})
        return f"{'; '.join(lines) or 'every site is finite, but the gradient of the log density is not'} (at {where})"

    def _unflatten(self, z: Vector) -> dict[str, Any]:
        return {s.name: z[s.start : s.stop].reshape(s.unconstrained_shape) for s in self.sites}

    def _run(self, data: Any, z: Vector) -> dict[str, Any]:
        """The trace of the model with its unknowns at z."""
        return self._run_at(data, self._latents(data, z))

    def _latents(self, data: Any, z: Vector) -> Sites:
        """The unknowns at z in the model's own space, without what follows from them."""
        values = self.constrain(data, z)
        return {site.name: values[site.name] for site in self.sites}

    def _run_at(self, data: Any, values: Sites) -> dict[str, Any]:
        """The trace of the model with its unknowns at values in the model's own space."""
        args, kwargs = self.arguments.call(data)
        with block():  # a trace inside another handler must not leak into it
            return trace(substitute(seed(self.model, 0), data=values)).get_trace(*args, **kwargs)
