"""The block-diagonal normal against SciPy, against the full-rank and mean-field normals, and at its optimum."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

import vi_toolkit as vi
from tests.compilations import count_compilations, jit
from tests.registry import log_prob, random_params

BLOCKS = ((0, 3), (1,), (2, 4, 5), (6, 7))
GUIDE = vi.BlockNormal(BLOCKS)


def written_out(params):
    """The scale factor of BLOCKS, entry by entry."""
    factor = np.diag(np.exp(params["log_diagonal"]))
    pairs, (triple,) = params["lower"]
    for block, lower in zip(((0, 3), (6, 7), (2, 4, 5)), (*pairs, triple), strict=True):
        for row in range(len(block)):
            for column in range(row):
                factor[block[row], block[column]] = lower[row, column]
    return factor


def test_it_is_the_normal_with_that_covariance():
    params = random_params(GUIDE, 8)
    q, factor = GUIDE.distribution(params), written_out(params)
    expected = stats.multivariate_normal(params["location"], factor @ factor.T)
    points = np.random.default_rng(1).normal(size=(5, 8))
    np.testing.assert_allclose(log_prob(GUIDE, params, points), expected.logpdf(points), rtol=1e-10)
    np.testing.assert_allclose(q.entropy(), expected.entropy(), rtol=1e-10)
    np.testing.assert_allclose(q.covariance_matrix, factor @ factor.T, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(q.variance, np.diag(factor @ factor.T), rtol=1e-10)
    np.testing.assert_array_equal(q.mean, params["location"])
    assert np.count_nonzero(q.covariance_matrix) == 4 + 1 + 9 + 4


@pytest.mark.parametrize("noise", [vi.estimators.independent, vi.estimators.quasi_random, None])
def test_draws_are_the_noise_scaled_and_shifted(noise):
    params, key = random_params(GUIDE, 8), jax.random.key(3)
    e = (noise or vi.estimators.antithetic)(key, 5, 8, jnp.float64)
    drawn = GUIDE.draw(key, params, 5, noise)
    np.testing.assert_allclose(drawn.points, params["location"] + e @ written_out(params).T, rtol=1e-9)
    np.testing.assert_allclose(drawn.weights, np.full(5, 0.2))


def test_samples_of_the_distribution_have_its_covariance():
    params = random_params(GUIDE, 8)
    q = GUIDE.distribution(params)
    draws = np.asarray(q.sample(jax.random.key(0), (20_000,))) - np.asarray(q.mean)
    products = draws[:, :, None] * draws[:, None, :]
    error = products.std(0) / np.sqrt(len(draws))
    assert np.all(np.abs(products.mean(0) - q.covariance_matrix) < 5 * error)


def test_one_block_is_the_full_rank_normal():
    full, block = vi.FullRankNormal(), vi.BlockNormal((3,))
    params, step = random_params(full, 3), random_params(full, 3, seed=4)
    as_block = lambda params: {**params, "lower": (params["lower"][None],)}  # noqa: E731
    points = np.random.default_rng(1).normal(size=(4, 3))
    np.testing.assert_allclose(log_prob(block, as_block(params), points), log_prob(full, params, points), rtol=1e-12)
    moved, expected = block.move(as_block(params), as_block(step)), as_block(full.move(params, step))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), moved, expected)


def test_blocks_of_one_coordinate_are_the_mean_field_normal():
    mean_field, block = vi.MeanFieldNormal(), vi.BlockNormal((1, 1, 1))
    params, step = random_params(mean_field, 3), random_params(mean_field, 3, seed=4)
    as_block = lambda params: {  # noqa: E731
        "location": params["location"], "log_diagonal": params["log_scale"], "lower": ()
    }  # fmt: skip
    points = np.random.default_rng(1).normal(size=(4, 3))
    np.testing.assert_allclose(
        log_prob(block, as_block(params), points), log_prob(mean_field, params, points), rtol=1e-12
    )
    moved, expected = block.move(as_block(params), as_block(step)), as_block(mean_field.move(params, step))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), moved, expected)


def test_a_step_composes_affine_maps_within_blocks():
    params, step = random_params(GUIDE, 8), random_params(GUIDE, 8, seed=5)
    moved = jit(GUIDE.move)(params, step)
    factor, change = written_out(params), written_out(step)
    np.testing.assert_allclose(written_out(moved), factor @ change, rtol=1e-12)
    np.testing.assert_allclose(moved["location"], params["location"] + factor @ step["location"], rtol=1e-12)


def test_the_optimum_has_the_conditional_covariances_of_the_blocks():
    rng = np.random.default_rng(0)
    factor, mean = np.tril(rng.normal(size=(4, 4)), -1) + np.diag([1.0, 0.5, 2.0, 1.5]), 30.0 * rng.normal(size=4)
    precision, guide = factor @ factor.T, vi.BlockNormal(((0, 2), (1, 3)))
    target = vi.from_log_density(
        jax.tree_util.Partial(lambda m, P, z: -0.5 * (z - m) @ P @ (z - m), mean, precision), dim=4
    )
    fit = vi.fit(jax.random.key(0), target, vi.gradient(guide, vi.ReverseKL()))
    assert fit.status is vi.Status.CONVERGED
    np.testing.assert_allclose((fit.posterior.mean - mean) / np.sqrt(fit.posterior.variance), 0.0, atol=0.02)
    covariance = np.asarray(fit.posterior.covariance_matrix)
    for block in guide.blocks:
        expected = np.linalg.inv(precision[np.ix_(block, block)])
        np.testing.assert_allclose(covariance[np.ix_(block, block)], expected, rtol=0.02, atol=0.01 * expected.max())


def schools():
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    with numpyro.plate("school", 3):
        level = numpyro.sample("level", dist.Normal(mean, scale))
        numpyro.sample("shares", dist.Dirichlet(jnp.ones(3)))
        with numpyro.plate("year", 2):
            numpyro.sample("effect", dist.Normal(level, 1.0))


def test_blocks_of_sites_and_plates():
    target = vi.from_numpyro(schools)
    assert [site.stop for site in target.sites] == [1, 2, 5, 11, 17]  # shares of three: two coordinates each
    assert vi.BlockNormal.by_site(target).blocks == (
        (0,), (1,), (2, 3, 4), tuple(range(5, 11)), tuple(range(11, 17))
    )  # fmt: skip
    within = ((2, 5, 6), (3, 7, 8), (4, 9, 10))
    assert vi.BlockNormal.by_plate(target).blocks == ((0, 1), *within, *((i,) for i in range(11, 17)))
    effects = ((11, 14), (12, 15), (13, 16))  # the plate of years is the outer axis
    together = tuple(a + b for a, b in zip(within, effects, strict=True))
    assert vi.BlockNormal.by_plate(target, "school").blocks == ((0, 1), *together)
    assert vi.BlockNormal.by_plate(target, "year").blocks == (tuple(range(11)), (11, 12, 13), (14, 15, 16))


def test_a_target_without_plates_is_told_apart():
    target = vi.from_log_density(lambda z: -0.5 * z @ z, dim=2)
    assert vi.BlockNormal.by_site(target).blocks == ((0, 1),)
    with pytest.raises(ValueError, match=r"plate: no site of this target stands in a plate; .*by_site"):
        vi.BlockNormal.by_plate(target)
    with pytest.raises(ValueError, match="plate: no site of this target stands in the plate 'class'"):
        vi.BlockNormal.by_plate(vi.from_numpyro(schools), "class")


def test_sizes_are_blocks_of_neighbours_and_equal_guides_are_one_program():
    assert vi.BlockNormal((2, 1)) == vi.BlockNormal([[0, 1], [2]])
    assert hash(vi.BlockNormal((2, 1))) == hash(vi.BlockNormal(((0, 1), (2,))))
    assert pickle.loads(pickle.dumps(GUIDE)) == GUIDE
    params, points = random_params(GUIDE, 8), np.zeros((1, 8))
    log_prob(GUIDE, params, points)
    compiled, _ = count_compilations(lambda: log_prob(vi.BlockNormal(BLOCKS), params, points))
    assert compiled == 0


@pytest.mark.parametrize(
    ("blocks", "error", "words"),
    [
        (3, TypeError, "blocks: expected sizes or groups of coordinates, got int 3"),
        ((), TypeError, "blocks: expected sizes or groups"),
        ("21", TypeError, "blocks: expected sizes or groups"),
        ((2, 0), ValueError, "blocks: expected at least 1"),
        ((2, 1.5), TypeError, "blocks: expected a whole number"),
        ((2, (2,)), TypeError, "got both"),
        (((0, 1), (1, 2)), ValueError, "hold each of the coordinates 0, 1, ... once"),
        (((0, 2),), ValueError, "hold each of the coordinates"),
        (((0, 1.5),), TypeError, "expected whole numbers"),
        (((0,), ()), ValueError, "hold each of the coordinates"),
    ],
)
def test_what_makes_no_blocks(without_type_checks, blocks, error, words):
    with pytest.raises(error, match=words):
        vi.BlockNormal(blocks)


def test_blocks_of_another_dimension_are_refused():
    target = vi.from_log_density(lambda z: -0.5 * z @ z, dim=2)
    with pytest.raises(ValueError, match=r"blocks: they hold 3 coordinates, and the target has 2"):
        vi.fit(jax.random.key(0), target, vi.gradient(vi.BlockNormal((2, 1)), vi.ReverseKL()))
