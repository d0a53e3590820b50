"""How the networks inside a flow's layers begin."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from vi_toolkit._types import Key


def begin_at_identity(key: Key, network: Any) -> Any:
    """A stack of networks with fresh hidden layers and a last layer of zeros.

    The output is zero whatever the input, at which flowjax's transformers are the identity; the hidden layers are
    drawn from the uniform distribution on +-1 / sqrt(inputs), as equinox does.
    """
    *hidden, last = network.layers
    keys = jax.random.split(key, len(hidden))
    fresh = [_fresh(key, linear) for key, linear in zip(keys, hidden, strict=True)]
    return eqx.tree_at(lambda network: network.layers, network, (*fresh, _map(jnp.zeros_like, last)))


def _fresh(key: Key, linear: Any) -> Any:
    limit = linear.in_features**-0.5
    key_weight, key_bias = jax.random.split(key)
    keys = {3: key_weight, 2: key_bias}  # a weight has axes (layer, out, in), a bias (layer, out)
    return _map(lambda leaf: jax.random.uniform(keys[leaf.ndim], leaf.shape, leaf.dtype, -limit, limit), linear)


def _map(function: Any, tree: Any) -> Any:
    return jax.tree.map(lambda leaf: function(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)
