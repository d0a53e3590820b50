"""Kernels: values by hand, derivatives by autodiff, positive definiteness, and the median rule."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi

KERNELS = {
    "RBF": vi.kernels.RBF(1.3),
    "IMQ": vi.kernels.IMQ(-0.5, 0.7),
    "steep IMQ": vi.kernels.IMQ(-0.9, 2.0),
    "linear": vi.kernels.Linear(),
    "sum": vi.kernels.Sum((vi.kernels.Linear(), vi.kernels.RBF(0.5))),
}
BY_HAND = {
    "RBF": lambda x, y: np.exp(-np.sum((x - y) ** 2) / (2 * 1.3**2)),
    "IMQ": lambda x, y: (1 + np.sum((x - y) ** 2) / 0.7**2) ** -0.5,
    "steep IMQ": lambda x, y: (1 + np.sum((x - y) ** 2) / 4) ** -0.9,
    "linear": lambda x, y: 1 + x @ y,
    "sum": lambda x, y: 1 + x @ y + np.exp(-2 * np.sum((x - y) ** 2)),
}
POINTS = np.random.default_rng(0).normal(size=(6, 3))


@pytest.mark.any_precision
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel(name):
    points = jnp.asarray(POINTS, jnp.result_type(float))
    kernel = KERNELS[name].settle(points)
    table = jax.vmap(lambda x: jax.vmap(lambda y: kernel.value(x, y))(points))(points)
    tolerance = 1e-10 if points.dtype == jnp.float64 else 1e-4
    np.testing.assert_allclose(table, [[BY_HAND[name](x, y) for y in POINTS] for x in POINTS], rtol=tolerance)
    assert np.linalg.eigvalsh(np.asarray(table, float)).min() > -1e-5
    by_autodiff = vi.kernels.from_pair(kernel.value)
    for y in points[:3]:  # the same point as well
        expected = by_autodiff.mixed_trace(points[0], y)
        np.testing.assert_allclose(kernel.mixed_trace(points[0], y), expected, rtol=1e3 * tolerance, atol=tolerance)
    assert pickle.loads(pickle.dumps(KERNELS[name])) == KERNELS[name]
    assert len(set(KERNELS.values())) == len(KERNELS)


def test_the_median_rule():
    gaps = [np.linalg.norm(a - b) for i, a in enumerate(POINTS) for b in POINTS[:i]]
    np.testing.assert_allclose(vi.kernels.median_distance(jnp.asarray(POINTS)), np.median(gaps), rtol=1e-12)
    assert float(vi.kernels.median_distance(jnp.ones((1, 3)))) == 1.0
    assert float(vi.kernels.median_distance(jnp.ones((4, 3)))) == 1.0
    by_rule = vi.kernels.RBF().settle(jnp.asarray(POINTS), factor=0.5)
    given = vi.kernels.RBF(float(0.5 * np.median(gaps))).settle(jnp.asarray(POINTS))
    x, y = jnp.asarray(POINTS[:2])
    np.testing.assert_allclose(by_rule.value(x, y), given.value(x, y), rtol=1e-12)
    slope = jax.grad(lambda points: vi.kernels.RBF().settle(points).value(x, y))(jnp.asarray(POINTS))
    np.testing.assert_array_equal(slope, 0.0)  # the rule is held fixed


def test_bad_settings_are_refused(without_type_checks):
    with pytest.raises(ValueError, match=r"bandwidth: expected a finite number above 0, got 0.0"):
        vi.kernels.RBF(0.0)
    with pytest.raises(TypeError, match=r"bandwidth: expected a positive number, got str 'median'"):
        vi.kernels.IMQ(bandwidth="median")
    with pytest.raises(ValueError, match=r"power: expected a number between -1 and 0, got 0.5"):
        vi.kernels.IMQ(power=0.5)
    with pytest.raises(TypeError, match=r"kernels: expected a tuple, got RBF"):
        vi.kernels.Sum(vi.kernels.RBF())
    with pytest.raises(ValueError, match=r"kernels: expected at least one kernel, got none"):
        vi.kernels.Sum(())
    with pytest.raises(TypeError, match=r"kernels: expected a Kernel, got str 'rbf'"):
        vi.kernels.Sum(("rbf",))
