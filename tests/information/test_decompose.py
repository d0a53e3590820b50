"""H(p, q) = H(p) + D(p‖q), whatever the route, and the words that say so."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from vi_toolkit import information

RNG = np.random.default_rng(0)
TARGET = vi.from_log_density(lambda z: 3.0 - 0.5 * jnp.sum((z - 0.3) ** 2), dim=3)
ROUTES = {
    "exact sum": ([0.5, 0.25, 0.25], [0.25, 0.25, 0.5]),
    "exact sum of outcomes": (dist.Poisson(3.0), dist.NegativeBinomial2(3.0, 4.0)),
    "closed form": (dist.Gamma(2.0, 1.0), dist.Gamma(3.0, 2.0)),
    "closed form between Gaussians": (dist.Normal(0.0, 1.0), dist.Normal(1.0, 2.0)),
    "quadrature": (dist.Laplace(0.0, 1.0), dist.Normal(0.0, 1.0)),
    "Monte Carlo, 10,000 draws": (
        dist.Normal(jnp.zeros(3), 1.0).to_event(1),
        dist.MultivariateStudentT(4.0, jnp.zeros(3), jnp.eye(3)),
    ),
    "self-normalised importance sampling": (TARGET, dist.Normal(jnp.zeros(3), 1.2).to_event(1)),
    "5 nearest neighbours": (
        information.from_draws(RNG.normal(size=400)),
        information.from_draws(RNG.normal(size=300)),
    ),
}


@pytest.mark.parametrize("name", ROUTES)
def test_the_identity(name):
    p, q = ROUTES[name]
    for unit, size in (("nats", 1.0), ("bits", np.log(2.0)), ("bans", np.log(10.0))):
        parts = information.decompose(p, q, unit=unit, key=jax.random.key(0))
        assert abs(parts.residual) < 1e-11 * (1.0 + abs(parts.cross_entropy.value))
        assert name.startswith(parts.entropy.route) or parts.entropy.route.startswith(name)
        assert parts.cross_entropy.unit == unit
        in_nats = information.kl_divergence(p, q, key=jax.random.key(0))
        both = 5 * np.hypot(parts.kl_divergence.se * size, in_nats.se)
        assert abs(parts.kl_divergence.value * size - in_nats.value) <= both + 1e-9


def test_batches():
    p, q = np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([0.5, 0.5])
    parts = information.decompose(p, q)
    np.testing.assert_allclose(parts.residual, 0.0, atol=1e-15)
    np.testing.assert_allclose(parts.kl_divergence.value, information.kl_divergence(p, q).value, rtol=1e-13)
    assert "[0.       0.368064]" in str(parts)
    batch = information.decompose(dist.Gamma(jnp.array([1.0, 2.0]), 1.0), dist.Gamma(3.0, 2.0))
    np.testing.assert_allclose(batch.residual, 0.0, atol=1e-14)
    assert batch.entropy.value.shape == (2,)


def test_infinite_parts_leave_the_entropy_alone():
    parts = information.decompose([0.5, 0.5], [1.0, 0.0], unit="bits")
    assert parts.entropy.value == 1.0
    assert parts.kl_divergence.value == parts.cross_entropy.value == np.inf
    assert np.isnan(parts.residual) or parts.residual == 0.0
    text = str(information.decompose(dist.Normal(0.0, 1.0), dist.Uniform(-1.0, 1.0)))
    assert text.splitlines()[0] == "H(p)      entropy        1.41894 nats"
    assert text.splitlines()[-1] == "quadrature"
    assert text.count("inf") == 2


def test_the_table():
    text = str(information.decompose([0.5, 0.5], [0.25, 0.75], unit="bits"))
    assert text.splitlines() == [
        "H(p)      entropy        1        bits",
        "D(p‖q)    KL divergence  0.207519 bits",
        "H(p, q)   cross-entropy  1.20752  bits   = H(p) + D(p‖q)",
        "exact sum",
    ]
    p, q = ROUTES["Monte Carlo, 10,000 draws"]
    assert " ± " in str(information.decompose(p, q, key=jax.random.key(0)))


def test_minimising_either_is_the_same():
    """For a fixed p the cross-entropy and D(p‖q) have their minimum over q at one place, that of q = p."""
    p = np.array([0.2, 0.3, 0.5])
    grid = [np.array([a, b, 1 - a - b]) for a in np.arange(0.1, 0.8, 0.1) for b in np.arange(0.1, 0.85 - a, 0.1)]
    parts = [information.decompose(p, q) for q in grid]
    best = min(range(len(grid)), key=lambda i: parts[i].cross_entropy.value)
    assert best == min(range(len(grid)), key=lambda i: parts[i].kl_divergence.value)
    np.testing.assert_allclose(grid[best], p, atol=1e-12)
