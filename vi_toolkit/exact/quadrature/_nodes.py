"""The nodes of a grid and their weights: expectations under a posterior that was found by quadrature."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, cast

import numpy as np
from numpy.polynomial.legendre import leggauss, legvander

from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.exact.quadrature._cells import node_positions
from vi_toolkit.exact.quadrature._table import Table

NEGLIGIBLE = 1e-16  # of the weight of the heaviest node


class Nodes(NamedTuple):
    """E[f(z)] = sum_i weights_i f(z_i), as exactly as the grid knows the posterior."""

    z: np.ndarray  # (nodes, d)
    weights: np.ndarray  # (nodes,), summing to one


def nodes_of(posterior: ExactPosterior) -> Nodes:
    """Those of a posterior that `grid` made; the ones that hold no mass are left out."""
    table: Table = cast("partial[np.ndarray]", posterior.sampler).args[0]
    values = table.coefficients
    x, weights = leggauss(values.shape[-1])
    polynomials = legvander(x, len(x) - 1)  # P_i(x_k), (nodes, degrees)
    for _ in range(values.ndim - 1):  # coefficients back to values, one axis after the other
        values = np.tensordot(values, polynomials, axes=([1], [1]))
        values = values * weights
    masses = np.prod(0.5 * (table.high - table.low), axis=1)[:, None] * values.reshape(len(values), -1)
    z = table.frame.to_z(node_positions(table.low, table.high).reshape(-1, table.low.shape[1]))
    flat = masses.ravel()
    kept = flat > NEGLIGIBLE * flat.max()
    return Nodes(z[kept], flat[kept] / flat.sum())
