"""Mixtures of every family: a component of the mixture is that component alone."""

from functools import partial
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp, softmax

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import log_prob, moments, random_params

DIM = 3
FAMILIES = {
    "full rank": vi.FullRankNormal(),
    "low rank": vi.LowRankNormal(2),
    "blocks": vi.BlockNormal(((0, 2), (1,))),
    "sparse precision": vi.SparsePrecisionNormal(((1, 0), (2, 1)), (1, 2, 0)),
    "Student t": vi.StudentT(),
    "Student t of blocks": vi.StudentT(6.0, vi.BlockNormal(((0, 2), (1,)))),
    "mean-field Student t": vi.MeanFieldStudentT(),
    "sinh-arcsinh": vi.SinhArcsinhNormal(),
}


def component(params, k):
    return jax.tree.map(itemgetter(k), params["components"])


@partial(jit, static_argnums=0)
def move(guide, params, step):
    return guide.move(params, step)


@pytest.mark.parametrize("name", FAMILIES)
def test_density_and_moments_are_those_of_the_components(name):
    family, guide = FAMILIES[name], vi.Mixture(2, FAMILIES[name])
    params = random_params(guide, DIM)
    weights, points = softmax(params["log_weights"]), np.random.default_rng(1).normal(size=(4, DIM))
    alone = np.array([log_prob(family, component(params, k), points) for k in range(2)])
    expected = logsumexp(alone + np.log(weights)[:, None], axis=0)
    np.testing.assert_allclose(log_prob(guide, params, points), expected, rtol=1e-9)
    parts = [moments(family, component(params, k)) for k in range(2)]
    mean = sum(w * m for w, (m, _) in zip(weights, parts, strict=True))
    second = sum(w * (v + m**2) for w, (m, v) in zip(weights, parts, strict=True))
    np.testing.assert_allclose(moments(guide, params)[0], mean, rtol=1e-9)
    np.testing.assert_allclose(moments(guide, params)[1], second - mean**2, rtol=1e-9)


def drawing(name, noise, *, quick):
    which = "mirrored" if noise is None else "quasi-random"
    return pytest.param(name, noise, id=f"{name}-{which}", marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "noise"),
    [
        *(drawing(name, None, quick=True) for name in FAMILIES),
        *(
            drawing(name, vi.estimators.quasi_random, quick=name in ("full rank", "mean-field Student t"))
            for name in FAMILIES
        ),
    ],
)
def test_draws_are_shared_out_among_the_components(name, noise):
    guide, each = vi.Mixture(2, FAMILIES[name]), 1024
    params = random_params(guide, DIM)
    points, weights, _ = jit(lambda key: guide.draw(key, params, 2 * each - 1, noise))(jax.random.key(2))
    points = np.asarray(points).reshape(each, 2, DIM)
    np.testing.assert_allclose(weights, np.tile(softmax(params["log_weights"]) / each, each))
    for k in range(2):
        mean, variance = moments(FAMILIES[name], component(params, k))
        assert np.all(np.abs(points[:, k].mean(0) - mean) < 5 * np.sqrt(variance / each))
        squares = (points[:, k] - np.asarray(mean)) ** 2
        # mirrored pairs have one square between them
        assert np.all(np.abs(squares.mean(0) - variance) < 5 * squares.std(0) / np.sqrt(each / 2))
    if noise is None:  # each component has noise of its own
        assert np.abs(np.corrcoef(points[:, 0, 0], points[:, 1, 0])[0, 1]) < 5 / np.sqrt(each / 2)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_component_moves_as_it_would_alone(name):
    guide = vi.Mixture(2, FAMILIES[name])
    params, step = random_params(guide, DIM), random_params(guide, DIM, seed=5)
    moved = move(guide, params, step)
    for k in range(2):
        alone = move(FAMILIES[name], component(params, k), component(step, k))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), component(moved, k), alone)


def test_a_mixture_of_normals_goes_by_two_names():
    params = random_params(vi.NormalMixture(2), DIM)
    one, other = vi.NormalMixture(2), vi.Mixture(2)
    drawn = [guide.draw(jax.random.key(0), params, 6).points for guide in (one, other)]
    np.testing.assert_array_equal(*drawn)
    points = np.zeros((1, DIM))
    np.testing.assert_array_equal(log_prob(one, params, points), log_prob(other, params, points))


def test_two_skewed_components_are_found():
    truth_guide = vi.Mixture(2, vi.SinhArcsinhNormal(vi.MeanFieldNormal()))
    truth = {
        "log_weights": jnp.log(jnp.array([0.3, 0.7])),
        "components": {
            "location": jnp.array([[-8.0], [8.0]]), "log_scale": jnp.log(jnp.array([[0.8], [1.2]])),
            "skewness": jnp.array([[0.5], [-0.3]]), "log_tail_weight": jnp.log(jnp.array([[0.9], [1.2]])),
        },
    }  # fmt: skip
    target = vi.from_log_density(
        jax.tree_util.Partial(lambda params, z: truth_guide.distribution(params).log_prob(z), truth), dim=1
    )
    fit = vi.fit(jax.random.key(0), target, vi.gradient(truth_guide, vi.ReverseKL()))
    order = np.argsort(fit.params["components"]["location"][:, 0])
    found = jax.tree.map(lambda leaf: leaf[order], fit.params)
    np.testing.assert_allclose(softmax(found["log_weights"]), [0.3, 0.7], atol=0.01)
    for name, values in truth["components"].items():
        np.testing.assert_allclose(found["components"][name], values, atol=0.06, err_msg=name)


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: vi.Mixture(0), ValueError, "num_components: expected at least 1"),
        (lambda: vi.Mixture(2, vi.Mixture(2)), TypeError, "component: expected a FullRankNormal or"),
        (lambda: vi.Mixture(2, vi.StudentT), TypeError, "got the class StudentT itself"),
        (lambda: vi.NormalMixture(2, vi.SinhArcsinhNormal()), TypeError, "covariance: expected a FullRankNormal or"),
        (lambda: vi.Mixture(2, vi.BlockNormal((2, 1))).check(2), ValueError, "blocks: they hold 3 coordinates"),
    ],
)
def test_what_makes_no_mixture(without_type_checks, build, error, words):
    with pytest.raises(error, match=words):
        build()
