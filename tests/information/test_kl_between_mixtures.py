"""KL between Gaussian mixtures: the estimate against quadrature and exact cases, and the two bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from hypothesis import given, settings, strategies as st

from vi_toolkit import information
from vi_toolkit.information.mixtures import _bounds, _matched_bound, components

KEY = jax.random.key(0)


def line(weights, places, scales):
    return dist.MixtureSameFamily(
        dist.Categorical(jnp.array(weights)), dist.Normal(jnp.array(places), jnp.array(scales))
    )


def plane(rng, count, dim=2):
    roots = np.tril(0.3 * rng.normal(size=(count, dim, dim))) + np.eye(dim) * rng.uniform(0.5, 1.5, (count, 1, 1))
    return dist.MixtureSameFamily(
        dist.Categorical(jnp.asarray(rng.dirichlet(np.ones(count)))),
        dist.MultivariateNormal(jnp.asarray(2.0 * rng.normal(size=(count, dim))), scale_tril=jnp.asarray(roots)),
    )


def bounds_of(p, q):
    (log_w, f), (log_v, g) = components(p, "p"), components(q, "q")
    lower, upper = _bounds(log_w, f, log_v, g)
    return max(lower, 0.0), min(upper, _matched_bound(log_w, f, log_v, g))


@st.composite
def mixtures(draw):
    count = draw(st.integers(1, 4))
    weights = np.array(draw(st.lists(st.floats(0.05, 1.0), min_size=count, max_size=count)))
    places = draw(st.lists(st.floats(-5.0, 5.0), min_size=count, max_size=count))
    scales = draw(st.lists(st.floats(0.3, 3.0), min_size=count, max_size=count))
    return line(weights / weights.sum(), places, scales)


@settings(max_examples=20)
@given(mixtures(), mixtures())
def test_the_bounds_hold_on_the_line(p, q):
    truth = information.kl_divergence(p, q).value
    lower, upper = bounds_of(p, q)
    assert lower <= truth * (1 + 1e-8) + 1e-9
    assert truth <= upper * (1 + 1e-8) + 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_the_bounds_hold_in_the_plane(seed):
    rng = np.random.default_rng(seed)
    p, q = plane(rng, 3), plane(rng, 2)
    truth = information.kl_divergence(p, q).value
    found = information.kl_between_mixtures(KEY, p, q, num_draws=4000)
    assert found.lower <= truth <= found.upper
    assert abs(found.estimate.value - truth) < 5 * found.estimate.se
    assert found.estimate.route == "Monte Carlo, 4,000 draws"


def test_the_bounds_hold_in_five_dimensions():
    rng = np.random.default_rng(7)
    p, q = plane(rng, 3, dim=5), plane(rng, 3, dim=5)
    found = information.kl_between_mixtures(KEY, p, q, num_draws=20_000)
    assert found.lower <= found.estimate.value + 5 * found.estimate.se
    assert found.estimate.value - 5 * found.estimate.se <= found.upper
    assert found.upper < np.inf


def test_single_components_are_exact():
    for p, q in (
        (dist.Normal(0.0, 1.0), dist.Normal(1.0, 2.0)),
        (line([1.0], [0.0], [1.0]), dist.Normal(1.0, 2.0)),
        (plane(np.random.default_rng(0), 1), plane(np.random.default_rng(1), 1)),
    ):
        found = information.kl_between_mixtures(KEY, p, q)
        single = p.component_distribution if isinstance(p, dist.MixtureSameFamily) else p
        other = q.component_distribution if isinstance(q, dist.MixtureSameFamily) else q
        exact = float(np.squeeze(information.kl_divergence(single, other).value))
        assert found.upper == pytest.approx(exact, rel=1e-10)
        assert abs(found.estimate.value - exact) < 5 * found.estimate.se
        assert found.lower <= exact


def test_equal_mixtures_and_components_far_apart():
    p = line([0.3, 0.7], [-3.0, 2.0], [1.0, 0.5])
    lower, upper = bounds_of(p, p)
    assert lower == 0.0
    assert upper == pytest.approx(0.0, abs=1e-9)
    # Components that do not meet: D is that of the weights, and the upper bound finds it.
    p, q = line([0.3, 0.7], [-50.0, 50.0], [1.0, 1.0]), line([0.6, 0.4], [-50.0, 50.0], [1.0, 1.0])
    expected = information.kl_divergence([0.3, 0.7], [0.6, 0.4]).value
    lower, upper = bounds_of(p, q)
    assert upper == pytest.approx(expected, rel=1e-8)
    assert information.kl_divergence(p, q).value == pytest.approx(expected, rel=1e-8)


def test_weights_that_are_zero():
    full, empty = line([0.4, 0.6], [-1.0, 2.0], [1.0, 1.0]), line([1.0, 0.0], [0.5, 9.0], [1.5, 1.0])
    for p, q in ((full, empty), (empty, full)):
        truth = information.kl_divergence(p, q).value
        found = information.kl_between_mixtures(KEY, p, q)
        assert found.lower <= truth <= found.upper < np.inf
        assert abs(found.estimate.value - truth) < 5 * found.estimate.se
        reduced = bounds_of(*(dist.Normal(0.5, 1.5) if each is empty else each for each in (p, q)))
        np.testing.assert_allclose((found.lower, found.upper), reduced, rtol=1e-9)


def test_every_way_to_write_a_mixture():
    """Columns of one distribution, a list, independent coordinates, low rank, logits: the same mixture."""
    weights = np.array([0.25, 0.75])
    places, scales = np.array([[0.0, 1.0], [2.0, -1.0]]), np.array([[1.0, 0.5], [0.8, 1.2]])
    covariances = np.stack([np.diag(row**2) for row in scales])
    q = dist.Normal(jnp.zeros(2), 2.0).to_event(1)
    mixing = dist.Categorical(jnp.asarray(weights))
    ways = [
        dist.MixtureSameFamily(mixing, dist.MultivariateNormal(jnp.asarray(places), jnp.asarray(covariances))),
        dist.MixtureSameFamily(mixing, dist.Normal(jnp.asarray(places), jnp.asarray(scales)).to_event(1)),
        dist.MixtureGeneral(mixing, [dist.Normal(jnp.asarray(m), jnp.asarray(s)).to_event(1)
                                     for m, s in zip(places, scales, strict=True)]),
        dist.MixtureSameFamily(
            dist.Categorical(logits=jnp.log(jnp.asarray(weights))),
            dist.LowRankMultivariateNormal(
                jnp.asarray(places), cov_factor=1e-9 * jnp.ones((2, 2, 1)), cov_diag=jnp.asarray(scales**2)
            ),
        ),
    ]  # fmt: skip
    expected = bounds_of(ways[0], q)
    for way in ways[1:]:
        np.testing.assert_allclose(bounds_of(way, q), expected, rtol=1e-7)
    truth = information.kl_divergence(ways[0], q).value
    assert expected[0] <= truth <= expected[1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda n: information.kl_between_mixtures(KEY, dist.Laplace(0.0, 1.0), n), TypeError, "p: expected"),
        (lambda n: information.kl_between_mixtures(KEY, n, [0.5, 0.5]), TypeError, "q: expected one normal"),
        (lambda n: information.kl_between_mixtures(KEY, n, dist.Normal), TypeError, "q: expected one normal"),
        (
            lambda n: information.kl_between_mixtures(
                KEY,
                dist.MixtureSameFamily(dist.Categorical(jnp.array([0.5, 0.5])), dist.Gamma(jnp.array([1.0, 2.0]), 1.0)),
                n,
            ),
            TypeError,
            "p: expected one normal distribution or mixture",
        ),
        (
            lambda n: information.kl_between_mixtures(KEY, n, plane(np.random.default_rng(0), 2)),
            ValueError,
            r"q: expected event shape \(\)",
        ),
        (lambda n: information.kl_between_mixtures(KEY, n, dist.Normal(jnp.zeros(2), 1.0)), TypeError, "q: expected"),
    ],
)  # fmt: skip
def test_bad_input(call, error, message, without_type_checks):
    with pytest.raises(error, match=message):
        call(dist.Normal(0.0, 1.0))


def test_a_key_is_asked_for(without_type_checks):
    with pytest.raises(TypeError, match="key: expected one JAX random key, got int 0"):
        information.kl_between_mixtures(0, dist.Normal(0.0, 1.0), dist.Normal(0.0, 1.0))
