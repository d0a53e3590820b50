"""Rows B5 of what goes wrong in variational inference: precision, conditioning, and scales far from one."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from vi_toolkit.preflight import preflight

KEY = jax.random.key(0)
FLAT = dist.ImproperUniform(dist.constraints.real, (), ())


def location_scale(offset, unit, y):
    """Unknowns of the size of the data, under priors of that size; the mean about zero."""
    mean = numpyro.sample("mean", dist.Normal(0.0, 10.0 * (offset + unit)))
    scale = numpyro.sample("scale", dist.HalfNormal(10.0 * unit))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.Normal(mean, scale), obs=y)


@pytest.mark.parametrize(("offset", "unit"), [(1e6, 1.0), (0.0, 1e3), (0.0, 1e6), (0.0, 1e-3), (0.0, 1e-6)])
def test_data_far_from_one_are_fitted_right(offset, unit):
    """Adam from zero ends 3e7 standard deviations off, in silence. One program serves all five."""
    y = offset + unit * np.random.default_rng(0).normal(2.0, 1.5, 100)
    fit = vi.fit(KEY, vi.from_numpyro(location_scale, jnp.array(offset), jnp.array(unit), y), max_steps=4000)
    assert fit.status is vi.Status.CONVERGED
    sd = y.std() / np.sqrt(len(y))
    assert abs(float(fit.posterior.mean[0]) - y.mean()) < 0.05 * sd
    np.testing.assert_allclose(np.sqrt(fit.posterior.variance[0]), sd, rtol=0.03)
    np.testing.assert_allclose(fit.posterior.mean[1], np.log(y.std()), atol=0.02)


def correlated(rho, z):
    return -0.5 * (z[0] ** 2 - 2 * rho * z[0] * z[1] + z[1] ** 2) / (1 - rho**2)


def test_a_correlation_next_to_one_is_found():
    """AutoMultivariateNormal ends at a variance of 0.0025 of 1 after 4000 steps, in silence."""
    target = vi.from_log_density(jax.tree_util.Partial(correlated, jnp.array(0.9999)), dim=2)
    fit = vi.fit(KEY, target)
    np.testing.assert_allclose(fit.posterior.covariance_matrix, [[1.0, 0.9999], [0.9999, 1.0]], rtol=1e-6)


def doubled(y):
    total = numpyro.sample("first", FLAT) + numpyro.sample("second", FLAT)
    numpyro.sample("y", dist.Normal(jnp.stack([total, numpyro.sample("third", dist.Normal(0.0, 2.0))]), 0.5), obs=y)


def test_a_flat_direction_does_not_cost_laplace_the_others():
    """NumPyro's covariance is then zero throughout. The flat direction is named, and the third unknown is right."""
    fit = vi.fit(KEY, vi.from_numpyro(doubled, np.array([3.0, 1.0])), vi.laplace())
    assert "along first - second" in fit.warnings[0]
    np.testing.assert_allclose(fit.posterior.variance[2], 1 / (4 + 0.25), rtol=1e-6)
    np.testing.assert_allclose(fit.posterior.mean[2], 4 / 4.25, rtol=1e-6)


def regression(x, y):
    beta = numpyro.sample("beta", dist.Normal(0.0, 1000.0).expand([2]).to_event(1))
    numpyro.sample("y", dist.Normal(x @ beta, 1.0), obs=y)


@pytest.mark.any_precision
def test_collinear_columns_keep_their_variances():
    """Two columns that are the same: the prior alone says how wide their difference is, in float32 as in float64."""
    column = np.linspace(-1.0, 1.0, 20)
    fit = vi.fit(KEY, vi.from_numpyro(regression, np.stack([column, column], axis=1), column), vi.laplace())
    information = column @ column
    expected = 0.5 * 1e6 + 0.5 / (2 * information + 1e-6)
    np.testing.assert_allclose(fit.posterior.variance, expected, rtol=1e-3)
    assert not any("improper" in words for words in fit.warnings)


def iid(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
    numpyro.sample("y", dist.Normal(mean, numpyro.sample("scale", dist.HalfNormal(2.0))), obs=y)


@pytest.mark.float32
def test_a_million_rows_ask_for_float64():
    said = preflight(KEY, vi.from_numpyro(iid, np.random.default_rng(0).normal(size=1_000_000))).warnings
    assert "log likelihood of 1000000 terms is known to about 0.12 nats only" in said[0]
    assert "jax_enable_x64" in said[0]
    assert preflight(KEY, vi.from_numpyro(iid, np.random.default_rng(0).normal(size=10_000))).warnings == ()


@pytest.mark.float32
def test_numbers_far_from_zero_ask_for_float64():
    near = np.random.default_rng(0).normal(size=100)
    (said,) = preflight(KEY, vi.from_numpyro(iid, near + 1e6)).warnings
    assert "the numbers of 'y' are about 1e+06 in size and known to 0.12, where their mean has an error of 0.09" in said
    assert preflight(KEY, vi.from_numpyro(iid, near + 100.0)).warnings == ()


def test_float64_asks_for_nothing():
    y = np.random.default_rng(0).normal(size=1_000_000) + 1e6
    assert preflight(KEY, vi.from_numpyro(iid, y)).warnings == ()
    assert vi.from_numpyro(iid, y.astype(np.float32)).log_density(jnp.zeros(2)).dtype == jnp.float64
