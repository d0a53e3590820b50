"""Quadrature in three dimensions, against densities that are known; and stated errors that are honest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.exact.checks import check_draws
from vi_toolkit import exact, from_log_density, zoo

ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
X = np.stack([np.ones(8), np.linspace(-1.0, 1.0, 8)], axis=1)
Y = 1.0 + X[:, 1] + 0.3 * np.sin(np.arange(8.0))


def _log_banana(z):
    flat = jnp.array([z[0], z[1] - 0.4 * (z[0] ** 2 - 1.0), z[2]])
    return -0.5 * jnp.sum(flat**2) - 1.5 * jnp.log(2.0 * jnp.pi)


SPACE = {
    "condition number 100": lambda: exact.gaussian_mixture(
        [1.0], [[1.0, -2.0, 3.0]], [ROTATION @ np.diag([1.0, 10.0, 100.0]) @ ROTATION.T]
    ),
    "two modes": lambda: exact.gaussian_mixture(
        [0.3, 0.7], [[-4.0, 0.0, 0.0], [3.0, 1.0, -2.0]], [np.eye(3), 0.25 * np.eye(3)]
    ),
    "regression": lambda: exact.linear_regression_unknown_noise(X, Y, prior_sd=3.0, shape=2.0, rate=1.0),
    "Student-t": lambda: zoo.student_t(3, degrees_of_freedom=6.0),
}
PLANE = {
    "line": lambda: zoo.skewed(1),
    "tails": lambda: zoo.student_t(1, degrees_of_freedom=3.0),
    "plane": lambda: zoo.banana(),
    "ring": lambda: zoo.donut(),
}


@pytest.fixture(scope="module", params=SPACE)
def pair(request):
    known = SPACE[request.param]()
    return known, exact.grid(known.target)


def test_evidence_and_moments(pair):
    known, found = pair
    assert abs(found.log_evidence - known.log_evidence) <= found.log_evidence_error <= 2e-6
    np.testing.assert_allclose((found.mean - known.mean) / known.sd, 0.0, atol=2e-6)
    scale = np.outer(known.sd, known.sd)
    np.testing.assert_allclose((found.covariance - known.covariance) / scale, 0.0, atol=5e-6)


def test_draws(pair):
    check_draws(pair[1], 20_000)


def test_modes(pair):
    known, found = pair
    order = np.argsort(found.modes[:, 0])
    np.testing.assert_allclose(found.modes[order], known.modes[np.argsort(known.modes[:, 0])], atol=1e-5)


def test_a_bent_density():
    found = exact.grid(from_log_density(_log_banana, dim=3))
    assert abs(found.log_evidence) <= found.log_evidence_error
    np.testing.assert_allclose(found.mean, 0.0, atol=1e-6)
    np.testing.assert_allclose(found.covariance, np.diag([1.0, 1.0 + 2 * 0.4**2, 1.0]), atol=1e-5)


@pytest.mark.parametrize("name", PLANE)
@pytest.mark.parametrize("tolerance", [1e-4, None])
def test_the_stated_error_is_honest(name, tolerance):
    known = PLANE[name]()
    found = exact.grid(known.target, relative_tolerance=tolerance)
    assert abs(found.log_evidence - known.log_evidence) <= found.log_evidence_error
    assert found.log_evidence_error <= 2 * (tolerance or 1e-8)


@pytest.mark.float32
def test_in_float32():
    known = SPACE["two modes"]()
    found = exact.grid(known.target)
    assert abs(found.log_evidence - known.log_evidence) <= found.log_evidence_error < 5e-3
    assert jax.numpy.result_type(float) == jnp.float32
