"""Whether the likelihood of a fit has run away: data that are predicted more exactly than they could be known."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit.programs import QUICK_TO_COMPILE
from vi_toolkit.targets import Target

MOST_EXACT = 14.0  # nats a number: an error of a millionth of the spread of the data


def unbounded_likelihood(target: Target, point: np.ndarray) -> list[str]:
    """The observed sites whose density at a point is that of an error below a millionth of the spread of their data.

    With s the spread, a density p(y) ~ 1 / error has log p(y) + log s ~ log (s / error). Sites of whole numbers have no
    density, and are left out.
    """
    said = []
    log_likelihood = _terms(target, jnp.asarray(point, jnp.result_type(float)))
    for name, values in target.observed().items():
        if name in log_likelihood and values.dtype.kind == "f" and values.size > 1:
            said += _words(target, name, values.astype(float), np.asarray(log_likelihood[name], float))
    return said


def _words(target: Target, name: str, values: np.ndarray, terms: np.ndarray) -> list[str]:
    spread = float(values.std()) or float(np.abs(values).max()) or 1.0
    exactness = float(np.median(terms)) * terms.size / values.size + np.log(spread)
    if not exactness > MOST_EXACT:
        return []
    equal = f" (all {values.size} of its values are {values.flat[0]:g})" * bool(values.std() == 0)
    behind = ", ".join(target.dependencies().get(name, ())) or "the unknowns"
    return [
        f"The likelihood of {name!r} grows without bound{equal}: by its {behind}, the fit predicts it to within "
        f"{np.exp(-exactness):.0e} of its size, more exactly than it could be known. Such a posterior is improper, or "
        f"next to it. Give the scale of {name!r} a prior that keeps it from zero, or look for data that were copied or "
        "rounded."
    ]


@partial(jax.jit, compiler_options=QUICK_TO_COMPILE)
def _terms(target: Target, point: Any) -> Any:
    return target.log_likelihood(point)
