"""Unnormalised log densities on either side, against the same distribution with its normaliser."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from vi_toolkit import information

MEASURES = (
    information.kl_divergence,
    information.cross_entropy,
    information.jeffreys,
    information.jensen_shannon,
    information.hellinger,
    information.total_variation,
)


def target_of(distribution, log_factor, dim):
    """The density of a distribution, times a factor that is not said."""
    return vi.from_log_density(lambda z: log_factor + jnp.sum(distribution.log_prob(z)), dim=dim)


@pytest.mark.parametrize("log_factor", [-500.0, 900.0])
def test_on_the_line_with_any_factor(log_factor):
    p, q = dist.Laplace(1.0, 2.0), dist.Normal(0.0, 1.5)
    target = target_of(p, log_factor, 1)
    for measure in MEASURES:
        for given, back in (
            (measure(target, q), measure(q, target)),
            (measure(target, q.expand((1,)).to_event(1)), measure(q.expand((1,)).to_event(1), target)),
        ):
            assert given.route == back.route == "quadrature"
            assert given.value == pytest.approx(measure(p, q).value, rel=1e-8), measure.__name__
            assert back.value == pytest.approx(measure(q, p).value, rel=1e-8), measure.__name__
    parts = information.decompose(target, q)
    assert abs(parts.residual) < 1e-9
    assert parts.entropy.value == pytest.approx(information.entropy(p).value, rel=1e-9)


def test_in_the_plane():
    p = dist.MultivariateNormal(jnp.array([1.0, -2.0]), jnp.array([[2.0, 0.9], [0.9, 0.5]]))
    q = dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2))
    target = target_of(p, 33.0, 2)
    for measure in MEASURES[:3]:
        assert measure(target, q).value == pytest.approx(measure(p, q).value, rel=1e-7)
        assert measure(q, target).value == pytest.approx(measure(q, p).value, rel=1e-7)
    order = {"order": 0.4}
    found = information.renyi_divergence(target, q, **order).value
    assert found == pytest.approx(information.renyi_divergence(p, q, **order).value, rel=1e-7)
    assert information.fisher_divergence(target, q).value == pytest.approx(
        information.fisher_divergence(p, q).value, rel=1e-7
    )
    assert information.entropy(target).value == pytest.approx(information.entropy(p).value, rel=1e-8)


def test_two_targets():
    p, q = dist.Normal(0.5, 1.0), dist.Normal(-0.5, 2.0)
    found = information.kl_divergence(target_of(p, 3.0, 1), target_of(q, -4.0, 1))
    assert found.value == pytest.approx(information.kl_divergence(p, q).value, rel=1e-9)
    with pytest.raises(ValueError, match="in 3 dimensions one of p and q must be a distribution to draw from"):
        information.kl_divergence(target_of(p, 0.0, 3), target_of(q, 0.0, 3), key=jax.random.key(0))


@pytest.mark.parametrize(("place", "scale"), [(50.0, 1e-2), (1000.0, 1.0), (-3.0, 1e-6), (0.0, 1e5)])
def test_masses_far_from_where_one_would_look(place, scale):
    p = dist.Normal(place, scale)
    target = target_of(p, 0.0, 1)
    assert information.entropy(target).value == pytest.approx(information.entropy(p).value, rel=1e-8)
    q = dist.Normal(0.0, 1.0)
    assert information.kl_divergence(target, q).value == pytest.approx(information.kl_divergence(p, q).value, rel=1e-8)
    assert information.kl_divergence(q, target).value == pytest.approx(information.kl_divergence(q, p).value, rel=1e-8)


def test_two_modes():
    means, weights = jnp.array([-8.0, 8.0]), jnp.array([0.25, 0.75])
    mixture = dist.MixtureSameFamily(dist.Categorical(weights), dist.Normal(means, 0.3))
    target, q = target_of(mixture, 5.0, 1), dist.Normal(0.0, 6.0)
    assert information.kl_divergence(target, q).value == pytest.approx(
        information.kl_divergence(mixture, q).value, rel=1e-8
    )


@pytest.mark.slow
def test_a_curve_and_a_funnel():
    # A banana: z_0 normal, z_1 normal about z_0^2. The map that straightens it has no volume, so that H is theirs.
    banana = vi.from_log_density(lambda z: -0.5 * z[0] ** 2 - 10.0 * (z[1] - z[0] ** 2) ** 2, dim=2)
    expected = np.log(2 * np.pi * np.e) - 0.5 * np.log(20.0)
    assert information.entropy(banana).value == pytest.approx(expected, rel=1e-8)
    # A funnel: log of the scale normal with sd 3, and E log(scale) = 0.
    funnel = vi.from_log_density(
        lambda z: -0.5 * (z[0] / 3) ** 2 - 0.5 * (z[1] * jnp.exp(-z[0] / 2)) ** 2 - z[0] / 2, dim=2
    )
    assert information.entropy(funnel).value == pytest.approx(np.log(2 * np.pi * np.e) + np.log(3), rel=1e-8)


def test_a_distribution_on_a_part_of_the_line():
    q, p = dist.Gamma(2.0, 1.0), dist.Normal(1.0, 2.0)
    target = target_of(p, 1.0, 1)
    assert information.kl_divergence(q, target).value == pytest.approx(information.kl_divergence(q, p).value, rel=1e-9)
    assert information.kl_divergence(target, q).value == np.inf


def test_a_heavy_tail():
    target = vi.from_log_density(lambda z: -jnp.log1p(z[0] ** 2), dim=1)  # Cauchy
    assert information.entropy(target).value == pytest.approx(np.log(4 * np.pi), rel=1e-9)
    assert information.kl_divergence(target, dist.Normal(0.0, 1.0)).value == np.inf


def test_a_known_evidence_serves_beyond_the_plane():
    p = dist.Normal(jnp.zeros(4), 1.0).to_event(1)
    q = dist.Normal(jnp.full(4, 0.3), 1.2).to_event(1)
    target = vi.from_log_density(lambda z: p.log_prob(z) + 2.0, dim=4, log_evidence=2.0)
    found = information.kl_divergence(q, target, key=jax.random.key(0))
    assert found.route.startswith("importance sampling")
    assert abs(found.value - information.kl_divergence(q, p).value) < 5 * found.se


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: information.entropy(vi.from_log_density(lambda z: 0.0 * z[0], dim=1)), ValueError, "no finite int"),
        (
            lambda t: information.entropy(vi.from_log_density(lambda z: -0.5 * z[0] ** 2, dim=2)),
            ValueError,
            "no finite integral",
        ),
        (lambda t: information.kl_divergence(dist.Poisson(1.0), t), ValueError, "p: expected one continuous distrib"),
        (
            lambda t: information.kl_divergence(t, dist.Normal(jnp.zeros(3), 1.0)),
            ValueError,
            r"q: expected one continuous distribution .* got Normal with batch shape \(3,\)",
        ),
        (lambda t: information.kl_divergence(t, dist.Normal(jnp.zeros(2), 1.0).to_event(1)), ValueError, "dim 1"),
        (lambda t: information.kl_divergence(t, [0.5, 0.5]), TypeError, "expected p and q of one kind"),
        (lambda t: information.kl_divergence(t, information.from_draws([1.0, 2.0])), TypeError, "of one kind"),
        (lambda t: information.fisher_divergence(t, dist.Poisson(1.0)), ValueError, "q: expected one continuous"),
        (lambda t: information.wasserstein(t, dist.Normal(0.0, 1.0)), TypeError, "and no target"),
        (lambda t: information.mutual_information(t), TypeError, "a target has no marginals"),
        (
            lambda t: information.kl_divergence(
                vi.from_log_density(lambda z: -jnp.sum(z**2), dim=3), dist.Normal(jnp.zeros(3), 1.0).to_event(1)
            ),
            ValueError,
            r"key: KL divergence .* pass key=jax.random.key\(0\)",
        ),
    ],
)  # fmt: skip
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(target_of(dist.Normal(0.0, 1.0), 0.0, 1))
