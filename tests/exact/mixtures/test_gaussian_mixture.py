"""Gaussian mixtures, against SciPy and quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from tests.exact.checks import check_agreement, check_density, check_draws, check_modes
from vi_toolkit import exact

WEIGHTS = np.array([0.2, 0.5, 0.3])
MEANS = np.array([[-4.0, 0.0], [3.0, 1.0], [0.0, 6.0]])
COVARIANCES = np.array([[[1.0, 0.8], [0.8, 1.0]], [[0.5, 0.0], [0.0, 2.0]], [[2.0, -0.5], [-0.5, 0.3]]])
COMPONENTS = list(zip(WEIGHTS, MEANS, COVARIANCES, strict=True))
POINT = jnp.array([1.0, 1.0])


def mixture():
    return exact.gaussian_mixture(WEIGHTS, MEANS, COVARIANCES)


@pytest.mark.any_precision
def test_density():
    points = np.random.default_rng(0).uniform(-6, 7, size=(20, 2))
    terms = [np.log(w) + stats.multivariate_normal(m, c).logpdf(points) for w, m, c in COMPONENTS]
    check_density(mixture(), points, logsumexp(terms, axis=0), 1e-9 if jax.config.jax_enable_x64 else 1e-3)


def test_moments_and_draws():
    posterior = mixture()
    check_draws(posterior)
    check_modes(posterior)
    check_agreement(posterior, exact.grid(posterior.target), 1e-8)


def test_in_ten_dimensions():
    rng = np.random.default_rng(1)
    means, roots = 3.0 * rng.normal(size=(4, 10)), rng.normal(size=(4, 10, 10))
    covariances = roots @ np.swapaxes(roots, 1, 2) + np.eye(10)
    posterior = exact.gaussian_mixture(np.ones(4), means, covariances)
    points = rng.normal(size=(5, 10))
    terms = [
        stats.multivariate_normal(m, c).logpdf(points) - np.log(4) for m, c in zip(means, covariances, strict=True)
    ]
    check_density(posterior, points, logsumexp(terms, axis=0))
    check_draws(posterior)


@pytest.mark.parametrize(("separation", "num_modes"), [(1.9, 1), (2.2, 2), (6.0, 2)])
def test_two_equal_gaussians_have_two_modes_beyond_two_sds(separation, num_modes):
    posterior = exact.gaussian_mixture([1, 1], [[-separation / 2], [separation / 2]], [[[1.0]], [[1.0]]])
    assert len(posterior.modes) == num_modes
    np.testing.assert_allclose(posterior.mode_weights, np.full(num_modes, 1 / num_modes))
    np.testing.assert_allclose(np.sort(posterior.modes[:, 0]).sum(), 0.0, atol=1e-9)
    check_modes(posterior)


def test_shares_are_probabilities_of_the_components():
    posterior = mixture()
    points = np.array([[-1.0, 2.0], [3.0, 1.0]])
    terms = np.stack(
        [w * stats.multivariate_normal(m, c).pdf(points) for w, m, c in COMPONENTS],
        axis=1,
    )
    np.testing.assert_allclose(posterior.mode_shares(points), terms / terms.sum(axis=1, keepdims=True), rtol=1e-9)


def test_weights_are_divided_by_their_sum():
    scaled = exact.gaussian_mixture(8 * WEIGHTS, MEANS, COVARIANCES)
    np.testing.assert_allclose(scaled.mean, WEIGHTS @ MEANS)
    np.testing.assert_allclose(scaled.log_prob(POINT), mixture().log_prob(POINT), rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [0.5, 0.0, 0.5]}, "weights: expected numbers above 0, got 0.0 at index 1"),
        ({"weights": [0.5, 0.5]}, r"means: expected shape \(2, dim\)"),
        ({"means": [0.0, 1.0, 2.0]}, "means: expected 2 axes"),
        ({"covariances": COVARIANCES[:2]}, r"covariances: expected shape \(3, 2, 2\)"),
        ({"covariances": -COVARIANCES}, "covariances: expected symmetric positive definite ones; number 0 is not"),
        ({"covariances": np.add(COVARIANCES, [[0.0, 0.1], [0.0, 0.0]])}, "symmetric positive definite"),
        ({"means": MEANS * np.nan}, "means: 6 of 6 entries are NaN"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        exact.gaussian_mixture(**({"weights": WEIGHTS, "means": MEANS, "covariances": COVARIANCES} | change))
