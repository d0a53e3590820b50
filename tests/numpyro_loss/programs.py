"""NumPyro models and guides, written as users write them, and gradients of losses over them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.handlers import mask, scale

from tests.compilations import jit

ROWS = np.random.default_rng(0).normal(size=6) + 1.0
PARAMS = {"slope": 0.3, "width": 0.7}


def params(values: dict[str, float] = PARAMS) -> dict[str, Any]:
    return {name: jnp.asarray(value, jnp.result_type(float)) for name, value in values.items()}


def guide_params() -> tuple[Any, Any]:
    slope = numpyro.param("slope", 0.3)
    return slope, numpyro.param("width", 0.7, constraint=constraints.positive)


def local_model(rows: Any) -> None:
    """Unknowns of every row, and nothing else: the plate encloses all."""
    with numpyro.plate("row", len(rows), subsample_size=2):
        y = numpyro.subsample(rows, event_dim=0)
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        s = numpyro.sample("s", dist.LogNormal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(z, s + 0.5), obs=y)


def local_guide(rows: Any) -> None:
    slope, width = guide_params()
    with numpyro.plate("row", len(rows), subsample_size=2):
        z = numpyro.sample("z", dist.Normal(slope * numpyro.subsample(rows, event_dim=0), width))
        numpyro.sample("s", dist.LogNormal(slope + z, width))


def global_model(rows: Any) -> None:
    """Unknowns of the whole, a factor, masked rows, and a part that counts twice."""
    z = numpyro.sample("z", dist.Normal(0.0, 1.0))
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    numpyro.factor("flat", -0.1 * z**4)
    numpyro.deterministic("twice", 2 * z)
    with numpyro.plate("row", len(rows)), mask(mask=rows > 0.5), scale(scale=2.0):
        numpyro.sample("y", dist.Normal(z, s + 0.5), obs=rows)


def global_guide(rows: Any) -> None:
    slope, width = guide_params()
    z = numpyro.sample("z", dist.Normal(slope, width))
    numpyro.sample("s", dist.LogNormal(slope * z, width))


def learned_model(rows: Any) -> None:
    """A parameter of its own, and unknowns of which some are masked and one counts more than once."""
    level = numpyro.param("level", 0.5)
    with scale(scale=1.5):
        z = numpyro.sample("z", dist.Normal(level, 1.0))
    with numpyro.plate("row", 3), mask(mask=jnp.array([True, False, True])):
        u = numpyro.sample("u", dist.Normal(z, 1.0))
    numpyro.sample("y", dist.Normal(z + u[0] + u[2], 1.0), obs=rows[0])


def learned_guide(rows: Any) -> None:
    slope, width = guide_params()
    with scale(scale=1.5):
        z = numpyro.sample("z", dist.Normal(slope, width))
    with numpyro.plate("row", 3), mask(mask=jnp.array([True, False, True])):
        numpyro.sample("u", dist.Normal(slope * z, width))


def global_guide_of_z(rows: Any) -> None:
    """For the model that learns: no scale, no mask."""
    slope, width = guide_params()
    z = numpyro.sample("z", dist.Normal(slope, width))
    with numpyro.plate("row", 3):
        numpyro.sample("u", dist.Normal(slope * z, width))


def mean_model(rows: Any, subsample_size: int | None = None) -> None:
    """The mean of normal rows: all is known in closed form."""
    z = numpyro.sample("z", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(rows), subsample_size=subsample_size):
        numpyro.sample("y", dist.Normal(z, 1.0), obs=numpyro.subsample(rows, event_dim=0))


def mean_guide(rows: Any, subsample_size: int | None = None) -> None:
    numpyro.sample("z", dist.Normal(*guide_params()))


def mean_elbo(p: Any) -> Any:
    """The ELBO of `mean_guide` in closed form."""
    m, s = p["slope"], p["width"]
    square = (m**2 + s**2) + jnp.sum((ROWS - m) ** 2 + s**2)
    return -0.5 * square - 0.5 * (len(ROWS) + 1) * jnp.log(2 * jnp.pi) + 0.5 * jnp.log(2 * jnp.pi * jnp.e * s**2)


def value_and_grad(loss: Any, model: Any, guide: Any, *args: Any) -> Any:
    """A compiled function of (params, key)."""
    return jit(jax.value_and_grad(lambda p, key: loss.loss(key, p, model, guide, *args)))


def over_keys(loss: Any, model: Any, guide: Any, p: Any, num_keys: int, *args: Any) -> tuple[Any, Any]:
    """The mean and the standard error over keys of (value, gradient), each as one flat array."""

    def one(p: Any, key: Any) -> Any:
        value, gradient = jax.value_and_grad(lambda p: loss.loss(key, p, model, guide, *args))(p)
        return jnp.concatenate([value[None], jnp.stack(jax.tree.leaves(gradient))])

    each = np.asarray(jit(jax.vmap(one, in_axes=(None, 0)))(p, jax.random.split(jax.random.key(7), num_keys)))
    return each.mean(0), each.std(0) / num_keys**0.5


def flat(value: Any, gradient: Any) -> Any:
    return np.array([value, *jax.tree.leaves(gradient)], float)
