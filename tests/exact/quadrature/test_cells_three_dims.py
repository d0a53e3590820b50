"""The parts of the quadrature in three dimensions, each on its own."""

import numpy as np
from scipy import stats

from vi_toolkit import zoo
from vi_toolkit.exact.quadrature._cells import coefficients, integrals_by_halves, make_cells, nodes
from vi_toolkit.exact.quadrature._integrate import integrate
from vi_toolkit.exact.quadrature._refine import resolve, settle, verify
from vi_toolkit.exact.quadrature._table import _invert_in_turn


def test_polynomials_are_integrated_and_recovered():
    def polynomial(u):
        return 2.0 + u[:, 0] ** 3 * u[:, 1] ** 2 + u[:, 1] * u[:, 2] ** 4

    box = np.array([[0.0, 0.0, -1.0]]), np.array([[2.0, 3.0, 1.0]])
    cells = make_cells(polynomial, *box)
    total = 2.0 * 12.0 + 4.0 * 9.0 * 2.0 + 2.0 * 4.5 * 0.4
    np.testing.assert_allclose(cells.integrals[:, 0], total)
    np.testing.assert_allclose(integrals_by_halves(polynomial, *box), cells.integrals)
    np.testing.assert_allclose(cells.unresolved, 0.0, atol=1e-9)
    ((masses, u),) = nodes(cells)
    np.testing.assert_allclose([masses.sum(), masses @ u[:, 0]], [total, 24.0 + 6.4 * 9.0 * 2.0 + 2.0 * 4.5 * 0.4])
    unit = (u - [1.0, 1.5, 0.0]) / [1.0, 1.5, 1.0]
    value = np.polynomial.legendre.legval3d(*unit.T, coefficients(cells.values)[0])
    np.testing.assert_allclose(value, polynomial(u), rtol=1e-12)


def test_the_axis_that_is_not_resolved_is_cut():
    def wave(u):
        return 1.5 + np.sin(9.0 * u[:, 1])

    cells = make_cells(wave, -np.ones((1, 3)), np.ones((1, 3)))
    assert cells.unresolved.argmax() == 1
    np.testing.assert_allclose(cells.unresolved[0, [0, 2]], 0.0, atol=1e-12)
    resolved = resolve(wave, cells, 1e-10)
    assert set(np.unique(resolved.high[:, 0] - resolved.low[:, 0])) == {2.0}
    np.testing.assert_allclose(resolved.integrals[:, 0].sum(), 12.0, rtol=1e-10)


def test_a_needle_is_followed_from_where_it_is_seen():
    """A needle that narrow cells see at one end leads into a wide cell, between whose nodes it passes."""

    def needle(u):
        return stats.norm(0.21, 0.001).pdf(u[:, 1]) * stats.norm(-0.13, 0.001).pdf(u[:, 2])

    edges = 0.2 + np.linspace(0.0, 0.02, 9), -0.14 + np.linspace(0.0, 0.02, 9)
    low = [[-1.0, a, b] for a in edges[0][:-1] for b in edges[1][:-1]]
    high = [[0.0, a, b] for a in edges[0][1:] for b in edges[1][1:]]
    wide = make_cells(needle, np.array([[0.0, -1.0, -1.0]]), np.array([[1.0, 1.0, 1.0]]))
    assert wide.integrals[0, 0] < 1e-12
    cells = make_cells(needle, np.array([*low, [0.0, -1.0, -1.0]]), np.array([*high, [1.0, 1.0, 1.0]]))
    settled = settle(needle, cells, 1e-6)
    np.testing.assert_allclose(settled.integrals[:, 0].sum(), 2.0, rtol=1e-6)


def test_halves_that_see_more_are_looked_into():
    """A needle that only the halves of a cell see is cut out, however little it holds beside the rest."""

    def speck(u):
        return 1.0 + 1e3 * np.exp(-0.5 * np.sum((u - [2.05, 0.05, 0.05]) ** 2, axis=1) / 0.05**2) * (u[:, 0] > 1.0)

    cells = make_cells(
        speck, np.array([[-1.0, -1.0, -1.0], [1.0, -1.0, -1.0]]), np.array([[1.0, 1.0, 1.0], [3.0, 1.0, 1.0]])
    )
    cut, error, is_done = verify(speck, cells, 1e-3)
    assert not is_done
    assert len(cut.low) == 9
    assert error > 1e-3


def test_points_of_the_unit_cube_become_draws():
    """x_0 has density ~ 1 + x_0; x_1 given x_0 ~ 1 + x_0 x_1; x_2 is uniform: by hand."""
    x = np.polynomial.legendre.leggauss(8)[0]
    a, b, _ = np.meshgrid(x, x, x, indexing="ij")
    c = coefficients(((1.0 + a) * (1.0 + a * b))[None])
    u = np.array([[0.25], [0.3], [0.7]])
    (point,) = _invert_in_turn(c, u)
    first = 2.0 * np.sqrt(0.25) - 1.0  # (1 + x)^2 / 4 = u
    assert abs(point[0] - first) < 1e-11
    assert abs(point[2] - 0.4) < 1e-11
    share = 0.5 * (point[1] + 1.0) + 0.25 * point[0] * (point[1] ** 2 - 1.0)
    np.testing.assert_allclose(share, 0.3, atol=1e-11)


def test_cells_hold_what_is_left_of_the_error():
    integral = integrate(zoo.correlated_gaussian(3, condition_number=100.0).target, 1e-6)
    assert np.isfinite(integral.cells.change).all()  # every cell was held against its halves
    changes = np.abs(integral.cells.change).sum(axis=0) / integral.cells.integrals.sum(axis=0)
    assert changes.max() <= 0.35e-6
