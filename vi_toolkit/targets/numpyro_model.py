"""A target from a NumPyro model and its arguments."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import check_finite, describe
from vi_toolkit.targets._arguments import bind_arguments, freeze, name_of_leaf
from vi_toolkit.targets._enumeration import check_summable
from vi_toolkit.targets._structure import find_structure
from vi_toolkit.targets.numpyro_program import Model, NumPyroProgram
from vi_toolkit.targets.target import Target

_NOT_TRACEABLE = (
    jax.errors.ConcretizationTypeError,  # and its kinds: TracerBool, TracerInteger, NonConcreteBooleanIndex
    jax.errors.TracerArrayConversionError,
)


def from_numpyro(model: Model, *args: Any, **kwargs: Any) -> Target:
    """Makes a target of a NumPyro model and the arguments that it is called with.

    The unknowns are the model's continuous sample sites that are not observed, mapped to R^dim by NumPyro's
    bijections: log p~(z) = log p(x(z), data) + log |det dx/dz|, so Z is the model's evidence p(data). The flat
    vector follows the order of the sites in the model.

    A discrete site that is marked ``infer={"enumerate": "parallel"}`` is summed out by NumPyro and funsor (``pip
    install funsor``): log p~(z) = log sum_c p(x(z), c, data) + log |det dx/dz|. To mark all of them, decorate the model
    with ``numpyro.contrib.funsor.config_enumerate``. Every batch dimension must then be a ``numpyro.plate``; chains
    of states are written with ``numpyro.contrib.control_flow.scan`` or ``numpyro.contrib.funsor.markov``. The summed
    sites, and whatever depends on them, are no part of `Target.constrain` and `Target.log_likelihood`.

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
        ImportError: if a discrete site is to be summed out and funsor is not installed.
        ValueError: if a latent site is discrete and not marked, or cannot be summed out, the model has no latent site,
            two sites have one name, an argument is empty, an observed site was never given its data, an observed
            value's shape does not fit its distribution (data (50, 1) against locations (50,), which NumPyro would count
            50 times), NaN or infinite data leave no point of finite density, or NumPyro could not run the model, with
            the site where that was.

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
    check_summable(target, structure.summed)
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
