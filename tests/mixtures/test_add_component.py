"""One more component: where it begins, with what weight, and what it is made of."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.special import softmax

import vi_toolkit as vi
from vi_toolkit.algorithms.mixture_natural_gradient import MixtureNaturalGradient

# A narrow mode that is seen from nowhere near the origin, where searches begin.
EXACT = vi.exact.gaussian_mixture([0.25, 0.75], [[-15.0], [15.0]], [[[0.25]], [[4.0]]])


@pytest.fixture(scope="module")
def one():
    return vi.fit(jax.random.key(0), EXACT.target)


@pytest.mark.any_precision
def test_it_begins_at_the_mode_that_is_missing_with_its_scale_and_weight(one):
    np.testing.assert_allclose(one.posterior.mean, [15.0], atol=0.01)
    method = vi.add_component(jax.random.key(1), one)
    assert method.guide == vi.NormalMixture(2)
    assert isinstance(method, MixtureNaturalGradient)
    components = method.start["components"]
    np.testing.assert_allclose(components["location"], [[15.0], [-15.0]], atol=0.05)
    np.testing.assert_allclose(np.exp(components["log_diagonal"]), [[2.0], [0.5]], rtol=0.05)
    # weights on a grid of log odds: neighbours are a quarter apart
    assert abs(method.start["log_weights"][1] - method.start["log_weights"][0] - np.log(0.25 / 0.75)) < 0.13
    np.testing.assert_array_equal(components["location"][0], one.params["location"])  # the rest begins as fitted


def test_the_next_fit_has_both_modes_and_their_weights(one):
    fit = vi.fit(jax.random.key(2), EXACT.target, vi.add_component(jax.random.key(1), one))
    assert fit.status is vi.Status.CONVERGED
    np.testing.assert_allclose(softmax(fit.params["log_weights"]), [0.75, 0.25], rtol=0.02)
    np.testing.assert_allclose(fit.params["components"]["location"], [[15.0], [-15.0]], atol=0.02)
    # where nothing is missing, a third component gets next to nothing, or a share of what is there
    third = vi.add_component(jax.random.key(3), fit)
    q = third.guide.distribution(third.start)
    points = np.linspace(-20.0, 25.0, 901)[:, None]
    gap = np.abs(np.exp(q.log_prob(points)) - np.exp(fit.posterior.log_prob(points))).sum() * 0.05
    assert gap < 0.1


def test_a_plain_mixture_misses_the_mode():
    plain = vi.fit(jax.random.key(0), EXACT.target, vi.gradient(vi.NormalMixture(2), vi.ReverseKL()))
    assert np.all(plain.params["components"]["location"] > 10.0)
    third = vi.add_component(jax.random.key(1), plain)
    np.testing.assert_allclose(third.start["components"]["location"][2], [-15.0], atol=0.05)


def test_other_families_become_mixtures_of_their_own():
    target = vi.zoo.two_modes(separation=20.0, dim=1).target
    fit = vi.fit(jax.random.key(0), target, vi.gradient(vi.MeanFieldStudentT(30.0), vi.ReverseKL()), max_steps=300)
    method = vi.add_component(jax.random.key(1), fit, num_draws=64)
    assert method.guide == vi.Mixture(2, vi.MeanFieldStudentT(30.0))
    np.testing.assert_allclose(np.sort(method.start["components"]["location"][:, 0]), [-10.0, 10.0], atol=0.2)
    assert abs(float(jnp.diff(method.start["log_weights"])[0])) < 0.26


def signed_root(square):
    root = numpyro.sample("root", dist.Normal(0.0, 10.0))
    numpyro.sample("square", dist.Normal(root**2, 5.0), obs=square)


def test_draws_of_the_prior_lead_to_the_other_mode_of_a_model():
    fit = vi.fit(jax.random.key(0), vi.from_numpyro(signed_root, np.array(100.0)))
    method = vi.add_component(jax.random.key(1), fit, num_draws=64)
    locations = method.start["components"]["location"][:, 0]
    np.testing.assert_allclose(np.sort(locations), [-10.0, 10.0], atol=0.1)
    np.testing.assert_allclose(np.exp(method.start["components"]["log_diagonal"]), 0.25, rtol=0.1)


def test_what_cannot_grow_is_refused(without_type_checks, one):
    with pytest.raises(TypeError, match="key: expected one JAX random key"):
        vi.add_component(0, one)
    with pytest.raises(TypeError, match="fit: expected a Fit"):
        vi.add_component(jax.random.key(0), EXACT.target)
    with pytest.raises(ValueError, match="num_draws: expected at least 1"):
        vi.add_component(jax.random.key(0), one, num_draws=0)
