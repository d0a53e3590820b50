"""Pathfinder: exact on Gaussians, blackjax's normals along a path, the weights of two modes, and no spike."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax.tree_util import Partial
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

import vi_toolkit as vi
from tests.compilations import count_compilations, jit
from vi_toolkit.algorithms._path_normal import PathFactor, PathNormal, next_diagonal, path_normal
from vi_toolkit.algorithms._path_weights import path_weights
from vi_toolkit.algorithms.pathfinder import pathfinder

RNG = np.random.default_rng(0)
EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
OPTIMUM = -32.60  # the highest ELBO of a normal on eight schools, centred, by a long fit
IS_FLOAT64 = jnp.result_type(float) == jnp.float64


def squares(root, mean, z):
    return -0.5 * jnp.sum(((z - mean) @ root) ** 2)


def gaussian(seed, dim=4):
    """A target and the normal that it is: correlated, with scales from 0.01 to 10."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    root = np.geomspace(0.1, 100.0, dim)[:, None] * turn * np.geomspace(1.0, 10.0, dim)
    mean = rng.normal(size=dim)
    target = vi.from_log_density(Partial(squares, jnp.asarray(root), jnp.asarray(mean)), dim=dim)
    return target, root, mean


def divergence(fit, root, mean):
    """D(q || p) of a normal q, in nats."""
    inside = root.T @ np.asarray(fit.posterior.scale_tril, np.float64)
    off = root.T @ (np.asarray(fit.posterior.mean, np.float64) - mean)
    return 0.5 * (np.sum(inside**2) - len(mean) + off @ off) - np.linalg.slogdet(inside)[1]


def eight_schools(errors, effects=None):
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfCauchy(5.0))
    theta = numpyro.sample("theta", dist.Normal(mu, tau).expand([8]).to_event(1))
    numpyro.sample("y", dist.Normal(theta, errors), obs=effects)


@pytest.mark.any_precision
def test_one_path_finds_a_gaussian_and_a_second_fit_compiles_nothing():
    target, root, mean = gaussian(0)
    fit = vi.fit(jax.random.key(0), target, pathfinder(1))
    assert fit.status.name == "CONVERGED"
    assert divergence(fit, root, mean) < 0.02
    log_evidence = 2 * np.log(2 * np.pi) - np.linalg.slogdet(root)[1]
    np.testing.assert_allclose(fit.history["elbo"][-1], log_evidence, atol=0.05)
    assert fit.history["khat"][-1] < 0.7
    climb = 1 + 16 / 3  # a gradient and the densities of an ELBO; 8 starts; 1000 densities at the end
    np.testing.assert_allclose(fit.num_gradients, 8 + (fit.num_steps - 1) * climb + 1000 / 3, rtol=1e-6)
    other, root, mean = gaussian(1)
    compiled, again = count_compilations(lambda: vi.fit(jax.random.key(1), other, pathfinder(1)))
    assert compiled == 0
    assert divergence(again, root, mean) < 0.02
    compiled, repeated = count_compilations(lambda: vi.fit(jax.random.key(0), target, pathfinder(1)))
    assert compiled == 0
    np.testing.assert_array_equal(repeated.params["lower"], fit.params["lower"])


def test_the_normals_along_a_path_are_those_of_blackjax():
    from blackjax.optimizers.lbfgs import lbfgs_inverse_hessian_formula_1
    from blackjax.vi import pathfinder as theirs

    X = RNG.normal(size=(50, 3))
    y = (RNG.uniform(size=50) < 0.3).astype(float)

    def log_density(z):
        return jnp.sum(y * (X @ z) - jnp.logaddexp(0.0, X @ z)) - 0.5 * jnp.sum(z**2)

    start = jnp.array([1.5, -1.0, 0.5])
    run = jit(lambda key: theirs.approximate(key, log_density, start, maxiter=6, ftol=0.0))
    best, info = run(jax.random.key(0))
    z, gradients = np.asarray(info.path.position), -np.asarray(info.path.grad_position)  # theirs is of -log p
    diagonal, moves, turns = jnp.ones(3), jnp.zeros((10, 3)), jnp.zeros((10, 3))
    for k in range(1, 5):
        move, turn = z[k] - z[k - 1], gradients[k - 1] - gradients[k]
        move, turn = jnp.asarray(move / np.sqrt(move @ turn)), jnp.asarray(turn / np.sqrt(move @ turn))
        diagonal = next_diagonal(diagonal, move, turn)
        moves, turns = jnp.vstack([moves[1:], move]), jnp.vstack([turns[1:], turn])
        q = path_normal(jnp.asarray(z[k]), jnp.asarray(gradients[k]), diagonal, moves, turns)
        H = lbfgs_inverse_hessian_formula_1(*(leaf[k] for leaf in (info.path.alpha, info.path.beta, info.path.gamma)))
        np.testing.assert_allclose(q.distribution.covariance_matrix, H, rtol=1e-6)
        np.testing.assert_allclose(q.location, z[k] + H @ gradients[k], rtol=1e-6)
    fit = vi.fit(jax.random.key(0), vi.from_log_density(log_density, dim=3), pathfinder(1))
    # by other line searches to the same place; theirs is the highest of seven estimates, each with an error of 0.1
    assert abs(fit.history["elbo"][-1] - best.elbo) < 0.3
    np.testing.assert_allclose(fit.posterior.mean, best.position, atol=0.1)


def two_modes(z):
    left = jnp.log(0.7) + jnp.sum(jax.scipy.stats.norm.logpdf(z, -1.0, 0.1))
    return jnp.logaddexp(left, jnp.log(0.3) + jnp.sum(jax.scipy.stats.norm.logpdf(z, 1.0, 0.2)))


def test_two_modes_get_their_weights_whatever_the_paths_in_each():
    fit = vi.fit(jax.random.key(0), vi.from_log_density(two_modes, dim=2), pathfinder(8))
    assert fit.status.name == "CONVERGED"
    means = np.asarray(fit.params["components"]["location"])[:, 0]
    weights = np.exp(fit.params["log_weights"] - logsumexp(fit.params["log_weights"]))
    assert (means < 0).sum() != 4  # not as many in each
    se = np.sqrt(0.7 * 0.3 / 1000)
    assert abs(weights[means < 0].sum() - 0.7) < 5 * se
    np.testing.assert_allclose(fit.history["elbo"][-1], 0.0, atol=0.05)
    points = RNG.normal(size=(5, 2))
    roots = np.asarray(vi.FullRankNormal().distribution(fit.params["components"]).scale_tril)
    locations = np.asarray(fit.params["components"]["location"])
    by_hand = [
        np.log(w) + multivariate_normal.logpdf(points, m, L @ L.T)
        for w, m, L in zip(weights, locations, roots, strict=True)
    ]
    np.testing.assert_allclose(fit.posterior.log_prob(points), logsumexp(by_hand, axis=0), rtol=1e-6)


@pytest.mark.any_precision
def test_a_hierarchy_does_not_end_in_the_spike():
    target = vi.from_numpyro(eight_schools, ERRORS, effects=EFFECTS)
    for seed in range(3):
        fit = vi.fit(jax.random.key(seed), target, pathfinder())
        draws = fit.posterior.sample(jax.random.key(9), (2000,))
        ratios = jax.vmap(target.log_density)(draws) - fit.posterior.log_prob(draws)
        se = float(ratios.std()) / np.sqrt(2000)
        assert OPTIMUM - 12.0 < ratios.mean() < OPTIMUM + 5 * se  # in the spike it is hundreds of nats lower
        np.testing.assert_allclose(fit.history["elbo"][-1], ratios.mean(), atol=10 * se + 0.1)
        assert fit.posterior.mean[1] > -1.5  # log tau


def half_finite(z):
    return jnp.where(z[0] > 0.0, -0.5 * jnp.sum((z - 5.0) ** 2) / 0.09, jnp.nan)


def test_bad_starts_are_replaced_and_counted():
    target = vi.from_log_density(half_finite, dim=2)
    fit = vi.fit(jax.random.key(0), target, pathfinder(1))
    bad = int(fit.history["bad_starts"][-1])
    assert 0 < bad < 8
    assert any(f"at {bad} of 8 starting points" in words for words in fit.warnings)
    np.testing.assert_allclose(fit.posterior.mean, 5.0, atol=0.01)
    np.testing.assert_allclose(fit.posterior.variance, 0.09, rtol=0.01)


def test_many_dimensions_keep_the_low_rank_form():
    scale = np.geomspace(0.5, 2.0, 520)
    target = vi.from_log_density(Partial(squares, jnp.diag(1 / scale), jnp.zeros(520)), dim=520)
    fit = vi.fit(jax.random.key(0), target, pathfinder(2, num_draws=50, num_elbo_draws=4))
    assert fit.params["components"]["basis"].shape == (2, 520, 20)
    normals = fit.posterior.component_distribution
    points = scale * RNG.normal(size=(3, 520))
    covariances = np.asarray(normals.covariance_matrix)
    log_weights = np.asarray(fit.params["log_weights"]) - logsumexp(fit.params["log_weights"])
    by_hand = [
        w + multivariate_normal.logpdf(points, m, C)
        for w, m, C in zip(log_weights, np.asarray(normals.mean), covariances, strict=True)
    ]
    np.testing.assert_allclose(fit.posterior.log_prob(points), logsumexp(by_hand, axis=0), rtol=1e-6)
    np.testing.assert_allclose(np.diagonal(covariances, axis1=1, axis2=2), normals.variance, rtol=1e-6)


def test_a_path_factor_is_its_matrix():
    basis = np.linalg.qr(RNG.normal(size=(2, 5, 3)))[0]
    core = np.tril(RNG.normal(size=(2, 3, 3)), -1) + np.eye(3) * RNG.uniform(0.5, 2.0, (2, 3, 1))
    factor = PathFactor(jnp.asarray(RNG.uniform(0.5, 2.0, (2, 5))), jnp.asarray(basis), jnp.asarray(core))
    L = np.asarray(factor.matrix())
    t, v = RNG.normal(size=(4, 2, 5)), RNG.uniform(0.5, 2.0, (2, 5))
    times = np.einsum("kij,nkj->nki", L, t)
    np.testing.assert_allclose(factor.times(jnp.asarray(t)), times, rtol=1e-10)
    np.testing.assert_allclose(factor.solve(jnp.asarray(times)), t, rtol=1e-9)
    np.testing.assert_allclose(factor.log_determinant, np.log(np.abs(np.linalg.det(L))), rtol=1e-10)
    np.testing.assert_allclose(factor.variances(jnp.asarray(v)), np.einsum("kij,kj->ki", L**2, v), rtol=1e-10)
    q = PathNormal(jnp.asarray(t[0]), factor).distribution
    expected = [multivariate_normal.logpdf(t[1, k], t[0, k], L[k] @ L[k].T) for k in range(2)]
    np.testing.assert_allclose(q.log_prob(jnp.asarray(t[1])), expected, rtol=1e-9)


def weighed(normals, log_p, size=4000):
    """The weights of univariate normals (mean, sd) for a density, from quasi-random draws."""
    u = (np.arange(size) + 0.5) / size
    z = np.stack([norm.ppf(u, *q) for q in normals])
    log_q = np.stack([norm.logpdf(z, *q) for q in normals])
    usable = jnp.ones(len(normals), bool)
    return jit(path_weights)(jnp.asarray(log_p(z)), jnp.asarray(log_q), usable)


def test_a_path_counts_once_however_many_end_in_its_place():
    def log_p(z):
        return np.logaddexp(np.log(0.8) + norm.logpdf(z, -6, 1), np.log(0.2) + norm.logpdf(z, 6, 1))

    found = weighed([(-6, 1), (-6, 1), (-6, 1), (6, 1)], log_p)
    assert found.khat < 0.7
    np.testing.assert_allclose(np.exp(found.log_weights), [0.8 / 3, 0.8 / 3, 0.8 / 3, 0.2], atol=2e-3)
    np.testing.assert_allclose(found.elbo, 0.0, atol=1e-3)


def test_where_importance_fails_the_elbo_decides():
    normals = [(0.0, 0.3), (1.0, 0.2)]

    def log_p(z):
        return -np.log(np.pi * (1 + z**2))  # a Cauchy: weights without a variance

    found = weighed(normals, log_p)
    assert found.khat > 0.7
    z = np.linspace(-4, 4, 8001)
    q = np.stack([norm.pdf(z, *one) for one in normals])

    def bound(w):
        mixture = w * q[0] + (1 - w) * q[1]
        return np.sum(np.where(mixture > 0, mixture * (log_p(z) - np.log(np.maximum(mixture, 1e-300))), 0)) * 1e-3

    shares = np.linspace(0.01, 0.99, 981)
    best = shares[np.argmax([bound(w) for w in shares])]
    np.testing.assert_allclose(np.exp(found.log_weights[0]), best, atol=0.01)
    np.testing.assert_allclose(found.elbo, bound(best), atol=0.01)


def test_bad_arguments_are_named(without_type_checks):
    with pytest.raises(ValueError, match="num_paths: expected at least 1, got 0"):
        pathfinder(0)
    with pytest.raises(ValueError, match="num_elbo_draws: expected an even number"):
        pathfinder(num_elbo_draws=5)
    with pytest.raises(ValueError, match="num_draws: expected at least 25"):
        pathfinder(num_draws=10)
    with pytest.raises(TypeError, match=r"memory: expected a whole number, got float 2\.5"):
        pathfinder(memory=2.5)
