"""Stein variational gradient descent: its direction, its fixed points, its density, and its collapse as stated."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import multivariate_normal

import vi_toolkit as vi
from tests.compilations import jit
from vi_toolkit.algorithms._particles import SHRINKS, divergence_of_moments, kernel_density
from vi_toolkit.algorithms.svgd import stein_direction

MEAN, PRECISION = jnp.array([1.0, -0.5]), jnp.array([[2.0, 0.7], [0.7, 1.0]])
COVARIANCE = np.linalg.inv(PRECISION)
TARGET = vi.from_log_density(lambda z: 7.0 - 0.5 * (z - MEAN) @ PRECISION @ (z - MEAN), dim=2)
POINTS = np.random.default_rng(3).normal(size=(7, 2))
LINEAR, RBF = vi.kernels.Linear(), vi.kernels.RBF()


def standard(dim):
    return vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=dim)


def direction_by_hand(points, slopes, h):
    """Sums and the derivative of the Gaussian kernel, written out."""
    out = np.zeros_like(points)
    for i, x in enumerate(points):
        for y, s in zip(points, slopes, strict=True):
            k = np.exp(-np.sum((x - y) ** 2) / (2 * h**2))
            out[i] += (k * s - k * (y - x) / h**2) / len(points)
    return out


def slopes_at(points):
    return np.asarray(jax.vmap(jax.grad(TARGET.log_density))(jnp.asarray(points)))


def test_the_direction_is_the_sum_written_out():
    slopes, h = slopes_at(POINTS), 0.8
    found = stein_direction(vi.kernels.RBF(h), jnp.asarray(POINTS), jnp.asarray(slopes))
    np.testing.assert_allclose(found, direction_by_hand(POINTS, slopes, h), rtol=1e-10)


def test_the_direction_is_that_of_blackjax():
    from blackjax.vi import svgd as blackjax_svgd  # which computes when it is imported

    step = blackjax_svgd.build_kernel(optax.sgd(1.0))
    state = blackjax_svgd.init(jnp.asarray(POINTS), {"length_scale": 2 * 0.8**2}, optax.sgd(1.0))
    moved = step(state, jax.grad(TARGET.log_density), blackjax_svgd.rbf_kernel).particles - POINTS
    ours = stein_direction(vi.kernels.RBF(0.8), jnp.asarray(POINTS), jnp.asarray(slopes_at(POINTS)))
    np.testing.assert_allclose(ours, moved, rtol=1e-10)


@pytest.mark.parametrize("by_coordinate", [False, True])
def test_a_step_is_the_direction_in_units_of_the_scale(by_coordinate):
    method = vi.svgd(7, optimizer=optax.sgd(1.0), by_coordinate=by_coordinate)
    state, _ = jit(method.init)(jax.random.key(0), TARGET, jnp.zeros((8, 2)))
    scale = np.array([0.5, 2.0])
    state = state._replace(particles=jnp.asarray(POINTS), scale=jnp.asarray(scale))
    moved, facts = jit(method.step)(jax.random.key(1), state, TARGET)
    y, slopes = POINTS / scale, slopes_at(POINTS) * scale
    shrink = np.sqrt(2 * np.log(8))

    def by_median(y, slopes):
        gaps = [np.linalg.norm(a - b) for i, a in enumerate(y) for b in y[:i]]
        return direction_by_hand(y, slopes, np.median(gaps) / shrink)

    columns = [by_median(y[:, [i]], slopes[:, [i]]) for i in range(2)]
    expected = np.hstack(columns) if by_coordinate else by_median(y, slopes)
    np.testing.assert_allclose((moved.particles - POINTS) / scale, expected, rtol=1e-9)
    np.testing.assert_allclose(facts["loss"], np.mean(np.sum(expected**2, axis=1)), rtol=1e-9)
    np.testing.assert_allclose(facts["spread"], -np.sum((y - y.mean(0)) * slopes) / 12, rtol=1e-9)


def test_a_fit_ends_where_the_direction_vanishes():
    fit = vi.fit(jax.random.key(0), TARGET, vi.svgd(60))
    assert fit.status.name == "CONVERGED"
    particles, scale = (np.asarray(fit.params[name]) for name in ("particles", "scale"))
    y, slopes = particles / scale, slopes_at(particles) * scale
    gaps = [np.linalg.norm(a - b) for i, a in enumerate(y) for b in y[:i]]
    at_rest = direction_by_hand(y, slopes, np.median(gaps) / np.sqrt(2 * np.log(61)))
    assert np.abs(at_rest).max() < 0.01
    np.testing.assert_allclose(particles.mean(0), MEAN, atol=0.01)
    np.testing.assert_allclose(np.cov(particles.T, bias=True), COVARIANCE, rtol=0.15)
    assert fit.num_gradients == 400 + 60 * fit.num_steps


def test_the_linear_kernel_matches_mean_and_covariance():
    fit = vi.fit(jax.random.key(0), TARGET, vi.svgd(20, LINEAR, optax.adam(0.05)))
    particles = np.asarray(fit.params["particles"])
    np.testing.assert_allclose(particles.mean(0), MEAN, atol=1e-3)
    np.testing.assert_allclose(np.cov(particles.T, bias=True), COVARIANCE, rtol=5e-3)


VARIANCES = [
    (1, RBF, False, 0.96),
    (10, RBF, False, 0.43),
    pytest.param(10, vi.kernels.Sum((LINEAR, RBF)), False, 0.99, marks=pytest.mark.slow),
    pytest.param(50, RBF, False, 0.09, marks=pytest.mark.slow),
    pytest.param(1, vi.kernels.IMQ(), False, 0.97, marks=pytest.mark.slow),
    pytest.param(10, vi.kernels.IMQ(), False, 0.72, marks=pytest.mark.slow),
    pytest.param(50, vi.kernels.IMQ(), False, 0.36, marks=pytest.mark.slow),
    pytest.param(1, vi.kernels.Sum((LINEAR, RBF)), False, 1.0, marks=pytest.mark.slow),
    pytest.param(50, vi.kernels.Sum((LINEAR, RBF)), False, 0.99, marks=pytest.mark.slow),
    pytest.param(10, RBF, True, 0.96, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("dim", "kernel", "by_coordinate", "expected"), VARIANCES)
def test_the_variance_collapses_as_stated(dim, kernel, by_coordinate, expected):
    fit = vi.fit(jax.random.key(0), standard(dim), vi.svgd(100, kernel, by_coordinate=by_coordinate))
    variance = float(np.mean(np.var(fit.params["particles"], axis=0)))
    assert abs(variance - expected) < 0.012
    np.testing.assert_allclose(fit.history["spread"][-1], variance * 100 / 99, rtol=0.02)  # Stein's identity
    said = [words for words in fit.warnings if words.startswith("SVGD: the particles are too narrow")]
    assert len(said) == (expected < 0.8)


def test_both_modes_keep_particles():
    exact = vi.zoo.two_modes(separation=8.0, dim=2)
    fit = vi.fit(jax.random.key(0), exact.target, vi.svgd(40), max_steps=300)
    particles = np.asarray(fit.params["particles"])
    right = particles[:, 0] > 0
    assert 0.2 < right.mean() < 0.8
    np.testing.assert_allclose(particles[right].mean(0), [4.0, 0.0], atol=0.1)
    np.testing.assert_allclose(particles[~right].mean(0), [-4.0, 0.0], atol=0.1)


def density_by_hand(z, particles, h, root):
    return np.mean([multivariate_normal.pdf(z, x, h**2 * root @ root.T) for x in particles], axis=0)


def test_the_density_has_the_bandwidth_that_predicts_each_particle_best():
    scale = np.array([0.3, 1.0])
    particles = POINTS @ np.array([[1.0, 0.9], [0.0, 0.3]])
    q = kernel_density(jnp.asarray(particles), jnp.asarray(scale))
    rule, best = (4 / (4 * 7)) ** (1 / 6), (-np.inf, None)
    for root in (np.diag(scale), np.linalg.cholesky(np.cov(particles.T, bias=True))):
        typical = np.sqrt(np.mean(np.var(np.linalg.solve(root, particles.T).T, axis=0)))
        for h in rule * typical * SHRINKS:
            rest = [np.delete(particles, i, axis=0) for i in range(7)]
            alone = [density_by_hand(x, others, h, root) for x, others in zip(particles, rest, strict=True)]
            score = np.mean(np.log(np.maximum(alone, 1e-300)))
            best = max(best, (score, (h, root)), key=lambda pair: pair[0])
    z = np.array([[0.0, 0.0], [1.0, 2.0], [-1.5, 0.3]])
    np.testing.assert_allclose(np.exp(q.log_prob(jnp.asarray(z))), density_by_hand(z, particles, *best[1]), rtol=1e-9)
    h, root = best[1]
    np.testing.assert_allclose(q.mean, particles.mean(0), rtol=1e-9)
    np.testing.assert_allclose(q.variance, particles.var(0) + h**2 * np.diag(root @ root.T), rtol=1e-9)
    draws = np.asarray(q.sample(jax.random.key(0), (20_000,)))
    assert np.all(np.abs(draws.mean(0) - q.mean) < 5 * np.sqrt(q.variance / 20_000))


def test_sets_of_particles_are_compared_by_their_moments():
    a, b = POINTS, 1.5 * POINTS[::-1] + 0.3
    cov_a, cov_b, gap = np.cov(a.T, bias=True), np.cov(b.T, bias=True), b.mean(0) - a.mean(0)
    log_ratio = np.linalg.slogdet(cov_b)[1] - np.linalg.slogdet(cov_a)[1]
    expected = 0.5 * (np.trace(np.linalg.solve(cov_b, cov_a)) + gap @ np.linalg.solve(cov_b, gap) - 2 + log_ratio)
    np.testing.assert_allclose(divergence_of_moments(jnp.asarray(a), jnp.asarray(b)), expected, rtol=1e-10)
    few = divergence_of_moments(jnp.asarray(a[:4]), jnp.asarray(b[:4]))  # by coordinate, for want of particles
    va, vb, gap = a[:4].var(0), b[:4].var(0), b[:4].mean(0) - a[:4].mean(0)
    np.testing.assert_allclose(few, 0.5 * np.sum(va / vb + gap**2 / vb - 1 + np.log(vb / va)), rtol=1e-10)


def test_a_fit_goes_through_the_rest_of_the_toolkit(tmp_path):
    fit = vi.fit(jax.random.key(0), TARGET, vi.svgd(30, vi.kernels.IMQ()), max_steps=60)
    vi.save(fit, tmp_path / "fit.npz")
    loaded = vi.load(tmp_path / "fit.npz", TARGET)
    assert loaded.method == fit.method == pickle.loads(pickle.dumps(fit.method))
    further = [vi.resume(each, max_steps=50).params["particles"] for each in (fit, loaded)]
    np.testing.assert_array_equal(*further)
    diagnosis = vi.diagnose(jax.random.key(1), fit, num_draws=500)
    assert diagnosis.khat < 0.7
    log_z = 7.0 + np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(PRECISION)[1]
    assert abs(diagnosis.log_evidence - log_z) < 0.3
    assert diagnosis.elbo < log_z
    tree = vi.to_datatree(jax.random.key(2), fit, num_draws=200)
    draws = tree["posterior"]["z"].values.reshape(200, 2)
    assert np.all(np.abs(draws.mean(0) - MEAN) < 5 * np.sqrt(fit.posterior.variance / 200) + 0.05)


def test_bad_arguments_are_refused(without_type_checks):
    with pytest.raises(ValueError, match=r"num_particles: expected at least 2, got 1"):
        vi.svgd(1)
    with pytest.raises(TypeError, match=r"num_particles: expected a whole number, got float 2.5"):
        vi.svgd(2.5)
    with pytest.raises(TypeError, match=r"kernel: expected a Kernel, got str 'rbf'"):
        vi.svgd(10, "rbf")
    with pytest.raises(TypeError, match=r"optimizer: expected a GradientTransformation, got float"):
        vi.svgd(10, optimizer=0.1)
