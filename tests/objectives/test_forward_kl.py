"""Forward KL, from draws of p and by importance weights: values, gradients, and words when the weights collapse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import random_params

MEAN, COVARIANCE = np.array([1.0, -0.5]), np.array([[1.0, 0.6], [0.6, 2.0]])
PRECISION = np.linalg.inv(COVARIANCE)
NORMALS = {"mean field": vi.MeanFieldNormal(), "full rank": vi.FullRankNormal(), "low rank": vi.LowRankNormal(1)}


def log_p(z):
    """An unnormalised normal: nothing here may depend on its evidence."""
    return 7.0 - 0.5 * (z - MEAN) @ PRECISION @ (z - MEAN)


TARGET = vi.from_log_density(log_p, dim=2)


def covariance(q):
    return q.covariance_matrix if hasattr(q, "covariance_matrix") else jnp.diag(q.variance)


def cross_entropy(guide, params):
    """-E_p log q of two normals, in closed form."""
    q = guide.distribution(params)
    gap = q.mean - MEAN
    solved = jnp.linalg.solve(covariance(q), COVARIANCE + jnp.outer(gap, gap))
    return 0.5 * (jnp.trace(solved) + jnp.linalg.slogdet(2 * jnp.pi * covariance(q))[1])


def losses(objective, guide, params, num_draws, count, target=TARGET):
    def loss(params, key):
        return objective.loss(key, params, guide, target, num_draws)

    keys = jax.random.split(jax.random.key(11), count)
    (values, info), gradients = jit(jax.vmap(jax.value_and_grad(loss, has_aux=True), (None, 0)))(params, keys)
    return values, info, gradients


@pytest.mark.parametrize("name", [*NORMALS, "mixture", "Student t"])
def test_with_draws_it_is_the_mean_negative_log_likelihood(name):
    guide = (NORMALS | {"mixture": vi.NormalMixture(2), "Student t": vi.StudentT()})[name]
    params = random_params(guide)
    draws = np.random.default_rng(0).normal(size=(40, 2))

    def likelihood(params):
        return -guide.distribution(params).log_prob(draws).mean()

    values, info, gradients = losses(vi.ForwardKL(draws), guide, params, 8, 3000)
    np.testing.assert_array_equal(info["cross_entropy"], values)
    truths = jit(jax.value_and_grad(likelihood))(params)
    for estimates, truth in zip(jax.tree.leaves((values, gradients)), jax.tree.leaves(truths), strict=True):
        error = np.std(estimates, axis=0) / np.sqrt(3000)
        assert np.all(np.abs(np.mean(estimates, axis=0) - truth) <= 5 * error + 1e-9)
        assert np.max(np.abs(truth)) > 0.01


def test_with_draws_the_fit_is_maximum_likelihood():
    draws = np.random.default_rng(1).multivariate_normal(MEAN, COVARIANCE, 400)
    fit = vi.fit(jax.random.key(0), TARGET, vi.gradient(vi.FullRankNormal(), vi.ForwardKL(draws=draws)))
    sample_covariance = np.cov(draws.T, bias=True)
    scale = np.sqrt(np.diag(sample_covariance))
    assert np.max(np.abs(fit.posterior.mean - draws.mean(0)) / scale) < 0.02
    np.testing.assert_allclose(fit.posterior.covariance_matrix, sample_covariance, rtol=0.04, atol=0.02)
    # and it is not the density: the draws' own moments differ from those of p by more than that
    assert np.max(np.abs(draws.mean(0) - MEAN) / scale) > 0.03
    assert "ess" not in fit.history
    assert "cross_entropy" in fit.history


@pytest.mark.parametrize("name", NORMALS)
def test_by_importance_weights_it_is_unbiased_as_draws_grow(name):
    """Self-normalisation biases by O(1 / num_draws): with many draws a step, value and gradient are exact."""
    guide = NORMALS[name]
    params = random_params(guide)
    values, _, gradients = losses(vi.ForwardKL(), guide, params, 8192, 60)
    truths = jit(jax.value_and_grad(lambda params: cross_entropy(guide, params)))(params)
    for estimates, truth in zip(jax.tree.leaves((values, gradients)), jax.tree.leaves(truths), strict=True):
        error = np.std(estimates, axis=0) / np.sqrt(60)
        assert np.all(np.abs(np.mean(estimates, axis=0) - truth) <= 5 * error + 2e-3)
        assert np.max(np.abs(truth)) > 0.05


@pytest.mark.parametrize("name", ["full rank", "mixture"])
def test_where_q_is_p_there_is_no_noise(name):
    guide = {"full rank": vi.FullRankNormal(), "mixture": vi.NormalMixture(2)}[name]
    params = random_params(guide)
    target = vi.from_log_density(lambda z: 7.0 + guide.distribution(params).log_prob(z), dim=2)
    _, info, gradients = losses(vi.ForwardKL(), guide, params, 64, 5, target)
    for leaf in jax.tree.leaves(gradients):
        assert np.abs(leaf).max() < 1e-9
    np.testing.assert_allclose(info["elbo"], 7.0, rtol=1e-9)
    np.testing.assert_array_equal(info["temper"], 1.0)
    assert np.all(info["ess"] > 0.5)  # r holds half of its draws on q


def test_a_narrow_guide_is_told_by_its_effective_sample_size():
    guide, dim = vi.MeanFieldNormal(), 10
    wide = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=dim)
    narrow = {"location": jnp.zeros(dim), "log_scale": jnp.full(dim, -4.0)}
    _, info, gradients = losses(vi.ForwardKL(), guide, narrow, 512, 5, wide)
    assert np.all(info["temper"] < 1)
    assert np.all(np.asarray(info["ess"]) * 512 < 32)
    assert np.all(gradients["log_scale"] < 0)  # the way to go is wider
    _, info, _ = losses(vi.ForwardKL(), guide, {**narrow, "log_scale": jnp.zeros(dim)}, 512, 5, wide)
    assert np.all(info["temper"] == 1)


def test_weights_keep_as_many_draws_as_promised_and_no_more():
    from vi_toolkit.sources._temper import keep_enough

    log_weights = jnp.asarray(np.random.default_rng(0).normal(scale=8.0, size=512))
    beta = float(keep_enough(log_weights))
    weights = np.exp(beta * np.asarray(log_weights))
    assert 0 < beta < 1
    np.testing.assert_allclose(weights.sum() ** 2 / (weights**2).sum(), 32.0, rtol=1e-3)
    assert float(keep_enough(0.01 * log_weights)) == 1.0
    assert 0 < float(keep_enough(8.0 * log_weights[:4])) < 1  # four draws keep two


def test_a_collapse_is_said_in_words():
    """Strong correlation in thirty dimensions, and a guide that has none: no draw of it looks like the target."""

    def correlated(z):
        return -0.5 * (200.0 * jnp.sum((z - z.mean()) ** 2) + jnp.sum(z**2))

    target = vi.from_log_density(correlated, dim=30)
    fit = vi.fit(jax.random.key(0), target, vi.gradient(vi.MeanFieldNormal(), vi.ForwardKL()), max_steps=300)
    assert np.mean(fit.history["temper"] < 1) > 0.2
    assert {"ess", "temper", "elbo", "cross_entropy", "loss"} <= set(fit.history)
    (words,) = [words for words in fit.warnings if words.startswith("forward KL")]
    assert "the target was flattened to keep 32 effective draws" in words
    assert "pass draws of p" in words
    easy = vi.fit(jax.random.key(0), TARGET, vi.gradient(vi.MeanFieldNormal(), vi.ForwardKL()), max_steps=300)
    assert not [words for words in easy.warnings if words.startswith("forward KL")]


@pytest.mark.parametrize("place", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
@pytest.mark.parametrize(
    ("draws", "words"),
    [
        (
            np.zeros(5),
            r"draws: expected draws of p of shape \(draws, dim\), at least two, got an array of shape \(5,\)",
        ),
        (np.zeros((1, 2)), r"draws: .* at least two, got an array of shape \(1, 2\)"),
        (np.zeros((2, 3, 4)), r"draws: .* got an array of shape \(2, 3, 4\)"),
        (np.array([[1.0, 2.0], [np.nan, 0.0]]), r"draws: 1 of 4 entries are NaN or infinite.*at index \(1, 0\)"),
        (np.zeros((4, 2), dtype=bool), r"draws: .* dtype bool"),
    ],
)
def test_draws_that_are_none_are_refused(draws, words, place):
    with pytest.raises(ValueError, match=words):
        vi.fit(jax.random.key(0), TARGET, vi.gradient(vi.MeanFieldNormal(), vi.ForwardKL(draws=place(draws))))


@pytest.mark.parametrize("draws", [{"mean": np.zeros(5)}, "draws", 3.0, np.array([["a", "b"]] * 3)], ids=str)
def test_draws_of_another_kind_are_refused(draws):
    with pytest.raises(ValueError, match="draws: expected draws of p of shape"):
        vi.fit(jax.random.key(0), TARGET, vi.gradient(vi.MeanFieldNormal(), vi.ForwardKL(draws=draws)))


def test_draws_of_another_dimension_are_refused_by_the_fit():
    method = vi.gradient(vi.MeanFieldNormal(), vi.ForwardKL(draws=np.zeros((9, 3))))
    with pytest.raises(ValueError, match=r"draws: expected shape \(draws, 2\) for this target, got \(9, 3\)"):
        vi.fit(jax.random.key(0), TARGET, method)


def test_a_discrete_guide_is_refused_by_all_but_its_own_draws():
    log_mass = jnp.log(jnp.array([0.2, 0.5, 0.3]))
    target = vi.from_log_mass(lambda x: log_mass[x[0]], (3,))
    guide = vi.MeanFieldCategorical((3,))
    with pytest.raises(ValueError, match=r"Importance does not go with MeanFieldCategorical.*WakeSleep\(\)"):
        vi.fit(jax.random.key(0), target, vi.gradient(guide, vi.ForwardKL()))
    fit = vi.fit(jax.random.key(0), target, vi.gradient(guide, vi.ForwardKL(vi.sources.WakeSleep())))
    points = jnp.arange(3.0)[:, None]
    np.testing.assert_allclose(jnp.exp(fit.posterior.log_prob(points)), [0.2, 0.5, 0.3], atol=0.01)
