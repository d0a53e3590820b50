"""Which way round: closed forms, SciPy's quadrature, and the solutions of reverse KL as two modes move apart."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, norm, t

from tests.experiments.experiment_checks import check_experiment
from vi_toolkit import experiments, information
from vi_toolkit.experiments import (
    _bifurcation as bifurcation,
    _direction_fits as fits,
    _direction_measures as measures,
    _direction_targets as targets,
)
from vi_toolkit.experiments._minimise import evaluate, minimise
from vi_toolkit.experiments.experiment import rounding

MODES, TAIL, BANANA = range(3)
FORWARD, REVERSE = range(2)


@pytest.fixture(scope="module")
def result():
    return experiments.which_way_round()


@pytest.fixture(scope="module")
def branches():
    return bifurcation.trace_branches()


def two_modes(x):
    return 0.4 * norm.pdf(x, -3) + 0.6 * norm.pdf(x, 3)


@pytest.mark.any_precision
def test_forward_covers_and_reverse_seeks(result):
    numbers = result.numbers
    tolerance = 1e3 * rounding() ** 0.75
    assert numbers["forward_optimum"] == pytest.approx([0.6, 9.64], abs=max(tolerance, 1e-9))
    entropies, p = numbers["entropies"], numbers["target_entropies"]
    differs = np.ones((3, 2), dtype=bool)
    differs[MODES, 1] = False  # where q can be p
    assert (entropies[..., FORWARD] > p[:, None])[differs].all()
    assert (entropies[..., REVERSE] < p[:, None])[differs].all()
    assert (numbers["p_outside_q"][..., REVERSE] > numbers["p_outside_q"][..., FORWARD])[differs].all()
    assert (numbers["q_outside_p"][..., FORWARD] > numbers["q_outside_p"][..., REVERSE])[differs].all()
    assert (numbers["forward_kl"][..., FORWARD] < numbers["forward_kl"][..., REVERSE])[differs].all()
    assert (numbers["reverse_kl"][..., REVERSE] < numbers["reverse_kl"][..., FORWARD])[differs].all()
    assert np.abs(numbers["forward_kl"][MODES, 1]).max() < max(1e3 * rounding(), 1e-12)
    np.testing.assert_array_equal(numbers["num_optima"][MODES, 0], [1, 3])
    assert numbers["quadrature_error"] < 3e-5


def test_record(result):
    check_experiment(result, panels=6)
    assert len(result.table) == 12
    assert "4.824" in result.conclusion
    assert "That is wrong" in result.conclusion


def test_forward_by_one_gaussian_is_moment_matching(result):
    """Then D(p‖q) = H(q) - H(p), with H(q) of the Gaussian with p's covariance."""
    entropies = [norm(0, np.sqrt(9.64)).entropy(), norm(0, np.sqrt(3)).entropy()]
    entropies.append(multivariate_normal(cov=np.diag([4.0, 9.0])).entropy())
    own = result.numbers["target_entropies"]
    assert own[MODES] == pytest.approx(quad(lambda x: -two_modes(x) * np.log(two_modes(x)), -14, 14, epsabs=1e-11)[0])
    assert own[TAIL] == pytest.approx(float(t(3).entropy()), abs=1e-10)
    assert own[BANANA] == pytest.approx(multivariate_normal(cov=np.diag([4.0, 1.0])).entropy(), abs=1e-9)
    np.testing.assert_allclose(result.numbers["entropies"][:, 0, FORWARD], entropies, atol=1e-6)
    np.testing.assert_allclose(result.numbers["forward_kl"][:, 0, FORWARD], entropies - own, atol=1e-6)


def test_reverse_optima_by_another_route(result):
    """Gauss-Legendre over each q's own 17 sds, minimised without gradients from three starts."""
    nodes, weights = np.polynomial.legendre.leggauss(800)
    z, w = 8.5 * nodes, 8.5 * weights * norm.pdf(8.5 * nodes)

    def loss(theta):
        return w @ (norm.logpdf(z) - theta[1] - np.log(two_modes(theta[0] + np.exp(theta[1]) * z)))

    found = []
    for start in ([3.0, 0.0], [0.4, 1.0], [-3.0, 0.0]):
        best = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-13})
        found.append([best.x[0], np.exp(best.x[1]), best.fun])
    np.testing.assert_allclose(result.numbers["reverse_optima"], found, atol=1e-5)
    weight = np.log(result.numbers["mass_of_left_mode"][0, REVERSE])
    assert weight == pytest.approx(norm.logcdf(0, found[0][0], found[0][1]), abs=1e-3)


def test_heavy_tail_by_another_route(result):
    """Both divergences of the best q, by the package's own quadrature, and tails by SciPy."""
    grids = targets.heavy_tail()
    p = dist.StudentT(3.0, 0.0, 1.0)
    for index, direction in enumerate(fits.DIRECTIONS):
        found = fits.fit(grids, "one Gaussian", direction, [np.array([0.3, 0.2])])
        _, (mean,), (sd,) = measures.components(found.best.theta)
        q = dist.Normal(mean, sd)
        assert found.reverse == pytest.approx(information.kl_divergence(q, p).value, abs=1e-8)
        own = -norm.entropy(scale=sd) + quad(lambda x, s=sd: -norm.pdf(x, 0, s) * t.logpdf(x, 3), -30, 30)[0]
        assert found.reverse == pytest.approx(own, abs=1e-7)
        cross = 0.5 * np.log(2 * np.pi * sd**2) + (3.0 + mean**2) / (2 * sd**2)
        assert found.forward == pytest.approx(cross - t(3).entropy(), abs=1e-9)
        expected = 2 * norm.sf(4 * np.sqrt(3), scale=sd)
        assert result.numbers["tail_masses"][0, index] == pytest.approx(expected, rel=1e-4)
    assert result.numbers["target_tail_mass"] == pytest.approx(2 * t.sf(4 * np.sqrt(3), 3))


def test_banana_by_another_route(result):
    """D(q‖p) of one Gaussian is a polynomial expectation: exact by Gauss-Hermite."""
    grids = targets.banana()
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    z = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    w = np.outer(weights, weights).ravel() / (2 * np.pi)

    def exact(theta):
        mean, root = (np.asarray(part) for part in fits.gaussian_parts(jnp.asarray(theta), 2))
        x = mean + np.linalg.solve(root, z.T).T
        log_p = norm.logpdf(x[:, 0], 0, 2) + norm.logpdf(x[:, 1] - 0.5 * (x[:, 0] ** 2 - 4))
        return -1 - np.log(2 * np.pi) + np.log(np.diag(root)).sum() - w @ log_p

    found = fits.fit(grids, "one Gaussian", "D(q‖p)", [np.array([0.5, -1.0, 0.0, 0.0, 0.0])])
    outside = minimize(exact, [0.1, -1.0, 0.1, 0.0, 0.1], method="BFGS", options={"gtol": 1e-7})
    assert found.best.value == pytest.approx(outside.fun, abs=1e-8)
    assert result.numbers["reverse_kl"][BANANA, 0, REVERSE] == pytest.approx(outside.fun, abs=1e-8)
    np.testing.assert_allclose(found.best.theta, outside.x, atol=1e-4)


def test_mixtures_sum_to_their_components():
    theta = jnp.array([0.4, 0.5, -1.0, -0.3, 0.2, 0.1, 1.0, 0.0, 0.5, -0.7, 0.3])
    x = jnp.array([[0.3, 0.1], [-1.0, 2.0], [4.0, -3.0]])
    parts = []
    for part in (theta[1:6], theta[6:]):
        mean, root = (np.asarray(each) for each in fits.gaussian_parts(part, 2))
        parts.append(multivariate_normal(mean, np.linalg.inv(root.T @ root)).pdf(x))
    weight = 1 / (1 + np.exp(-0.4))
    np.testing.assert_allclose(np.exp(fits.mixture(theta, x)), weight * parts[0] + (1 - weight) * parts[1], rtol=1e-12)
    exchanged = np.concatenate([-theta[:1], theta[6:], theta[1:6]])
    one, other = (fits.Minimum(np.asarray(each), 0.0, 0.0) for each in (theta, exchanged))
    assert len(fits.distinct([one, other])) == 1


def test_cover_of_a_gaussian():
    """The mass of N(0, 2^2) outside the 99 % region of N(0, 1), and the other way round."""
    x = np.arange(-16, 16, 0.001)
    grid = targets.Grid(x[:, None], norm.logpdf(x), np.full(len(x), 0.001))
    log_q = norm.logpdf(x, 0, 2)
    fitted = fits.Fitted("", "", "", fits.Minimum(np.zeros(2), 0.0, 0.0), (), 0.0, 0.0, log_q)
    found = measures.cover(grid, fitted)
    edge = norm.ppf(0.995)
    assert found.entropy == pytest.approx(norm(0, 2).entropy(), abs=1e-10)
    assert found.q_outside_p == pytest.approx(2 * norm.sf(edge / 2), abs=1e-3)
    assert found.p_outside_q == pytest.approx(2 * norm.sf(2 * edge), abs=1e-5)


def test_every_solution_is_a_stationary_point(branches):
    """Of the loss by quadrature on another grid, with JAX's derivatives; the middle is always a minimum."""
    x = np.arange(-40.0, 40.0, 0.04)
    for s, sd in zip(branches.separations[::16], branches.middle_sds[::16], strict=True):
        hessian = check_stationary(x, s, 0.0, sd)
        assert np.linalg.eigvalsh(hessian).min() > 0
        assert hessian[0, 0] * sd**2 == pytest.approx(1.0, abs=1e-7)
    for index in range(0, len(branches.off_sds), 15):
        s, m, sd = (branches.off_separations[index], branches.off_means[index], branches.off_sds[index])
        smallest = np.linalg.eigvalsh(check_stationary(x, s, m, sd)).min()
        assert (smallest > 0) == (sd < branches.fold[2])  # minima before the fold, saddles after it
    s, m, sd = branches.fold
    assert np.linalg.eigvalsh(check_stationary(x, s, m, sd)).min() == pytest.approx(0.0, abs=1e-5)


def check_stationary(x, s, m, sd):
    """The Hessian by (m, -log sd), after the gradient was found to be 0."""
    grid = targets.Grid(x[:, None], targets.line_of_modes(s, x), np.full(len(x), 0.04))
    loss = fits.LOSSES["one Gaussian", "D(q‖p)"]
    point = evaluate(loss, np.array([m, -np.log(sd)]), *fits.as_arrays(grid))
    np.testing.assert_allclose(point.gradient, 0.0, atol=1e-8)
    assert point.value == pytest.approx(bifurcation.divergence(m, sd, s), abs=1e-9)
    return point.hessian


def test_fold_and_takeover(branches, result):
    """A search from one mode goes to the middle just before the fold, and stays just after it."""
    x = np.arange(-40.0, 40.0, 0.04)
    fold, takeover = branches.fold, branches.takeover
    for s, stays in ((fold[0] - 0.02, False), (fold[0] + 0.02, True)):
        grid = fits.as_arrays(targets.Grid(x[:, None], targets.line_of_modes(s, x), np.full(len(x), 0.04)))
        found = minimise(fits.LOSSES["one Gaussian", "D(q‖p)"], np.array([fold[1] + 0.1, -np.log(1.2)]), *grid)
        assert (found.theta[0] > 1.5) == stays
    s, m, sd = takeover
    middle = bifurcation.divergence(0.0, bifurcation.middle_sd(s), s)
    assert bifurcation.divergence(m, sd, s) == pytest.approx(middle, abs=1e-10)
    better = branches.off_values[branches.off_sds < sd - 1e-3]
    separations = branches.off_separations[branches.off_sds < sd - 1e-3]
    assert all(
        value < bifurcation.divergence(0.0, bifurcation.middle_sd(each), each)
        for value, each in zip(better, separations, strict=True)
    )
    assert result.numbers["fold_separation"] == pytest.approx(4.8245, abs=1e-4)
    assert result.numbers["takeover_separation"] == pytest.approx(5.6002, abs=1e-4)
    assert result.numbers["takeover_mean"] == pytest.approx(2.7680, abs=1e-4)
    assert result.numbers["middle_curvature"] == pytest.approx(1.0, abs=1e-10)


def test_banana_grid_holds_all_of_it():
    for grid in targets.banana()[1:]:
        p = grid.weights * np.exp(grid.log_p)
        assert p.sum() == pytest.approx(1.0, abs=1e-7)
        np.testing.assert_allclose(p @ grid.points, 0.0, atol=1e-6)
        np.testing.assert_allclose((p * grid.points.T) @ grid.points, np.diag([4.0, 9.0]), atol=1e-4)
