"""The parts of the quadrature, each on its own."""

import jax
import numpy as np
import pytest
from scipy import stats

from tests.exact.checks import check_agreement
from vi_toolkit import exact, zoo
from vi_toolkit.exact.quadrature._cells import coefficients, make_cells, node_masses, node_positions, peaks
from vi_toolkit.exact.quadrature._refine import partition, settle, verify
from vi_toolkit.exact.quadrature._table import _invert


def ridge(u):
    """A ridge of width 0.002 along the second axis, whose integral over (-1, 1)^2 is 2 but for 1e-12."""
    return stats.norm(0.25, 0.002).pdf(u[:, 0]) * (1.0 + 0.1 * np.sin(u[:, 1]))


def test_a_ridge_does_not_hide_in_a_wide_cell():
    """Below, narrow cells see it; above, it passes between the nodes of one wide cell, until that is cut."""
    edges = np.linspace(-1.0, 1.0, 1025)
    low = np.append(np.stack([edges[:-1], np.full(1024, -1.0)], axis=1), [[-1.0, 0.0]], axis=0)
    high = np.append(np.stack([edges[1:], np.zeros(1024)], axis=1), [[1.0, 1.0]], axis=0)
    cells = make_cells(ridge, low, high)
    assert node_masses(cells)[-1].sum() < 1e-12
    settled = settle(ridge, cells, 1e-8)
    np.testing.assert_allclose(node_masses(settled).sum(), 2.0, rtol=1e-8)
    np.testing.assert_allclose(np.prod(settled.high - settled.low, axis=1).sum(), 4.0)  # nothing lost, nothing twice


def test_cells_with_many_points_are_cut():
    points = np.random.default_rng(0).normal(size=(500, 2)) * [0.01, 1.0]
    low, high = partition(np.array([-8.0, -8.0]), np.array([8.0, 8.0]), np.repeat(points, 3, axis=0))
    inside = np.all((points[:, None] >= low) & (points[:, None] < high), axis=2)
    np.testing.assert_array_equal(inside.sum(axis=1), 1)
    assert inside.sum(axis=0).max() <= 8
    np.testing.assert_allclose(np.prod(high - low, axis=1).sum(), 256.0)


def test_polynomials_are_integrated_and_recovered():
    def polynomial(u):
        return 2.0 + u[:, 0] ** 3 * u[:, 1] ** 2 + u[:, 1]

    cells = make_cells(polynomial, np.array([[0.0, 0.0]]), np.array([[2.0, 3.0]]))
    np.testing.assert_allclose(node_masses(cells).sum(), 2.0 * 6.0 + 4.0 * 9.0 + 9.0)
    np.testing.assert_allclose(cells.unresolved, 0.0, atol=1e-9)
    nodes = node_positions(cells.low, cells.high, 12)[0]
    unit = (nodes - [1.0, 1.5]) / [1.0, 1.5]
    value = np.polynomial.legendre.legval2d(*unit.T, coefficients(cells.values)[0])
    np.testing.assert_allclose(value, polynomial(nodes), rtol=1e-12)


def test_verify_finds_the_cells_that_changed():
    def kink(u):
        return np.abs(u[:, 0] - 0.3)

    cells = make_cells(kink, np.array([[-1.0], [0.0]]), np.array([[0.0], [1.0]]))
    cut, error, is_done = verify(kink, cells, 1e-8)
    assert 1e-8 < error < 1e-2
    assert not is_done
    np.testing.assert_array_equal(np.sort(cut.low[:, 0]), [-1.0, 0.0, 0.5])
    again, finer, _ = verify(kink, cut, 1e-8)  # the cell that was resolved is not looked at again
    assert finer < error
    np.testing.assert_array_equal(np.sort(again.low[:, 0]), [-1.0, 0.0, 0.25, 0.5])


def test_peaks_are_where_no_neighbour_is_higher():
    def two(u):
        return np.exp(-40.0 * (u[:, 0] - 0.3) ** 2) + np.exp(-40.0 * (u[:, 0] + 0.6) ** 2)

    edges = np.linspace(-1.0, 1.0, 9)[:, None]
    found = peaks(make_cells(two, edges[:-1], edges[1:]))
    np.testing.assert_allclose(np.sort(found[:, 0]), [-0.6, 0.3], atol=0.02)


@pytest.mark.parametrize("power", [0, 1, 3])
def test_inverse_of_the_distribution_function(power):
    """The density (1 + x)^power on (-1, 1) has the inverse 2 u^(1 / (power + 1)) - 1."""
    x = np.polynomial.legendre.leggauss(20)[0]
    c = coefficients((1.0 + x[None]) ** power)
    u = np.linspace(0.01, 0.99, 9)
    np.testing.assert_allclose(_invert(np.repeat(c, 9, axis=0), u), 2 * u ** (1 / (power + 1)) - 1, atol=1e-11)


def test_draws_fill_cells_in_both_coordinates():
    """A coarse tolerance leaves wide cells, inside which the draws must follow the density too."""
    found = exact.grid(zoo.skewed(2, slant=[4.0, -2.0]).target, relative_tolerance=1e-3)
    draws = np.asarray(found.sample(jax.random.key(5), 20_000))
    for axis, slant in ((0, 4.0 / np.sqrt(5.0)), (1, -2.0 / np.sqrt(17.0))):
        assert stats.kstest(draws[:, axis], stats.skewnorm(slant).cdf).pvalue > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda: zoo.funnel(2), zoo.forty_modes, lambda: zoo.banana(curvature=0.1, sd=10.0)])
def test_the_hard_ones(make):
    known = make()
    found = exact.grid(known.target)
    check_agreement(known, found, 2e-8)
    assert len(found.modes) == len(known.modes)
