"""A target from a NumPyro model and its arguments."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions.transforms import biject_to
from numpyro.handlers import block, seed, substitute, trace
from numpyro.infer.util import constrain_fn, potential_energy

from vi_toolkit._checks import check_finite, describe
from vi_toolkit._types import Key, Scalar, Sites, Vector
from vi_toolkit.targets._arguments import Arguments, bind_arguments, freeze, name_of_leaf
from vi_toolkit.targets._structure import Structure, find_structure
from vi_toolkit.targets.target import Site, Target

Model = Callable[..., Any]

_NOT_TRACEABLE = (
    jax.errors.ConcretizationTypeError,  # and its kinds: TracerBool, TracerInteger, NonConcreteBooleanIndex
    jax.errors.TracerArrayConversionError,
)


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
        return -potential_energy(self.model, args, kwargs, self._unflatten(z))

    def constrain(self, data: Any, z: Vector) -> Sites:
        args, kwargs = self.arguments.call(data)
        # A model may draw keys of its own; the seed keeps NumPyro from asking for one.
        return constrain_fn(seed(self.model, 0), args, kwargs, self._unflatten(z), return_deterministic=True)

    def prior_draw(self, data: Any, key: Key) -> Vector | None:
        if not self.structure.prior_samples:
            return None
        args, kwargs = self.arguments.call(data)
        with block():
            sites = trace(seed(self.model, key)).get_trace(*args, **kwargs)
        parts = [biject_to(sites[s.name]["fn"].support).inv(sites[s.name]["value"]).reshape(-1) for s in self.sites]
        return jnp.concatenate(parts)

    def observed(self, data: Any) -> Mapping[str, np.ndarray]:
        sites = self._run(data, jnp.zeros(self.dim))
        return {name: np.asarray(sites[name]["value"]) for name in self.structure.observed}

    def log_likelihood(self, data: Any, z: Vector) -> Sites:
        sites = self._run(data, z)
        return {name: sites[name]["fn"].log_prob(sites[name]["value"]) for name in self.structure.observed}

    def explain(self, data: Any, z: Vector) -> str:
        """The sites whose log density is not finite at z, with the values that they take there."""
        lines = []
        for name, site in self._run(data, z).items():
            if site["type"] != "sample":
                continue
            log_prob = np.asarray(site["fn"].log_prob(site["value"]))
            if not np.isfinite(log_prob).all():
                count = int((~np.isfinite(log_prob)).sum())
                kind = type(site["fn"]).__name__
                first = log_prob[~np.isfinite(log_prob)].flat[0]
                lines.append(
                    f"site {name!r} ({kind}): {count} of {log_prob.size} log densities not finite, first {first}"
                )
        leaves = zip(self.arguments.array_names, data, strict=True)
        for name, leaf in leaves:
            try:
                check_finite(leaf, name)
            except ValueError as error:
                lines.insert(0, f"argument {error}")
        return "; ".join(lines) or "every site is finite there, but the gradient of the log density is not"

    def _unflatten(self, z: Vector) -> dict[str, Any]:
        return {s.name: z[s.start : s.stop].reshape(s.unconstrained_shape) for s in self.sites}

    def _run(self, data: Any, z: Vector) -> dict[str, Any]:
        """The trace of the model with its unknowns at z."""
        args, kwargs = self.arguments.call(data)
        latents = {site.name for site in self.sites}
        values = {name: value for name, value in self.constrain(data, z).items() if name in latents}
        return trace(substitute(seed(self.model, 0), data=values)).get_trace(*args, **kwargs)


def from_numpyro(model: Model, *args: Any, **kwargs: Any) -> Target:
    """Makes a target of a NumPyro model and the arguments that it is called with.

    The unknowns are the model's continuous sample sites that are not observed, mapped to R^dim by NumPyro's
    bijections: log p~(z) = log p(x(z), data) + log |det dx/dz|, so Z is the model's evidence p(data). The flat
    vector follows the order of the sites in the model.

    Array arguments (NumPy, JAX, pandas, lists of numbers) become the leaves of the target; every other argument
    is part of the compiled program. A model that needs its data as plain numbers while JAX traces it (such as
    ``len(np.unique(group))``) has all its data built into the program, and a warning says so.

    Args:
        model: a NumPyro model: plates, deterministic sites, ``factor``, reparametrisation handlers and improper
            priors are welcome.
        *args: passed to the model.
        **kwargs: passed to the model.

    Returns:
        The target.

    Raises:
        TypeError: if the arguments do not fit the model's signature, or one is not numeric.
        ValueError: if a latent site is discrete, the model has no latent site, an argument is empty, an observed
            site was never given its data, an observed value's shape does not fit its distribution, or NaN or
            infinite data leave no point of finite density.

    Example:
        >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist, vi_toolkit as vi
        >>> def model(y=None):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
        ...     scale = numpyro.sample("scale", dist.HalfNormal(5.0))
        ...     numpyro.sample("y", dist.Normal(mean, scale), obs=y)
        >>> target = vi.from_numpyro(model, y=jnp.array([1.0, 2.0, 4.0]))
        >>> [site.name for site in target.sites], target.dim
        (['mean', 'scale'], 2)
    """
    if not callable(model):
        raise TypeError(f"model: expected a NumPyro model (a function), got {describe(model)}.")
    arguments, data = bind_arguments(model, args, kwargs)
    try:
        structure = find_structure(model, arguments, data)
    except _NOT_TRACEABLE as error:
        culprit = str(error).split("\n", 1)[0]
        arguments, data = freeze(arguments, data), ()
        structure = find_structure(model, arguments, data)
        warnings.warn(
            "model: it needs its data as plain numbers while JAX traces it, so the data are built into the compiled "
            "program: a fit to other data compiles again. Compute such numbers (group counts, say) outside the model "
            f"and pass them as arguments of their own. JAX said: {culprit}",
            stacklevel=2,
        )
    target = Target(NumPyroProgram(model, arguments, structure), data)
    _check_data(target)
    return target


def _check_data(target: Target) -> None:
    """Refuses NaN or infinite data, unless the model (masking them, say) has a finite density all the same."""
    program = target.program
    assert isinstance(program, NumPyroProgram)
    leaves = program.arguments.call_leaves(target.data)
    names = [name_of_leaf(name) for name in program.arguments.names]
    for name, leaf in zip(names, leaves, strict=True):
        try:
            if hasattr(leaf, "dtype"):
                check_finite(leaf, name)
        except ValueError:
            if not _finite_somewhere(target):
                raise


def _finite_somewhere(target: Target) -> bool:
    @jax.jit
    def values_and_gradients(target: Target, points: Any) -> Any:
        return jax.vmap(jax.value_and_grad(target.log_density))(points)

    points = np.random.default_rng(0).uniform(-2.0, 2.0, (16, target.dim))
    values, gradients = values_and_gradients(target, jnp.asarray(points))
    return bool(np.any(np.isfinite(values) & np.isfinite(gradients).all(-1)))
