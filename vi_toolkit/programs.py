"""The compiled programs of a fit, and the random numbers that they are given."""

from __future__ import annotations

import enum
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._start import NUM_STARTS, Start
from vi_toolkit._types import Params
from vi_toolkit.algorithms import Method, Outcome, Turn
from vi_toolkit.targets import Target

BUFFER = 512  # most steps in one call of the compiled program
QUICK_TO_COMPILE = {"xla_backend_optimization_level": 0}  # for programs that run once or seldom


class Purpose(enum.IntEnum):
    """What random numbers are for; each purpose has a stream of its own."""

    CANDIDATES = 0
    GUIDE = 1
    STEP = 2
    TURN = 3


def stream(key: np.ndarray, purpose: Purpose, count: int = 0) -> np.ndarray:
    """Key data for one purpose, hashed from the fit's key on the host, where hashing needs no compiled program."""
    return np.random.SeedSequence([*map(int, key), purpose, count]).generate_state(key.size, np.uint32)


@partial(jax.jit, static_argnames="key_kind", compiler_options=QUICK_TO_COMPILE)
def begin_program(
    method: Method, target: Target, key: Any, candidates: Any, key_kind: str
) -> tuple[Any, Params, Start]:
    """The first state, its parameters, and where it starts."""
    state, start = method.init(jax.random.wrap_key_data(key, impl=key_kind), target, candidates)
    return state, method.latest(state), start


@partial(jax.jit, static_argnames="key_kind")
def prior_draws(target: Target, key: Any, key_kind: str) -> Any:
    """Starts from the model's prior, or None where it has none to draw from."""
    keys = jax.random.split(jax.random.wrap_key_data(key, impl=key_kind), NUM_STARTS)
    return None if target.prior_draw(keys[0]) is None else jax.vmap(target.prior_draw)(keys)


@partial(jax.jit, static_argnames="key_kind")
def advance_program(
    method: Method, target: Target, key: Any, state: Any, first: Any, count: Any, begins: Any, key_kind: str
) -> tuple[Any, dict[str, Any], Any]:
    """At most ``count`` steps, the scalars of each in arrays of fixed length, and how many steps there were."""
    state = jax.tree.map(partial(jnp.where, begins), method.begin_half(state), state)
    buffers = {name: jnp.zeros(BUFFER) for name in method.tracked}

    def goes_on(carry: tuple[Any, Any, dict[str, Any]]) -> Any:
        i, state, _ = carry
        return (i < count) & (method.outcome(state) == Outcome.GOES_ON)

    def body(carry: tuple[Any, Any, dict[str, Any]]) -> tuple[Any, Any, dict[str, Any]]:
        i, state, buffers = carry
        # The root is a hash, so the roots of two fits, and with them the keys root + step, do not meet.
        step_key = jax.random.wrap_key_data(key + first + i.astype(key.dtype), impl=key_kind)
        state, info = method.step(step_key, state, target)
        return i + 1, state, {name: buffers[name].at[i].set(info[name]) for name in buffers}

    taken, state, buffers = jax.lax.while_loop(goes_on, body, (jnp.zeros_like(count), state, buffers))
    return state, buffers, taken


@partial(jax.jit, static_argnames="key_kind", compiler_options=QUICK_TO_COMPILE)
def turn_program(method: Method, state: Any, key: Any, key_kind: str) -> Turn:
    """What a window of steps has come to."""
    return method.turn(jax.random.wrap_key_data(key, impl=key_kind), state)
