"""Which unknowns each term of a model's log density depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpyro.handlers import block
from numpyro.infer.inspect import get_dependencies


def find_dependencies(model: Callable[..., Any], args: Any, kwargs: Any) -> Mapping[str, tuple[str, ...]]:
    """The unknowns behind the distribution and the value of every sample site, in the model's order.

    An unknown site stands among its own. The model is traced, and nothing is computed.
    """
    with block():
        found = get_dependencies(model, args, kwargs)
    terms: Mapping[str, Mapping[str, Any]] = found["prior_dependencies"]
    unknowns = set(found["posterior_dependencies"])
    return {
        name: tuple(other for other in terms if other in behind and other in unknowns) for name, behind in terms.items()
    }
