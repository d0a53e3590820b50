"""A log density that JAX cannot differentiate backwards is named as such, before a step."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi

KEY = jax.random.key(0)


def halved_until_small(z):
    """-z^2 / 2 by a loop whose length depends on z."""
    _, total = jax.lax.while_loop(lambda s: s[0] > 1e-3, lambda s: (0.5 * s[0], s[1] + 0.25 * s[0]), (z[0] ** 2, 0.0))
    return -total


def looped_model(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    mean = jax.lax.while_loop(lambda m: m < 0.0, lambda m: m + 1.0, mean)
    numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


def called_back(z):
    return jax.pure_callback(lambda x: np.asarray(-0.5 * np.sum(x**2)), jax.ShapeDtypeStruct((), z.dtype), z)


TARGETS = {
    "log density": lambda: vi.from_log_density(halved_until_small, dim=1),
    "NumPyro model": lambda: vi.from_numpyro(looped_model, jnp.ones(3)),
    "callback": lambda: vi.from_log_density(called_back, dim=1),
}


@pytest.mark.parametrize("kind", TARGETS)
def test_what_is_expected_and_the_likely_fix(kind):
    target = TARGETS[kind]()
    (words,) = vi.preflight(KEY, target).errors
    assert words.startswith("target: expected a log density with reverse-mode derivatives, and JAX could not take")
    assert "Write loops with jax.lax.scan, or with jax.lax.fori_loop and bounds that are plain numbers" in words
    assert ("Reverse-mode differentiation does not work" in words) == (kind != "callback")
    for method in (None, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())):
        with pytest.raises(ValueError, match=r"^target: expected a log density with reverse-mode derivatives"):
            vi.fit(KEY, target, method)


def test_a_loop_with_static_bounds_is_fine():
    def density(z):
        return jax.lax.fori_loop(0, 3, lambda _, total: total - 0.5 * z[0] ** 2, 0.0)

    target = vi.from_log_density(density, dim=1)
    assert vi.preflight(KEY, target) == vi.Preflight()
    fit = vi.fit(KEY, target)
    assert float(fit.posterior.variance[0]) == pytest.approx(1 / 3, rel=1e-3)


def test_other_errors_stay_what_they_are():
    """A function of NumPy with a derivative of its own, of which JAX knows no way to compute many at once."""

    @jax.custom_vjp
    def density(z):
        return jax.pure_callback(lambda x: np.asarray(-0.5 * np.sum(x**2)), jax.ShapeDtypeStruct((), z.dtype), z)

    density.defvjp(lambda z: (density(z), z), lambda z, g: (-g * z,))
    with pytest.raises(NotImplementedError, match="vmap"):
        vi.preflight(KEY, vi.from_log_density(density, dim=1))
