"""Any posterior of one or two dimensions, by adaptive quadrature."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import check_instance, check_positive
from vi_toolkit.exact.posterior import ExactPosterior, nearest_mode
from vi_toolkit.exact.quadrature._cells import Cells, coefficients, join, make_cells, node_masses, node_positions, peaks
from vi_toolkit.exact.quadrature._explore import Map, explore, find_maxima
from vi_toolkit.exact.quadrature._refine import partition, resolve, settle, verify
from vi_toolkit.exact.quadrature._table import Frame, Table, draw
from vi_toolkit.targets import Target

MAX_DOUBLINGS = 64
MAX_CHECKS = 6


def grid(target: Target, *, relative_tolerance: float = 1e-8) -> ExactPosterior:
    r"""Integrates a target of one or two dimensions, whatever its shape: several modes, narrow or curved, heavy tails.

    Z = integral of p~(z) dz, E[z] = integral of z p~(z) dz / Z, and so on, by Gauss-Legendre quadrature on cells that
    are halved until Legendre polynomials resolve p~ in each. Where to look is found by Newton climbs from draws of the
    prior, where there is one, and from a scan of (-10^4, 10^4)^dim, and by walkers that spread from the maxima; the box
    is doubled until what lies outside no longer counts, and every cell is held against its halves. A mode that none of
    these finds is missed: the error that is stated does not cover that. Draws invert the distribution function of the
    polynomials, one coordinate after the other.

    Args:
        target: a target of dim 1 or 2.
        relative_tolerance: what the errors of Z and of the second moment may be, relative to themselves. It is raised
            to what JAX's precision can give, which in float32 is 2e-4 at best.

    Returns:
        The posterior; ``how`` states the tolerance that was reached. Log evidence in nats. Moments whose tails have
        not died out after the box was doubled 64 times (a Student-t's covariance below about 2.4 degrees of freedom)
        are None, and so are modes that are not isolated (a ring). ``mode_weights`` are the masses of the regions
        nearest to each mode.

    Raises:
        TypeError: if ``target`` is not a `Target`.
        ValueError: if its dim is above 2, no mass is found, the density cannot be integrated, or the tolerance is not
            reached.

    Example:
        >>> import jax.numpy as jnp
        >>> from vi_toolkit import exact
        >>> from vi_toolkit.targets import from_log_density
        >>> logistic = from_log_density(lambda z: -z[0] - 2.0 * jnp.logaddexp(0.0, -z[0]), dim=1)
        >>> posterior = exact.grid(logistic, relative_tolerance=1e-3)
        >>> abs(posterior.log_evidence) < 1e-3, round(float(posterior.covariance[0, 0]), 2)  # 0 and pi^2 / 3
        (True, 3.29)

    Source: the stopping rule is that of polynomial approximation, Trefethen (2013), Approximation Theory and
    Approximation Practice, chapter 3.
    """
    check_instance(target, Target, "target", "Make one with vi.from_log_density or vi.from_numpyro.")
    tolerance = check_positive(relative_tolerance, "relative_tolerance")
    if target.dim > 2:
        raise ValueError(
            f"target: expected dim 1 or 2, got {target.dim}. For more dimensions, vi.exact.reference runs NUTS."
        )
    found = explore(target)
    frame = Frame(target, found.points.mean(axis=0), _root(found.points), found.peak)
    tolerance = max(tolerance, _precision(frame))
    cells, has_moment = _integrate(frame, found, tolerance)
    cells = _verified(frame, cells, tolerance)
    return _summarise(frame, cells, has_moment, f"quadrature, relative error below {tolerance:.0e}")


def _precision(frame: Frame) -> float:
    """What rounding leaves of the relative precision: of log p~ at its peak, and of z on the scale of the posterior.

    The factors are the noise that was measured in the highest Legendre coefficients, in float32 and in float64.
    """
    epsilon = float(np.finfo(jnp.result_type(float)).eps)
    shift = float(np.max(np.abs(frame.centre) / np.linalg.norm(frame.root, axis=1)))
    precision = epsilon * (200.0 * max(abs(frame.peak), 10.0) + 30.0 * shift)
    if precision > 0.1:
        raise ValueError(
            f"target: in {jnp.result_type(float)} its density has a relative error of about {precision:.1g}. Shift or "
            "rescale the target, or switch on JAX's float64: jax.config.update('jax_enable_x64', True)."
        )
    return precision


def _root(points: np.ndarray) -> np.ndarray:
    return np.linalg.cholesky(np.atleast_2d(np.cov(points.T)))


def _integrate(frame: Frame, found: Map, tolerance: float) -> tuple[Cells, tuple[bool, bool]]:
    """Cells over all the mass, and whether the first and second moments exist."""
    both = np.concatenate([found.points, found.wide_points])
    points = np.linalg.solve(frame.root, (both - frame.centre).T).T
    margin = 0.5 * (points.max(axis=0) - points.min(axis=0))
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    cells = settle(frame.density, make_cells(frame.density, *partition(low, high, points)), tolerance)
    largest = 1e-2 * float(np.finfo(jnp.result_type(float)).max) ** 0.5
    for _ in range(MAX_DOUBLINGS):
        margin = 0.5 * (high - low)
        cells = join(cells, make_cells(frame.density, *_shell(low, high, margin)))
        cells = resolve(frame.density, cells, tolerance)
        shares = _shares_outside(cells, low, high)
        low, high = low - margin, high + margin
        if max(shares) < 0.1 * tolerance:
            return cells, (True, True)
        if np.abs(frame.to_z(np.stack([low, high]))).max() > largest:  # beyond, squares overflow
            break
    if shares[0] > 0.1 * tolerance:
        raise ValueError(
            f"target: its tails still hold a share {shares[0]:.1e} of the integral in a box that reaches to "
            f"{np.abs(frame.to_z(high)).max():.0e}. The posterior is improper, or its tails are too "
            "heavy for quadrature."
        )
    return cells, (shares[1] < 0.1 * tolerance, False)


def _shell(low: np.ndarray, high: np.ndarray, margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The boxes that lie between a box and the one that is wider by ``margin`` on every side."""
    lows, highs = [], []
    inner_low, inner_high = low.copy(), high.copy()
    for axis in range(len(low)):
        for edge, direction in ((inner_low[axis], -1), (inner_high[axis], 1)):
            box_low, box_high = inner_low.copy(), inner_high.copy()
            box_low[axis], box_high[axis] = sorted((edge, edge + direction * margin[axis]))
            lows.append(box_low)
            highs.append(box_high)
        inner_low[axis] -= margin[axis]
        inner_high[axis] += margin[axis]
    return np.stack(lows), np.stack(highs)


def _shares_outside(cells: Cells, low: np.ndarray, high: np.ndarray) -> list[float]:
    """The shares of the integrals of f, |u| f and |u|^2 f that lie outside the box."""
    outside = np.any((cells.low >= high) | (cells.high <= low), axis=1)
    mass, radius = node_masses(cells), np.linalg.norm(node_positions(cells.low, cells.high), axis=2)
    return [float((mass * radius**k)[outside].sum() / (mass * radius**k).sum()) for k in range(3)]


def _verified(frame: Frame, cells: Cells, tolerance: float) -> Cells:
    """Cells whose integrals stay the same, to ``tolerance``, when every cell is halved."""
    for _ in range(MAX_CHECKS):
        cells, error = verify(frame.density, cells, tolerance)
        if error <= tolerance:
            return cells
        cells = settle(frame.density, cells, tolerance)
    raise ValueError(
        f"grid: two resolutions differ by {error:.1e}, and relative_tolerance asks for {tolerance:.1e}. The density "
        "may have jumps or be too thin a ridge; a larger relative_tolerance may be reached."
    )


def _summarise(frame: Frame, cells: Cells, has_moment: tuple[bool, bool], how: str) -> ExactPosterior:
    masses, u = node_masses(cells), node_positions(cells.low, cells.high)
    total = masses.sum()
    weights, u = masses.ravel() / total, u.reshape(-1, u.shape[2])
    log_evidence = float(np.log(total) + frame.peak + np.log(np.diag(frame.root)).sum())
    mean_u = weights @ u
    scatter = (weights[:, None] * (u - mean_u)).T @ (u - mean_u)
    maxima = find_maxima(frame.target, frame.to_z(peaks(cells)), frame.root)
    modes = maxima if len(maxima) else None
    table = Table(frame, cells.low, cells.high, masses.sum(axis=1) / total, coefficients(cells.values))
    return ExactPosterior(
        name="grid",
        target=replace(frame.target, log_evidence=log_evidence),
        how=how,
        sampler=partial(draw, table),
        log_evidence=log_evidence,
        mean=frame.to_z(mean_u) if has_moment[0] else None,
        covariance=frame.root @ scatter @ frame.root.T if has_moment[1] else None,
        modes=modes,
        mode_weights=None if modes is None else weights @ nearest_mode(modes, frame.to_z(u)),
    )
