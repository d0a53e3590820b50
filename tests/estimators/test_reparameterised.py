"""Estimators of the ELBO: unbiased in value and gradient, and without noise where theory says so."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import ESTIMATORS, random_params

MEAN, PRECISION = jnp.array([1.0, -0.5]), jnp.array([[2.0, 0.7], [0.7, 1.0]])
LOG_EVIDENCE = 1.3
NORMALS = {"mean field": vi.MeanFieldNormal(), "full rank": vi.FullRankNormal(), "low rank": vi.LowRankNormal(1)}
NOT_CLOSED = {"mixture": vi.NormalMixture(2), "Student t": vi.StudentT(8.0)}
GRID = jnp.linspace(-40.0, 40.0, 8001)[:, None]


def normal(z):
    """A normal density times exp(LOG_EVIDENCE)."""
    constant = 0.5 * jnp.linalg.slogdet(PRECISION / (2 * jnp.pi))[1]
    return LOG_EVIDENCE + constant - 0.5 * (z - MEAN) @ PRECISION @ (z - MEAN)


def bumpy(z):
    return -0.5 * jnp.sum(z**2) + jnp.sin(2 * z[0])


def covariance(q):
    return q.covariance_matrix if hasattr(q, "covariance_matrix") else jnp.diag(q.variance)


def minus_elbo_of_a_normal(guide, params):
    """D_KL(q || p) - log Z of two normals, in closed form."""
    q = guide.distribution(params)
    spread, gap = covariance(q), q.mean - MEAN
    logdet = jnp.linalg.slogdet(spread)[1] + jnp.linalg.slogdet(PRECISION)[1]
    return 0.5 * (jnp.trace(PRECISION @ spread) + gap @ PRECISION @ gap - 2 - logdet) - LOG_EVIDENCE


def minus_elbo_on_a_grid(guide, params):
    """The integral of q (log q - log p~) over the line."""
    log_q = guide.distribution(params).log_prob(GRID)
    return jnp.sum(jnp.exp(log_q) * (log_q - jax.vmap(bumpy)(GRID))) * (GRID[1, 0] - GRID[0, 0])


def loss_of(guide, log_density, dim, estimator, num_draws=2):
    target = vi.from_log_density(log_density, dim=dim)
    return lambda params, key: vi.ReverseKL(estimator).loss(key, params, guide, target, num_draws)[0]


@cache
def exact_value_and_gradient(exact, guide, dim):
    """What every estimator of one guide is held against."""
    return jit(jax.value_and_grad(lambda params: exact(guide, params)))(random_params(guide, dim))


def assert_unbiased(loss, exact, guide, dim, count=3000):
    keys = jax.random.split(jax.random.key(7), count)
    estimates = jit(jax.vmap(jax.value_and_grad(loss), (None, 0)))(random_params(guide, dim), keys)
    truths = exact_value_and_gradient(exact, guide, dim)
    for values, truth in zip(jax.tree.leaves(estimates), jax.tree.leaves(truths), strict=True):
        error = np.std(values, axis=0) / np.sqrt(count)
        assert np.all(np.abs(np.mean(values, axis=0) - truth) <= 5 * error + 1e-9)
    slopes = [float(np.max(np.abs(leaf))) for leaf in jax.tree.leaves(truths[1])]
    assert sorted(slopes)[-2] > 0.03  # zero would be right by accident


# weights that are normalised by their own sum are biased: test_gradients.py holds that against its theory
UNBIASED = [name for name in ESTIMATORS if name != "defensive"]


@pytest.mark.parametrize("estimator", UNBIASED)
@pytest.mark.parametrize("name", NORMALS)
def test_value_and_gradient_are_unbiased_for_normals(name, estimator):
    guide = NORMALS[name]
    loss = loss_of(guide, normal, 2, ESTIMATORS[estimator])
    assert_unbiased(loss, minus_elbo_of_a_normal, guide, 2)


@pytest.mark.parametrize("estimator", ["reparameterised", "stick the landing"])
@pytest.mark.parametrize("name", NOT_CLOSED)
def test_value_and_gradient_are_unbiased_where_only_quadrature_knows(name, estimator):
    guide = NOT_CLOSED[name]
    loss = loss_of(guide, bumpy, 1, ESTIMATORS[estimator])
    assert_unbiased(loss, minus_elbo_on_a_grid, guide, 1)


EXACT = {
    "mean field": {"location": MEAN, "log_scale": jnp.array([0.3, -0.4])},
    "full rank": {
        "location": MEAN,
        "log_diagonal": jnp.array([0.3, -0.4]),
        "lower": jnp.array([[0.0, 0.0], [0.8, 0.0]]),
    },
    "low rank": {"location": MEAN, "log_scale": jnp.array([0.3, -0.4]), "factor": jnp.array([[0.5], [-1.0]])},
    "mixture": {
        "log_weights": jnp.array([0.2, -0.5]),
        "components": {
            "location": jnp.array([[1.0, 2.0], [-1.0, 0.0]]),
            "log_diagonal": jnp.array([[0.3, -0.4], [0.0, 0.2]]),
            "lower": jnp.full((2, 2, 2), 0.4),
        },
    },
    "Student t": {"location": MEAN, "log_diagonal": jnp.array([0.3, -0.4]), "lower": jnp.full((2, 2), 0.8)},
}


@pytest.mark.parametrize("name", EXACT)
def test_where_q_is_p_the_elbo_is_log_evidence_without_noise(name):
    """Any draws give log Z; stick-the-landing then has no gradient at all, the full estimator has a noisy one."""
    guide, params = (NORMALS | NOT_CLOSED)[name], EXACT[name]
    keys = jax.random.split(jax.random.key(3), 5)

    def p(z):
        return guide.distribution(params).log_prob(z) + LOG_EVIDENCE

    gradients = {}
    for estimator in ("stick the landing", "reparameterised"):
        loss = loss_of(guide, p, 2, ESTIMATORS[estimator], num_draws=3)
        values, gradients[estimator] = jit(jax.vmap(jax.value_and_grad(loss), (None, 0)))(params, keys)
        np.testing.assert_allclose(values, -LOG_EVIDENCE, rtol=1e-9)
    for leaf in jax.tree.leaves(gradients["stick the landing"]):
        assert np.abs(leaf).max() < 1e-9
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradients["reparameterised"])) > 0.1


@pytest.mark.parametrize("guide", [vi.NormalMixture(2), vi.StudentT()], ids=str)
def test_an_entropy_without_closed_form_is_refused_by_name(guide):
    loss = loss_of(guide, bumpy, 1, vi.estimators.closed_form_entropy)
    name = type(guide).__name__
    with pytest.raises(
        ValueError, match=f"closed_form_entropy does not go with {name}.*Use stick_the_landing or repara"
    ):
        loss(random_params(guide, 1), jax.random.key(0))


def test_the_closed_form_takes_its_noise_from_the_density_alone():
    """On a flat density it has none, where the mean of -log q does."""
    guide, params = vi.MeanFieldNormal(), {"location": jnp.zeros(2), "log_scale": jnp.array([0.5, -1.0])}
    keys = jax.random.split(jax.random.key(0), 4)
    losses = {
        name: jit(jax.vmap(loss_of(guide, lambda z: 0.0 * z.sum(), 2, estimator), (None, 0)))(params, keys)
        for name, estimator in ESTIMATORS.items()
    }
    np.testing.assert_allclose(losses["closed-form entropy"], -(1 + np.log(2 * np.pi) - 0.5), rtol=1e-12)
    assert np.std(losses["reparameterised"]) > 0.1
    np.testing.assert_allclose(losses["stick the landing"], losses["reparameterised"], rtol=1e-12)


def test_another_source_of_noise_only_where_there_is_one():
    assert vi.estimators.vimco.drawing(vi.estimators.independent) == vi.estimators.Vimco(vi.estimators.independent)
    with pytest.raises(TypeError, match="estimator: enumerated has no source of noise"):
        vi.estimators.enumerated.drawing(vi.estimators.antithetic)
