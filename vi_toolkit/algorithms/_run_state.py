"""Where many runs of one method stand, side by side: every array of the method's own state with a leading axis."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vi_toolkit._types import Scalar
from vi_toolkit.algorithms._stacking import RunValues, Weighed

APART = 1.0  # nats, above which two runs are in places apart: means one standard deviation from one another


class RunsState(NamedTuple):
    """The runs, how each has ended, and what they were found to be worth when they were last weighed."""

    runs: Any  # states of the method
    facts: dict[str, RunValues]  # of the last step of each run
    outcomes: Array  # (runs,)
    weighed: Weighed
    taken: Array  # steps
    halves: Array  # of windows that were begun
    due: Array  # whether the runs are to be weighed after the next step, with all draws
    spent: Scalar  # gradients of the search for regions, to be counted with the first step
    outcome: Array  # of all


def strong(tree: Any) -> Any:
    """The same arrays with dtypes of their own: a weak one would compile a second program."""
    return jax.tree.map(lambda leaf: leaf if _is_key(leaf) else jnp.asarray(leaf).astype(leaf.dtype), tree)


def apart(tree: Any, count: int) -> list[Any]:
    """The runs one by one, on the host."""
    plain = jax.tree.map(lambda leaf: leaf if _is_key(leaf) else np.asarray(leaf), tree)
    return [jax.tree.map(lambda leaf, k=k: leaf[k], plain) for k in range(count)]


def together(parts: list[Any]) -> Any:
    """Runs from one by one to side by side, on the host."""

    def stack(*leaves: Any) -> Any:
        return jnp.stack(leaves) if _is_key(leaves[0]) else np.stack([np.asarray(leaf) for leaf in leaves])

    return jax.tree.map(stack, *parts)


def words_of_runs(elbo: np.ndarray, between: np.ndarray, afterwards: str) -> list[str]:
    """How many runs failed, and in how many places the others ended.

    Args:
        elbo: of the runs, -inf where one failed.
        between: of each pair, the two divergences added, (runs, runs).
        afterwards: what is said where there are several places.
    """
    failed, said = np.isneginf(elbo), []
    if failed.any():
        said.append(
            f"{failed.sum()} of {len(elbo)} restarts failed and count nothing: they diverged, or the log density is "
            "not finite where they ended."
        )
    order = [int(run) for run in np.argsort(-elbo, kind="stable") if not failed[run]]
    places = places_apart(between, order)
    if len(places) > 1:
        nearest = min(between[one, other] for one in places for other in places if one != other)
        values = ", ".join(f"{elbo[run]:.2f}" for run in places[:5]) + (", ..." if len(places) > 5 else "")
        said.append(
            f"The {len(order)} restarts that did not fail ended in {len(places)} places, {nearest:.3g} nats or more "
            f"apart (the two divergences added), with an ELBO of {values} nats: the posterior may have several modes. "
            f"{afterwards}"
        )
    return said


def places_apart(between: np.ndarray, order: list[int]) -> list[int]:
    """The runs, in an order, that are apart from all those found before them."""
    found: list[int] = []
    for run in order:
        if all(between[run, other] > APART for other in found):
            found.append(run)
    return found


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))
