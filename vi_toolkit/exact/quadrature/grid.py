"""Any posterior of one to three dimensions, by adaptive quadrature."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from vi_toolkit._checks import check_continuous, check_instance, check_positive
from vi_toolkit.exact.posterior import ExactPosterior, nearest_mode
from vi_toolkit.exact.quadrature._cells import coefficients, nodes, peaks
from vi_toolkit.exact.quadrature._explore import find_maxima
from vi_toolkit.exact.quadrature._integrate import Integral, integrate
from vi_toolkit.exact.quadrature._table import Table, draw
from vi_toolkit.targets import Target

TOLERANCES = {1: 1e-8, 2: 1e-8, 3: 1e-6}  # where none is asked for, by dimension


def grid(target: Target, *, relative_tolerance: float | None = None) -> ExactPosterior:
    r"""Integrates a target of one to three dimensions, whatever its shape: several modes, narrow, curved, heavy tails.

    Z = integral of p~(z) dz, E[z] = integral of z p~(z) dz / Z, and so on, by Gauss-Legendre quadrature on cells that
    are halved until Legendre polynomials resolve p~ in each. Where to look is found by Newton climbs from draws of the
    prior, where there is one, and from a scan of (-10^4, 10^4)^dim, and by walkers that spread from the maxima; the box
    is doubled until what lies outside no longer counts, and every cell is held against its halves. A mode that none of
    these finds is missed: the error that is stated does not cover that. Draws invert the distribution function of the
    polynomials, one coordinate after the other.

    Args:
        target: a target of dim 1, 2 or 3.
        relative_tolerance: what the errors of Z and of the second moment may be, relative to themselves; by default
            1e-8 in one and two dimensions, and 1e-6 in three. It is raised to what JAX's precision can give, which in
            float32 is 2e-4 at best. In three dimensions the density of the draws is known to its square root.

    Returns:
        The posterior. Log evidence in nats; ``log_evidence_error`` is the tolerance that was reached: twice what
        halving every cell changes, with what the tails may hold, is below it, and the error itself is often far
        smaller.
        Moments whose tails have not died out after the box was doubled 64 times (a Student-t's covariance below about
        2.4 degrees of freedom) are None, and so are modes that are not isolated (a ring). ``mode_weights`` are the
        masses of the regions nearest to each mode.

    Raises:
        TypeError: if ``target`` is not a `Target`.
        ValueError: if its dim is above 3, no mass is found, the density cannot be integrated, or the tolerance is not
            reached.

    Example:
        >>> import jax.numpy as jnp
        >>> from vi_toolkit import exact
        >>> from vi_toolkit.targets import from_log_density
        >>> logistic = from_log_density(lambda z: -z[0] - 2.0 * jnp.logaddexp(0.0, -z[0]), dim=1)
        >>> posterior = exact.grid(logistic, relative_tolerance=1e-3)
        >>> abs(posterior.log_evidence) <= posterior.log_evidence_error
        True
        >>> round(float(posterior.covariance[0, 0]), 2)  # pi^2 / 3
        3.29

    Source: the stopping rule is that of polynomial approximation, Trefethen (2013), Approximation Theory and
    Approximation Practice, chapter 3.
    """
    check_instance(target, Target, "target", "Make one with vi.from_log_density or vi.from_numpyro.")
    check_continuous(target, "vi.exact.grid")
    if target.dim not in TOLERANCES:
        raise ValueError(
            f"target: expected dim 1, 2 or 3, got {target.dim}. For more dimensions, vi.exact.reference runs NUTS."
        )
    tolerance = TOLERANCES[target.dim] if relative_tolerance is None else relative_tolerance
    return summarise(integrate(target, check_positive(tolerance, "relative_tolerance")))


def summarise(integral: Integral) -> ExactPosterior:
    """What the cells say of the posterior."""
    frame, cells, has_moment = integral.frame, integral.cells, integral.has_moment
    total, mean_u, scatter = _moments(integral)
    log_evidence = float(np.log(total) + frame.peak + np.log(np.diag(frame.root)).sum())
    maxima = find_maxima(frame.target, frame.to_z(peaks(cells)), frame.root)
    modes = maxima if len(maxima) else None
    table = Table(frame, cells.low, cells.high, cells.integrals[:, 0] / total, coefficients(cells.values))
    return ExactPosterior(
        name="grid",
        target=replace(frame.target, log_evidence=log_evidence),
        how=f"quadrature, relative error below {integral.tolerance:.0e}",
        sampler=partial(draw, table),
        log_evidence=log_evidence,
        log_evidence_error=integral.error,
        mean=frame.to_z(mean_u) if has_moment[0] else None,
        covariance=frame.root @ scatter @ frame.root.T if has_moment[1] else None,
        modes=modes,
        mode_weights=None if modes is None else _masses_near(modes, integral) / total,
    )


def _moments(integral: Integral) -> tuple[float, np.ndarray, np.ndarray]:
    """The integral, and the mean and covariance of u."""
    dim = integral.frame.target.dim
    total, first, second = 0.0, np.zeros(dim), np.zeros((dim, dim))
    for masses, u in nodes(integral.cells):
        total += masses.sum()
        first += masses @ u
        second += (masses[:, None] * u).T @ u
    mean = first / total
    return total, mean, second / total - np.outer(mean, mean)


def _masses_near(modes: np.ndarray, integral: Integral) -> np.ndarray:
    """The integrals over the regions that are nearest to each mode: (modes,)."""
    parts = [masses @ nearest_mode(modes, integral.frame.to_z(u)) for masses, u in nodes(integral.cells)]
    return np.sum(parts, axis=0)
