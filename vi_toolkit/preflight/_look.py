"""Looks at a log density and its gradient, all through one compiled program of a model."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from vi_toolkit._pieces import in_pieces
from vi_toolkit._start import NUM_STARTS
from vi_toolkit._types import Key, raw_key
from vi_toolkit.programs import QUICK_TO_COMPILE, Purpose, prior_draws, stream
from vi_toolkit.targets import Target
from vi_toolkit.windows import NEARER

MOST_DIM = 300  # above it there are too few looks to tell that a direction is flat
SPARE = 4  # looks beyond one a coordinate
AT_ONCE = 16  # of them, for the sake of memory where data are large


class Look(NamedTuple):
    """Points, and the log density and its gradient there; on the host."""

    points: np.ndarray  # (looks, dim)
    values: np.ndarray  # (looks,)
    gradients: np.ndarray  # (looks, dim)

    @property
    def finite(self) -> np.ndarray:
        """(looks,): where both are finite."""
        finite: np.ndarray = np.isfinite(self.values) & np.isfinite(self.gradients).all(axis=1)
        return finite


def num_looks(dim: int) -> int:
    """How many points one call of the program looks at."""
    return NUM_STARTS + SPARE if dim > MOST_DIM else max(NUM_STARTS, dim) + SPARE


def look_at(target: Target, points: np.ndarray) -> Look:
    """Any number of points, by as many calls of the one program as that takes."""
    points = points.astype(jax.dtypes.canonicalize_dtype(float))
    values, gradients = in_pieces(partial(_look_program, target), points, num_looks(target.dim))
    return Look(points, values.astype(float), gradients.astype(float))


def look_around(key: Key, target: Target) -> Look:
    """Where a fit with this key would look for its start: the candidates of `windows.begin`, and some more like them.

    Where none is finite, the model's prior is asked for points, and then points nearer to the origin.
    """
    data, kind = raw_key(key)
    generator = np.random.default_rng(stream(data, Purpose.CANDIDATES))
    points = generator.uniform(-2, 2, (num_looks(target.dim), target.dim))
    look = look_at(target, points)
    if look.finite.any():
        return look
    from_prior = prior_draws(target, stream(data, Purpose.CANDIDATES, 1), kind)
    others = [] if from_prior is None else [np.asarray(from_prior)]
    for more in (*others, *(points * share for share in NEARER)):
        found = look_at(target, more)
        if found.finite.any():
            return found
    return look


def why_no_gradient(target: Target) -> str | None:
    """Why JAX cannot differentiate a log density backwards, in words, or None where it can; nothing is computed."""
    point = jax.ShapeDtypeStruct((target.dim,), jax.dtypes.canonicalize_dtype(float))
    try:
        jax.eval_shape(jax.grad(target.log_density), point)
    except (ValueError, TypeError, NotImplementedError) as error:
        return (
            "target: expected a log density with reverse-mode derivatives, and JAX could not take them. Write loops "
            "with jax.lax.scan, or with jax.lax.fori_loop and bounds that are plain numbers, and not with "
            "jax.lax.while_loop; give a function of another library a jax.custom_vjp. "
            f"JAX said: {type(error).__name__}: {error}"
        )
    return None


@partial(jax.jit, compiler_options=QUICK_TO_COMPILE)
def _look_program(target: Target, points: Any) -> Any:
    return jax.lax.map(jax.value_and_grad(target.log_density), points, batch_size=AT_ONCE)
