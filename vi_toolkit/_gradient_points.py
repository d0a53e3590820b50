"""Where gradients are measured: at the start of a fit, at given parameters, or along the path of a fit."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import check_instance, check_positive_int
from vi_toolkit._start import NUM_STARTS
from vi_toolkit._types import Key, Params, typed_key
from vi_toolkit.algorithms import Method, gradient
from vi_toolkit.fit import Fit, fit as run, resume
from vi_toolkit.guides import Guide
from vi_toolkit.objectives import ReverseKL
from vi_toolkit.targets import Target
from vi_toolkit.windows import begin


class Point(NamedTuple):
    """Parameters of a guide, and where in a fit they come from."""

    name: str
    step: int  # -1 where they come from no fit
    params: Params


def find_points(
    key: Key, target: Target, guide: Guide, params: Params | list[Params] | None, fit: Fit | None, num_points: int
) -> list[Point]:
    """The given parameters; or points along a fit; or where a fit would start."""
    if fit is not None:
        if params is not None:
            raise ValueError("fit: expected either params or a fit, got both.")
        return _along(fit, target, guide, check_positive_int(num_points, "num_points"))
    if num_points != 1:
        raise ValueError(f"num_points: expected 1 without a fit, got {num_points}. Pass a fit to go along.")
    if params is None:
        return [Point("start", 0, _start(key, gradient(guide, ReverseKL()), target))]
    if not isinstance(params, list):
        return [Point("params", -1, _checked(key, params, target, guide, "params"))]
    return [
        Point(f"params[{i}]", -1, _checked(key, each, target, guide, f"params[{i}]")) for i, each in enumerate(params)
    ]


def _along(fit: Fit, target: Target, guide: Guide, num_points: int) -> list[Point]:
    """The start, iterates at steps in geometric progression, and the result: the fit is run again for the first two."""
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    fitted = getattr(fit.method, "guide", None)
    if fitted != guide:
        raise ValueError(f"fit: expected a fit of {guide}, got one of {fitted or fit.method}.")
    end = Point("end", fit.num_steps, fit.params)
    if num_points == 1:
        return [end]
    key = typed_key(fit.checkpoint.key, fit.checkpoint.key_kind)
    points = [Point("start", 0, _start(key, fit.method, fit.target))]
    steps = np.geomspace(1, max(fit.num_steps, 1), num_points)[1:-1].round().astype(int)
    path: Fit | None = None
    for step in map(int, np.unique(steps)):
        path = run(key, fit.target, fit.method, max_steps=step) if path is None else path
        while path.num_steps < step:  # a fit that was resumed after it had ended stops more than once
            path = resume(path, max_steps=step - path.num_steps)
        points.append(Point(f"step {step:,}", step, fit.method.latest(path.checkpoint.state)))
    return [*points, end]


def _start(key: Key, method: Method, target: Target) -> Params:
    _, params, start = begin(key, method, target)
    if not bool(start.finite):
        raise ValueError(
            "target: the log density or its gradient is not finite at any point tried as a start. At one of them, "
            f"{target.explain(start.location)}."
        )
    return params


def _checked(key: Key, params: Any, target: Target, guide: Guide, name: str) -> Params:
    """``params`` if they have the structure and the shapes of the guide's own; raises otherwise."""
    method = gradient(guide, ReverseKL(), num_draws=1)
    candidates = jnp.zeros((NUM_STARTS, target.dim))
    expected = jax.eval_shape(lambda: method.latest(method.init(key, target, candidates)[0]))
    if _shapes(params) != _shapes(expected):
        raise ValueError(
            f"{name}: expected parameters of {guide}, of shapes {_shapes(expected)}, got {_shapes(params)}."
        )
    return params


def _shapes(params: Params) -> Any:
    return jax.tree.map(lambda leaf: f"({', '.join(map(str, np.shape(leaf)))})", params)
