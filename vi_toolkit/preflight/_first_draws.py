"""A guide that begins where it says itself: whether its first draws have a density under guide and target."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np

from vi_toolkit._start import NUM_STARTS
from vi_toolkit._types import Key, raw_key
from vi_toolkit.algorithms import Method
from vi_toolkit.programs import QUICK_TO_COMPILE, Purpose, begin_program, stream
from vi_toolkit.targets import Target

NUM_DRAWS = 16


def begins_by_itself(method: Method | None) -> bool:
    """Whether the method's guide asks for no start, or was given its parameters."""
    needs_start = getattr(getattr(method, "guide", None), "needs_start", True)
    return not needs_start or isinstance(getattr(method, "start", None), dict)


def faults_of_first_draws(key: Key, target: Target, method: Method) -> tuple[list[str], list[str]]:
    """Errors where none of the first draws will do, warnings where some will not."""
    data, kind = raw_key(key)
    nowhere = np.zeros((NUM_STARTS, target.dim), jax.dtypes.canonicalize_dtype(float))
    guide_key = stream(data, Purpose.GUIDE)
    _, params, _ = begin_program(method, target, guide_key, nowhere, kind)
    draws, log_q, log_p, slopes = jax.device_get(_first_program(method, target, params, guide_key, kind))
    good_q, good_p = np.isfinite(log_q), np.isfinite(log_p) & np.isfinite(slopes).all(axis=1)
    bad = ~(good_q & good_p)
    if not bad.any():
        return [], []
    count = f"{int(bad.sum())} of {NUM_DRAWS} first draws of the guide"
    if not good_q.all():
        said = f"guide: for {count} its own log density is not finite. Look at the first values of its parameters."
    else:
        first = jax.numpy.asarray(draws[int(np.argmax(bad))])
        said = (
            f"target: at {count}, the log density or its gradient is not finite. At one of them, "
            f"{target.explain(first)}. Look at the model, and at where the guide begins."
        )
    return ([said], []) if bad.all() else ([], [said])


@partial(jax.jit, static_argnames="kind", compiler_options=QUICK_TO_COMPILE)
def _first_program(method: Method, target: Target, params: Any, key: Any, kind: str) -> Any:
    q = method.posterior(params)
    draws = q.sample(jax.random.wrap_key_data(key, impl=kind), (NUM_DRAWS,))
    values, slopes = jax.vmap(jax.value_and_grad(target.log_density))(draws)
    return draws, q.log_prob(draws), values, slopes
