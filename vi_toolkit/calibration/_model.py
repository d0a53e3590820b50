"""A model as a source of data sets, and as the target of a fit to each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.handlers import block, condition, seed, trace

from vi_toolkit._types import Key
from vi_toolkit.targets import Target, from_numpyro
from vi_toolkit.targets._arguments import Arguments
from vi_toolkit.targets.numpyro_program import NumPyroProgram

Model = Callable[..., Any]
Values = dict[str, Any]  # {site: value}


@dataclass(frozen=True)
class Conditioned:
    """A model with some of its sites at given values; equal to another of the same model, for one program."""

    model: Model

    def __call__(self, simulated: Values, *args: Any, **kwargs: Any) -> Any:
        with condition(data=simulated):
            return self.model(*args, **kwargs)


@partial(jax.jit, static_argnames=("model", "arguments"))
def simulate(model: Model, arguments: Arguments, data: Any, keys: Any) -> Values:
    """The sample sites of one run of the model for each key, {site: (keys, ...)}."""

    def run(key: Key) -> Values:
        sites = _run(model, arguments, data, key)
        return {name: site["value"] for name, site in sites.items() if site["type"] == "sample"}

    return jax.vmap(run)(keys)


def check_simulated(model: Model, arguments: Arguments, data: Any, observed: tuple[str, ...]) -> None:
    """Raises ValueError where runs of the model are no draws from its joint density of unknowns and data."""
    found: dict[str, Any] = {}

    def run(data: Any) -> Any:
        found.update(_run(model, arguments, data, jax.random.key(0)))
        return jnp.zeros(())

    try:
        jax.eval_shape(run, data)
    except NotImplementedError as error:
        raise ValueError(
            "model: it cannot be simulated from, since a site cannot be drawn (an improper prior?). "
            f"Give every site a proper distribution. NumPyro said: {error}"
        ) from error
    samples = {name: site for name, site in found.items() if site["type"] == "sample"}
    for name in observed:
        if name not in samples:
            raise ValueError(f"observed: the model has no sample site {name!r}; it has {sorted(samples)}.")
    for name, site in samples.items():
        if not site["is_observed"]:
            continue
        if type(site["fn"]).__name__ == "Unit":
            raise ValueError(
                f"model: site {name!r} is a factor, which changes the posterior and not what is simulated. Write it as "
                "a prior or as an observed site."
            )
        hint = "Call with the model's arguments without the data: they are simulated."
        raise ValueError(f"model: its site {name!r} was given data. {hint}")


def first_target(
    model: Model, values: Values, observed: tuple[str, ...], args: Any, kwargs: Mapping[str, Any]
) -> Target:
    """The target for the first simulated data set; raises ValueError where others cannot take its place."""
    target = from_numpyro(Conditioned(model), {name: values[name] for name in observed}, *args, **kwargs)
    program = target.program
    assert isinstance(program, NumPyroProgram)
    for name in observed:
        if name not in program.structure.observed:
            raise ValueError(f"fit_model: it has no sample site {name!r} to take the simulated data.")
    for site in target.sites:
        shape = values[site.name].shape if site.name in values else None
        if shape != site.shape:
            came = f"its shape there is {shape}" if shape is not None else f"that one has {sorted(values)}"
            raise ValueError(
                f"fit_model: its unknown site {site.name!r} of shape {site.shape} is none of the model that is "
                f"simulated: {came}."
            )
    if not program.arguments.array_names:
        raise ValueError(
            "model: it needs its data as plain numbers while JAX traces it, so each simulated data set would compile a "
            "program of its own. Compute such numbers outside the model and pass them as arguments."
        )
    return target


def with_values(target: Target, values: Values, observed: tuple[str, ...]) -> Target:
    """The same target with the observed sites at other values, which are the first of its data, by name."""
    return replace(target, data=(*(values[name] for name in sorted(observed)), *target.data[len(observed) :]))


def _run(model: Model, arguments: Arguments, data: Any, key: Key) -> dict[str, Any]:
    args, kwargs = arguments.call(data)
    with block():  # a trace inside another handler must not leak into it
        return trace(seed(model, key)).get_trace(*args, **kwargs)
