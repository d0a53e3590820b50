"""Many fits in one program."""

from functools import partial

import jax
import jax.numpy as jnp

from tests.compilations import jit


@partial(jit, static_argnames="count")
def many_fits(method, target, key, count):
    """The last states of fits with independent draws, side by side."""

    def one(key):
        state, _ = method.init(key, target, jnp.zeros((8, target.dim)))
        goes_on = lambda state: method.outcome(state) == 0  # noqa: E731
        return jax.lax.while_loop(goes_on, lambda state: method.step(key, state, target)[0], state)

    return jax.vmap(one)(jax.random.split(key, count))
