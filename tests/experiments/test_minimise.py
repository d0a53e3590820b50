"""The search for a minimum: against problems whose minimum is known."""

import jax.numpy as jnp
import numpy as np
import pytest

from vi_toolkit.experiments._minimise import evaluate, minimise


def rosenbrock(theta, scale):
    return jnp.sum(scale * (theta[1:] - theta[:-1] ** 2) ** 2 + (1 - theta[:-1]) ** 2)


def two_wells(theta, tilt):
    return (theta[0] ** 2 - 1) ** 2 + tilt * theta[0]


def test_minimum_to_rounding():
    found = minimise(rosenbrock, np.array([-1.2, 1.0, 2.0]), jnp.asarray(100.0))
    np.testing.assert_allclose(found.theta, 1.0, rtol=1e-13)
    assert found.value < 1e-25
    assert found.gradient < 1e-12


@pytest.mark.parametrize(("start", "side"), [(-2.0, -1), (2.0, 1)])
def test_a_local_minimum_is_that_of_the_start(start, side):
    found = minimise(two_wells, np.array([start]), jnp.asarray(0.1))
    roots = np.roots([4.0, 0.0, -4.0, 0.1])
    expected = roots.max() if side > 0 else roots.min()
    assert found.theta[0] == pytest.approx(expected, abs=1e-14)


def test_derivatives():
    point = evaluate(rosenbrock, np.array([0.5, 2.0]), jnp.asarray(1.0))
    assert point.value == pytest.approx(1.75**2 + 0.25)
    np.testing.assert_allclose(point.gradient, [-4 * 0.5 * 1.75 - 1.0, 2 * 1.75])
    np.testing.assert_allclose(point.hessian, [[-4 * 1.75 + 8 * 0.25 + 2, -2.0], [-2.0, 2.0]])
