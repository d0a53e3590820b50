"""An Ising model on a small graph."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from vi_toolkit._checks import describe
from vi_toolkit.exact._inputs import as_array
from vi_toolkit.exact.discrete._enumeration import (
    as_coupling,
    check_size,
    draw_assignments,
    enumerate_assignments,
)
from vi_toolkit.exact.discrete.posterior import DiscretePosterior


def ising_model(coupling: Any, field: Any) -> None:
    """x_i ~ Bernoulli(logits=2 field_i), and a factor for the couplings and for what normalises the Bernoullis."""
    field = jnp.asarray(field)
    with numpyro.plate("vertices", len(field)):
        x = numpyro.sample("states", dist.Bernoulli(logits=2.0 * field))
    spins = 2.0 * x - 1.0
    numpyro.factor("coupling", 0.5 * spins @ coupling @ spins + jnp.sum(jnp.logaddexp(field, -field)))


def ising(coupling: Any, field: Any) -> DiscretePosterior:
    r"""The distribution of n spins s_i = -1 or 1 that prefer to be equal, or opposite, to their neighbours.

        P(s) = exp(e(s)) / Z,   e(s) = sum_i h_i s_i + sum_{i<j} J_ij s_i s_j,   Z = sum of exp(e(s)) over all s

    There are no data: log Z, the log partition function, is the log evidence. All 2^n assignments are summed over. The
    posterior speaks of states x_i = 0 for s_i = -1 and x_i = 1 for s_i = 1: s_i = 2 x_i - 1, so that
    E[s_i] = 2 P(x_i = 1) - 1 and E[s_i s_j] = 2 P(x_i = x_j) - 1.

    Args:
        coupling: J, of shape (n, n), symmetric with zeros on its diagonal: an edge stands at (i, j) and (j, i), and
            counts once. Above 0, equal spins are more probable.
        field: h, of shape (n,).

    Returns:
        The distribution of "states", n states of 0 or 1; log evidence in nats. ``pair_marginals`` are those of all
        pairs, of shape (n, n, 2, 2).

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if shapes do not fit, the coupling is not symmetric with a zero diagonal, or there are more than
            20 spins.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import exact
        >>> J, h = np.array([[0.0, 0.5], [0.5, 0.0]]), np.array([0.2, 0.0])
        >>> posterior = exact.ising(J, h)
        >>> spin = 2.0 * posterior.marginals[:, 1] - 1.0
        >>> spin.round(4)  # tanh(h_0), and tanh(J) of it
        array([0.1974, 0.0912])
        >>> round(2.0 * float(np.trace(posterior.pair_marginals[0, 1])) - 1.0, 4)  # E[s_0 s_1] = tanh(J)
        0.4621

    Source: Baxter (1982), Exactly Solved Models in Statistical Mechanics, chapter 2.
    """
    coupling, field = as_coupling(coupling), as_array(field, "field", 1)
    n = len(field)
    if len(coupling) != n:
        raise ValueError(f"field: expected {len(coupling)} entries, as coupling has rows, got {describe(field)}.")
    check_size(n, 2)
    # s_i s_j = 2 1[s_i = s_j] - 1: a Potts model of twice the coupling, and a constant
    found = enumerate_assignments(2.0 * coupling, np.stack([-field, field], axis=1))
    log_evidence = found.log_partition - 0.5 * float(coupling.sum())
    return DiscretePosterior(
        name=f"Ising model of {n} spins",
        how=f"sums over all {2**n} assignments",
        site="states",
        log_evidence=log_evidence,
        log_probs=partial(_log_probs, coupling, field, log_evidence),
        sampler=partial(draw_assignments, np.cumsum(found.probabilities), n, 2),
        marginals=found.marginals,
        mode=found.mode,
        model=ising_model,
        args=(coupling, field),
        pair_marginals=found.pair_marginals,
    )


def _log_probs(coupling: np.ndarray, field: np.ndarray, log_evidence: float, x: np.ndarray) -> np.ndarray:
    s = 2.0 * x - 1.0
    return s @ field + 0.5 * np.sum((s @ coupling) * s, axis=1) - log_evidence
