"""The kernelised Stein discrepancy as an objective: values, gradients and optima against double quadrature."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize, root

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import random_params
from vi_toolkit.objectives.stein import stein_kernel

MEAN, PRECISION = jnp.array([1.0, -0.5]), jnp.array([[2.0, 0.7], [0.7, 1.0]])
TARGET = vi.from_log_density(lambda z: 7.0 - 0.5 * (z - MEAN) @ PRECISION @ (z - MEAN), dim=2)
LINE = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2) + jnp.sin(2 * z[0]), dim=1)
KERNEL = vi.kernels.IMQ(bandwidth=1.5)
MEDIAN = np.sqrt(4 * np.log(2))  # of the distance of two draws of a standard normal of the plane


class Mute(vi.MeanFieldNormal):
    reparameterised = False


def nodes(dim, count):
    """Gauss-Hermite points of R^dim for means over standard normals, and their weights."""
    x, w = np.polynomial.hermite_e.hermegauss(count)
    points = np.stack(np.meshgrid(*[x] * dim), -1).reshape(-1, dim)
    weights = np.prod(np.meshgrid(*[w / w.sum()] * dim), axis=0).reshape(-1)
    return jnp.asarray(points), jnp.asarray(weights)


def by_quadrature(kernel, target, points, weights, scale):
    """E u_p(z, z') with the kernel on z / scale."""
    slopes = jax.vmap(jax.grad(target.log_density))(points)
    settled = kernel.settle(points[:2] / scale)
    return weights @ stein_kernel(settled, points / scale, slopes * scale) @ weights


def exact_for_a_normal(kernel, target, params, nodes, scaled):
    """KSD^2 of a mean-field normal, its scales held fixed inside the kernel."""
    points, weights = nodes
    sd = jnp.exp(params["log_scale"])
    scale = jax.lax.stop_gradient(sd) if scaled else jnp.ones_like(sd)
    return by_quadrature(kernel, target, params["location"] + sd * points, weights, scale)


def estimates(objective, guide, target, params, num_draws, count):
    def loss(params, key):
        return objective.loss(key, params, guide, target, num_draws)[0]

    keys = jax.random.split(jax.random.key(5), count)
    return jit(jax.vmap(jax.value_and_grad(loss), (None, 0)))(params, keys)


def assert_means(values, truths):
    for value, truth in zip(jax.tree.leaves(values), jax.tree.leaves(truths), strict=True):
        error = np.std(value, axis=0) / np.sqrt(len(value))
        assert np.all(np.abs(np.mean(value, axis=0) - truth) <= 5 * error + 1e-9)
    assert max(float(np.max(np.abs(leaf))) for leaf in jax.tree.leaves(truths)) > 0.1


@pytest.mark.parametrize("kernel", [KERNEL, vi.kernels.Sum((vi.kernels.RBF(0.8), vi.kernels.Linear()))], ids=str)
def test_the_kernel_is_the_stein_operator_applied_to_both_arguments(kernel):
    points = jnp.asarray(np.random.default_rng(0).normal(size=(3, 2)))
    settled, slope = kernel.settle(points), jax.grad(TARGET.log_density)

    def twice(x, y):
        def once(y):
            return slope(x) * settled.value(x, y) + jax.grad(settled.value)(x, y)

        return slope(y) @ once(y) + jnp.trace(jax.jacfwd(once)(y))

    expected = [[twice(x, y) for y in points] for x in points]
    np.testing.assert_allclose(stein_kernel(settled, points, jax.vmap(slope)(points)), np.array(expected), rtol=1e-10)


@pytest.mark.parametrize(
    ("kernel", "scaled"),
    [(KERNEL, True), (KERNEL, False), pytest.param(vi.kernels.RBF(bandwidth=0.7), True, marks=pytest.mark.slow)],
)
def test_value_and_gradient_are_unbiased_for_normals_on_the_line(kernel, scaled):
    params = {"location": jnp.array([0.7]), "log_scale": jnp.array([-0.4])}
    exact = lambda params: exact_for_a_normal(kernel, LINE, params, nodes(1, 60), scaled)  # noqa: E731
    objective = vi.KernelStein(kernel, scaled=scaled)
    values = estimates(objective, vi.MeanFieldNormal(), LINE, params, 6, 2000)
    assert_means(values, jit(jax.value_and_grad(exact))(params))


def test_the_v_statistic_is_biased_as_stated():
    params, count = {"location": jnp.array([0.7]), "log_scale": jnp.array([-0.4])}, 6

    def exact(params):
        points, weights = nodes(1, 60)
        z = params["location"] + jnp.exp(params["log_scale"]) * points
        slopes = jax.vmap(jax.grad(LINE.log_density))(z)
        pairs = stein_kernel(KERNEL.settle(z), z, slopes)
        return (1 - 1 / count) * (weights @ pairs @ weights) + weights @ jnp.diagonal(pairs) / count

    objective = vi.KernelStein(KERNEL, unbiased=False, scaled=False)
    values = estimates(objective, vi.MeanFieldNormal(), LINE, params, count, 2000)
    assert_means(values, jit(jax.value_and_grad(exact))(params))
    assert np.all(values[0] >= 0)


def test_with_stratified_draws_it_is_unbiased_too():
    guide = vi.NormalMixture(2, covariance=vi.MeanFieldNormal())
    params = random_params(guide, 1)
    grid = jnp.linspace(-8.0, 8.0, 301)[:, None]

    def exact(params):
        mass = jnp.exp(guide.distribution(params).log_prob(grid)) * (grid[1, 0] - grid[0, 0])
        return by_quadrature(KERNEL, LINE, grid, mass, 1.0)

    values = estimates(vi.KernelStein(KERNEL, scaled=False), guide, LINE, params, 8, 3000)
    assert_means(values, jit(jax.value_and_grad(exact))(params))


def test_bandwidth_and_scale_come_from_draws_of_their_own():
    """The kernel that draws of another key give is the kernel used, for any draws z."""
    guide, key = vi.StudentT(5.0), jax.random.key(2)
    params = random_params(guide)
    key_draw, key_scale = jax.random.split(key)
    loss, facts = vi.KernelStein(vi.kernels.RBF()).loss(key, params, guide, TARGET, 7)
    q = guide.distribution(params)
    scale = np.sqrt(q.variance)
    points = np.asarray(guide.draw(key_draw, params, 7, vi.estimators.independent).points)
    others = np.asarray(q.sample(key_scale, (7,))) / scale
    gaps = [np.linalg.norm(a - b) for i, a in enumerate(others) for b in others[:i]]
    slopes = jax.vmap(jax.grad(TARGET.log_density))(jnp.asarray(points))
    settled = vi.kernels.RBF(bandwidth=float(np.median(gaps))).settle(jnp.asarray(others))
    pairs = np.asarray(stein_kernel(settled, jnp.asarray(points / scale), slopes * scale))
    np.testing.assert_allclose(loss, (pairs.sum() - np.trace(pairs)) / 42, rtol=1e-10)
    assert float(facts["ksd"]) == float(loss)


def test_a_full_rank_fit_is_the_target():
    start = {"location": jnp.array([3.0, -3.0]), "log_diagonal": jnp.array([0.5, -1.0]), "lower": jnp.zeros((2, 2))}
    fit = vi.fit(jax.random.key(0), TARGET, vi.gradient(vi.FullRankNormal(), vi.KernelStein(), start=start))
    np.testing.assert_allclose(fit.posterior.mean, MEAN, atol=0.02)
    np.testing.assert_allclose(fit.posterior.covariance_matrix, np.linalg.inv(PRECISION), rtol=0.03)


def mean_field_optimum(scaled):
    """Where the gradient vanishes with the kernel held fixed; for a kernel of one's own choice, the minimum."""
    kernel = vi.kernels.IMQ(bandwidth=float(MEDIAN)) if scaled else KERNEL
    at, grid = lambda x: {"location": MEAN, "log_scale": x}, nodes(2, 14)
    exact = jit(jax.value_and_grad(lambda x: exact_for_a_normal(kernel, TARGET, at(x), grid, scaled)))
    if scaled:
        return root(lambda x: np.asarray(exact(x)[1]), np.zeros(2), tol=1e-9).x
    return minimize(exact, np.zeros(2), method="BFGS", jac=True).x


@pytest.mark.parametrize("scaled", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_mean_field_fit_is_the_optimum_by_quadrature(scaled):
    best = mean_field_optimum(scaled)
    start = {"location": jnp.array([3.0, -3.0]), "log_scale": jnp.array([0.7, -1.0])}
    objective = vi.KernelStein() if scaled else vi.KernelStein(KERNEL, scaled=False)
    fit = vi.fit(jax.random.key(0), TARGET, vi.gradient(vi.MeanFieldNormal(), objective, start=start))
    np.testing.assert_allclose(fit.params["log_scale"], best, atol=0.03)
    np.testing.assert_allclose(fit.posterior.mean, MEAN, atol=0.03)
    assert np.all(best < -0.5 * np.log(np.diag(PRECISION)) + 0.05)


@pytest.mark.any_precision
def test_settings():
    assert vi.KernelStein() == pickle.loads(pickle.dumps(vi.KernelStein(vi.kernels.IMQ())))
    assert len({vi.KernelStein(), vi.KernelStein(KERNEL), vi.KernelStein(unbiased=False)}) == 3
    assert vi.KernelStein().gradients_per_step(10) == 30.0


def test_bad_settings_are_refused(without_type_checks):
    with pytest.raises(TypeError, match=r"kernel: expected a Kernel, got the class IMQ itself"):
        vi.KernelStein(vi.kernels.IMQ)
    with pytest.raises(ValueError, match=r"guide: KernelStein does not go with .*carry no gradients"):
        vi.fit(jax.random.key(0), TARGET, vi.gradient(Mute(), vi.KernelStein()))
