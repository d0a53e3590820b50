"""A Potts model on a small graph."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
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
    log_weights,
)
from vi_toolkit.exact.discrete.posterior import DiscretePosterior


def potts_model(coupling: Any, field: Any) -> None:
    """x_i ~ Categorical(logits=field_i), and a factor for the couplings and for what normalises the Categoricals."""
    field = jnp.asarray(field)
    with numpyro.plate("vertices", len(field)):
        x = numpyro.sample("states", dist.Categorical(logits=field))
    same = x[:, None] == x
    numpyro.factor("coupling", 0.5 * jnp.sum(coupling * same) + jnp.sum(jax.nn.logsumexp(field, axis=1)))


def potts(coupling: Any, field: Any) -> DiscretePosterior:
    r"""The distribution of n states x_i among K that prefer to be equal, or unequal, to those of their neighbours.

        P(x) = exp(s(x)) / Z,   s(x) = sum_i h_i(x_i) + sum_{i<j} J_ij 1[x_i = x_j],   Z = sum of exp(s(x)) over all x

    There are no data: log Z, the log partition function, is the log evidence. All K^n assignments are summed over.

    Args:
        coupling: J, of shape (n, n), symmetric with zeros on its diagonal: an edge stands at (i, j) and (j, i), and
            counts once. Above 0, equal states are more probable.
        field: h, of shape (n, K): h_i(k) in row i and column k. Its columns say how many states there are.

    Returns:
        The distribution of "states", n states among 0 to K - 1; log evidence in nats. ``pair_marginals`` are those of
        all pairs, of shape (n, n, K, K).

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if shapes do not fit, the coupling is not symmetric with a zero diagonal, or there are more than
            2^20 assignments: 20 vertices of 2 states, 13 of 3, 10 of 4.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import exact
        >>> triangle = 1.0 - np.eye(3)
        >>> posterior = exact.potts(triangle, np.zeros((3, 3)))  # 3 e^3 + 18 e + 6 over all 27 assignments
        >>> round(posterior.log_evidence, 4), posterior.marginals[0].round(4)
        (4.7465, array([0.3333, 0.3333, 0.3333]))

    Source: Wu (1982), The Potts model, doi:10.1103/RevModPhys.54.235.
    """
    coupling, field = as_coupling(coupling), as_array(field, "field", 2)
    n, K = field.shape
    if len(coupling) != n:
        raise ValueError(f"field: expected {len(coupling)} rows, as coupling has, got {describe(field)}.")
    if K < 2:
        raise ValueError(f"field: expected at least 2 columns, one a state, got {describe(field)}.")
    check_size(n, K)
    found = enumerate_assignments(coupling, field)
    return DiscretePosterior(
        name=f"Potts model of {n} vertices",
        how=f"sums over all {K**n} assignments",
        site="states",
        log_evidence=found.log_partition,
        log_probs=partial(_log_probs, coupling, field, found.log_partition),
        sampler=partial(draw_assignments, np.cumsum(found.probabilities), n, K),
        marginals=found.marginals,
        mode=found.mode,
        model=potts_model,
        args=(coupling, field),
        pair_marginals=found.pair_marginals,
    )


def _log_probs(coupling: np.ndarray, field: np.ndarray, log_partition: float, x: np.ndarray) -> np.ndarray:
    return log_weights(coupling, field, x) - log_partition
