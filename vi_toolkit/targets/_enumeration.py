"""Discrete sites of a model, summed out by NumPyro and funsor."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.handlers import block, seed, substitute, trace
from numpyro.infer.util import potential_energy
from numpyro.ops.provenance import eval_provenance
from numpyro.primitives import Messenger

from vi_toolkit._types import Scalar
from vi_toolkit._where import kind_of


def is_marked(site: dict[str, Any]) -> bool:
    """Whether a discrete site is to be summed out."""
    return site["infer"].get("enumerate") == "parallel"


def check_discrete(name: str, site: dict[str, Any]) -> None:
    """Raises where a discrete site cannot be summed out, or was not asked to be."""
    kind = kind_of(site["fn"])
    if not is_marked(site):
        raise ValueError(
            f"model: the latent site {name!r} ({kind}) is discrete, and a continuous guide cannot stand for it. Sum it "
            "out of the model, for example with numpyro.distributions.MixtureSameFamily, or with numpyro.factor and "
            'jax.scipy.special.logsumexp. Or mark it with infer={"enumerate": "parallel"}, or every such site at once '
            "with numpyro.contrib.funsor.config_enumerate(model): then it is summed out for you."
        )
    if not site["fn"].has_enumerate_support:
        raise ValueError(
            f'model: the latent site {name!r} is marked infer={{"enumerate": "parallel"}}, but {kind} has no finite '
            "list of values to sum over. Use a distribution that has one, such as Categorical."
        )


def first_free_dim(sites: dict[str, Any]) -> int:
    """The first dimension, counted from the right, that no plate or batch of a trace uses."""
    used = [0]
    for site in sites.values():
        if site["type"] == "sample":
            used += [len(site["fn"].batch_shape), *(-frame.dim for frame in site["cond_indep_stack"])]
    return -max(used) - 1


def unsettled_sites(model: Callable[..., Any], args: Any, kwargs: Any, summed: dict[str, Any]) -> tuple[str, ...]:
    """The summed sites themselves, and the deterministic and observed sites that depend on one of them.

    What they are or how likely they are at a point of R^dim is not one number.
    """

    def outcome(**states: Any) -> dict[str, Any]:
        with block():
            sites = trace(substitute(seed(model, jax.random.key(0)), data=states)).get_trace(*args, **kwargs)
        return {
            name: site["fn"].log_prob(site["value"]) if site["type"] == "sample" else site["value"]
            for name, site in sites.items()
            if site["type"] == "deterministic" or (site["type"] == "sample" and site["is_observed"])
        }

    states = {name: jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)) for name, x in summed.items()}
    behind = eval_provenance(outcome, **states)
    return (*summed, *(name for name, origins in behind.items() if origins & set(summed)))


def summed_log_density(
    model: Callable[..., Any], first_free_dim: int, args: Any, kwargs: Any, unconstrained: dict[str, Any]
) -> Scalar:
    """log sum_c p(x(z), c, data) + log |det dx/dz|, c over all values of the marked sites."""
    from numpyro.contrib.funsor import enum

    return -potential_energy(enum(_OwnMarks(model), first_free_dim), args, kwargs, unconstrained, enum=True)


class _OwnMarks(Messenger):
    """Gives every site a copy of its ``infer`` dictionary, inside a scan too.

    NumPyro writes the dimensions of a site into it: where sites share one, sums would come out wrong without a word.
    """

    def process_message(self, msg: Any) -> None:
        if msg["type"] == "sample":
            msg["infer"] = dict(msg["infer"])
        if msg["type"] == "control_flow":
            body, *rest = msg["args"]
            msg["args"] = (_OwnMarks(body), *rest)


def check_summable(target: Any, summed: tuple[str, ...]) -> None:
    """Raises in words where funsor is missing or cannot sum the marked sites out; nothing is computed."""
    if not summed:
        return
    try:
        import_module("numpyro.contrib.funsor")
    except ImportError as error:
        raise ImportError(
            f"model: its discrete sites {list(summed)} are summed out by funsor, which is not installed: pip install "
            "funsor."
        ) from error
    try:
        point = jax.ShapeDtypeStruct((target.dim,), jnp.result_type(float))
        jax.eval_shape(lambda target, z: target.log_density(z), target, point)
    except (ValueError, AssertionError, NotImplementedError, IndexError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"model: its discrete sites {list(summed)} could not be summed out: {type(error).__name__}: {error} Every "
            "batch dimension must be a numpyro.plate, and indexing by a state must broadcast. A chain of states needs "
            "numpyro.contrib.funsor.markov, or numpyro.contrib.control_flow.scan, inside which NumPyro can take "
            "neither numpyro.factor nor continuous unknowns."
        ) from error
