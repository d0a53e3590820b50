"""Flat priors: log density 0 on the whole of a support."""

from __future__ import annotations

from typing import Any

from numpyro.distributions import ImproperUniform, constraints


def flat(num_entries: int) -> ImproperUniform:
    """On R^num_entries."""
    return ImproperUniform(constraints.real_vector, (), (num_entries,))


def flat_on(support: Any, event_shape: tuple[int, ...] = ()) -> ImproperUniform:
    """On any support."""
    return ImproperUniform(support, (), event_shape)
