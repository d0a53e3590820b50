"""Laplace's approximation: exact on Gaussians however scaled, NumPyro's elsewhere, and words where there is no mode."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax.tree_util import Partial
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoLaplaceApproximation

import vi_toolkit as vi
from tests.compilations import count_compilations
from vi_toolkit.algorithms._curvature import cholesky_of_columns, newton_step
from vi_toolkit.algorithms.laplace import laplace

RNG = np.random.default_rng(0)
REAL = dist.constraints.real
EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
IS_FLOAT64 = jnp.result_type(float) == jnp.float64


def gaussian(root, mean):
    """A target with precision R R^T: log p~ = -|R^T (z - mean)|^2 / 2."""
    return vi.from_log_density(Partial(squares, jnp.asarray(root), jnp.asarray(mean)), dim=len(mean))


def squares(root, mean, z):
    return -0.5 * jnp.sum(((z - mean) @ root) ** 2)


def ill_conditioned(dim, condition, seed=0):
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    return turn * np.geomspace(1.0, condition**0.5, dim), rng.normal(size=dim)


def regression(X, y=None):
    slopes = numpyro.sample("slopes", dist.Normal(0.0, 1000.0).expand([X.shape[1]]).to_event(1))
    numpyro.sample("y", dist.Normal(X @ slopes, 1.0), obs=y)


def logistic(X, y=None):
    slopes = numpyro.sample("slopes", dist.Normal(0.0, 2.0).expand([X.shape[1]]).to_event(1))
    numpyro.sample("y", dist.Bernoulli(logits=X @ slopes), obs=y)


def doubled(y):
    first = numpyro.sample("first", dist.ImproperUniform(REAL, (), ()))
    second = numpyro.sample("second", dist.ImproperUniform(REAL, (), ()))
    third = numpyro.sample("third", dist.Normal(0.0, 2.0))
    numpyro.sample("y", dist.Normal(jnp.array([first + second, third]), 0.5), obs=y)


def eight_schools(errors, effects=None):
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfCauchy(5.0))
    theta = numpyro.sample("theta", dist.Normal(mu, tau).expand([8]).to_event(1))
    numpyro.sample("y", dist.Normal(theta, errors), obs=effects)


def root_of(fit):
    """L of the covariance, in float64: written out, a covariance in float32 has lost the narrow directions."""
    return np.asarray(fit.posterior.scale_tril, np.float64)


@pytest.mark.any_precision
def test_a_gaussian_of_condition_1e8_is_exact():
    root, mean = ill_conditioned(20, 1e8)
    fit = vi.fit(jax.random.key(0), gaussian(root, mean), laplace())
    assert fit.status.name == "CONVERGED"
    assert fit.warnings == ()
    inside = np.asarray(root).T @ root_of(fit)  # orthogonal where L L^T = (R R^T)^-1
    np.testing.assert_allclose(inside @ inside.T, np.eye(20), atol=1e-6 if IS_FLOAT64 else 3e-3)
    off = np.asarray(root).T @ (np.asarray(fit.posterior.mean, np.float64) - mean)  # in posterior sds
    assert np.abs(off).max() < (1e-8 if IS_FLOAT64 else 2e-3)
    log_evidence = 10 * np.log(2 * np.pi) - np.linalg.slogdet(root)[1]
    np.testing.assert_allclose(fit.history["log_evidence"][-1], log_evidence, rtol=1e-9 if IS_FLOAT64 else 1e-5)


def test_gradients_are_counted_and_a_second_fit_compiles_nothing():
    root, mean = ill_conditioned(20, 1e8)
    first = vi.fit(jax.random.key(0), gaussian(root, mean), laplace())
    compiled, again = count_compilations(lambda: vi.fit(jax.random.key(0), gaussian(root, mean), laplace()))
    assert compiled == 0
    np.testing.assert_array_equal(again.params["lower"], first.params["lower"])
    root, mean = ill_conditioned(20, 1e4, seed=1)
    compiled, other = count_compilations(lambda: vi.fit(jax.random.key(1), gaussian(root, mean), laplace()))
    assert compiled == 0
    inside = root.T @ root_of(other)
    np.testing.assert_allclose(inside @ inside.T, np.eye(20), atol=1e-8)
    steps = other.num_steps  # a Hessian of 40 and a trial each; 8 climbs of 50; the fall along 20 axes, both ways
    np.testing.assert_allclose(other.num_gradients, 401 + steps * 41 + 40 / 3, rtol=1e-12)


@pytest.mark.any_precision
@pytest.mark.parametrize("same", ["noise", "ones"])
def test_two_columns_alike_have_the_variance_of_their_prior(same):
    column = RNG.normal(size=100) if same == "noise" else np.ones(100)
    y = 2.0 * column + RNG.normal(size=100)
    fit = vi.fit(jax.random.key(0), vi.from_numpyro(regression, np.stack([column, column], axis=1), y=y), laplace())
    assert fit.status.name == "CONVERGED"
    precision = np.full((2, 2), column @ column) + 1e-6 * np.eye(2)
    exact = np.linalg.inv(precision)  # its diagonal is 500000 and what the sum of the slopes adds
    # the two curvatures are 1e8 apart, more than the sixteen million steps of a float32
    np.testing.assert_allclose(fit.posterior.variance, np.diag(exact), rtol=1e-8 if IS_FLOAT64 else 1e-3)
    np.testing.assert_allclose(fit.posterior.mean.sum(), 2 * (column @ y) / (2 * column @ column), rtol=1e-5)
    total = root_of(fit).sum(axis=0)  # the sum of the slopes is well known
    np.testing.assert_allclose(total @ total, exact.sum(), rtol=1e-4 if IS_FLOAT64 else 2e-2)


def test_a_logistic_regression_is_that_of_numpyro():
    X = RNG.normal(size=(80, 4)) * np.array([1.0, 1e-3, 1e3, 1.0])
    y = (RNG.uniform(size=80) < 0.4).astype(float)
    fit = vi.fit(jax.random.key(0), vi.from_numpyro(logistic, X, y=y), laplace())
    assert fit.status.name == "CONVERGED"
    guide = AutoLaplaceApproximation(
        logistic, init_loc_fn=numpyro.infer.init_to_value(values={"slopes": fit.posterior.mean})
    )
    svi = SVI(logistic, guide, numpyro.optim.Adam(1e-12), Trace_ELBO())
    params = svi.run(jax.random.key(0), 1, X, y=y, progress_bar=False).params
    theirs = guide.get_posterior(params)
    np.testing.assert_allclose(fit.posterior.covariance_matrix, theirs.covariance_matrix, rtol=1e-6)
    p = 1 / (1 + np.exp(-X @ fit.posterior.mean))
    slope = X.T @ (y - p) - np.asarray(fit.posterior.mean) / 4
    np.testing.assert_allclose(slope * np.sqrt(np.asarray(fit.posterior.variance)), 0.0, atol=1e-8)


@pytest.mark.any_precision
def test_a_flat_direction_is_named_and_costs_the_others_nothing():
    target = vi.from_numpyro(doubled, np.array([3.0, 1.0]))
    fit = vi.fit(jax.random.key(0), target, laplace())
    assert fit.status.name == "STALLED"
    assert any("flat in 1 direction(s)" in words for words in fit.warnings)
    assert fit.method.remarks(target, fit.params) == ["Laplace: that direction is one of first, second."]
    root = root_of(fit)
    total = root[0] + root[1]
    np.testing.assert_allclose(total @ total, 0.25, rtol=1e-5)  # the sum is known to the error of its observation
    np.testing.assert_allclose(root[2] @ root[2], 1 / (4 + 0.25), rtol=1e-5)
    assert (root[0] - root[1]) @ (root[0] - root[1]) > 0.1  # and the difference is not taken for known
    np.testing.assert_allclose(fit.posterior.mean[0] + fit.posterior.mean[1], 3.0, rtol=1e-5)


@pytest.mark.any_precision
def test_a_hierarchy_without_a_mode_does_not_converge():
    target = vi.from_numpyro(eight_schools, ERRORS, effects=EFFECTS)
    fit = vi.fit(jax.random.key(0), target, laplace())
    assert fit.status.name in ("STALLED", "DIVERGED")
    assert any("no mode" in words and "hierarch" in words for words in fit.warnings)
    assert fit.posterior.mean[1] < -3.0  # log tau on its way to minus infinity
    assert np.all(np.isfinite(fit.posterior.variance))
    if IS_FLOAT64:
        assert "tau" in fit.method.remarks(target, fit.params)[0]


def test_a_density_that_does_not_fall_has_no_mode():
    target = vi.from_log_density(lambda z: -jnp.log1p(jnp.exp(-z[0])), dim=1)  # one success, and a flat prior
    fit = vi.fit(jax.random.key(0), target, laplace())
    assert fit.status.name == "STALLED"
    assert any("no mode" in words or "flat" in words for words in fit.warnings)
    assert fit.method.remarks(target, fit.params) == ["Laplace: that direction is one of z."]


def test_the_highest_of_the_modes_is_taken():
    def two_modes(z):
        return jnp.logaddexp(jnp.log(0.8) - 0.5 * jnp.sum((z - 3.0) ** 2) / 0.04, -0.5 * jnp.sum((z + 3.0) ** 2) / 0.04)

    fit = vi.fit(jax.random.key(0), vi.from_log_density(two_modes, dim=1), laplace(12))
    np.testing.assert_allclose(fit.posterior.mean, -3.0, rtol=1e-6)
    np.testing.assert_allclose(fit.posterior.variance, 0.04, rtol=1e-6)
    assert fit.num_gradients > 12 * 50


def test_a_newton_step_is_the_best_within_its_radius():
    slope, values = jnp.array([1.0, -2.0, 0.0]), jnp.array([2.0, 0.5, -1.0])
    u, gain = newton_step(slope, values, jnp.asarray(3.0))
    directions = RNG.normal(size=(20_000, 3))
    tried = 3.0 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    heights = tried @ slope - 0.5 * tried**2 @ values
    np.testing.assert_allclose(np.linalg.norm(u), 3.0, rtol=1e-6)
    np.testing.assert_allclose(gain, u @ slope - 0.5 * u**2 @ values, rtol=1e-12)
    assert heights.max() <= gain < heights.max() + 0.02
    u, gain = newton_step(slope[:2], values[:2], jnp.asarray(10.0))
    np.testing.assert_allclose(u, [0.5, -4.0], rtol=1e-12)  # slope / values
    np.testing.assert_allclose(gain, 0.5 * (1 / 2 + 4 / 0.5), rtol=1e-12)


def test_the_factor_of_columns_is_that_of_their_products():
    columns = RNG.normal(size=(4, 4))
    np.testing.assert_allclose(
        cholesky_of_columns(jnp.asarray(columns)), np.linalg.cholesky(columns @ columns.T), rtol=1e-10
    )


def test_bad_arguments_are_named(without_type_checks):
    with pytest.raises(ValueError, match="num_starts: expected at least 1, got 0"):
        laplace(0)
    with pytest.raises(TypeError, match=r"num_starts: expected a whole number, got float 2\.5"):
        laplace(2.5)
