import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax.tree_util import Partial

import vi_toolkit as vi
from vi_toolkit.diagnostics.scores._scores import draw_and_score
from vi_toolkit.diagnostics.shape._curvatures import Curvatures, curvatures
from vi_toolkit.diagnostics.shape._shape_curvature import bends_explained, correlations, flattest, scales_explained
from vi_toolkit.diagnostics.shape._shape_draws import falls, weighted_correlations
from vi_toolkit.diagnostics.shape.shape import Shape, find_shape

SEEDS = 20


def shape_of(fit, seed=1, num_draws=2000):
    scores = draw_and_score(jax.random.key(seed), fit, num_draws)
    return find_shape(jax.random.key(seed + 1000), fit, scores.draws, scores.log_weights)


def fitted(target, method=None, seed=0):
    return vi.fit(jax.random.key(seed), target, method)


def kinds(shape):
    return [record.kind for record in shape.records]


def test_neals_funnel():
    """Curvature exp(-v) along each z_i: its log is explained by v alone, and nothing is bent."""
    shape = shape_of(fitted(vi.zoo.funnel(6).target))
    record = shape.records[0]
    assert record.kind == "funnel"
    assert record.sites == ("z[1], z[2] and 3 more", "z[0]")
    assert "bent" not in kinds(shape)
    assert "z[0]" in record.advice


def test_centred_eight_schools_names_theta_by_tau():
    shape = shape_of(fitted(vi.exact.eight_schools(centred=True).target))
    record = shape.records[0]
    assert record.kind == "funnel"
    assert "theta" in record.sites
    assert record.sites[-1] == "tau"
    assert "Write theta non-centred: theta = location + tau * theta_raw" in record.advice
    assert "LocScaleReparam(0) on 'theta'" in record.advice


def test_the_non_centred_schools_are_no_funnel():
    assert "funnel" not in kinds(shape_of(fitted(vi.exact.eight_schools().target)))


def test_banana():
    """z_1 lies at c (z_0^2 - s^2) given z_0: its bend is about c sd^2(z_0) sqrt(2), in conditional sds."""
    fit = fitted(vi.zoo.banana().target)
    (record,) = shape_of(fit).records
    assert record.kind == "bent"
    assert record.sites == ("z[1] by z[0]",)
    assert record.size == pytest.approx(0.5 * float(fit.posterior.variance[0]) * np.sqrt(2), rel=0.4)


def quadratic(precision, z):
    return -0.5 * z @ precision @ z


def test_correlations_that_a_mean_field_guide_has_not():
    covariance = np.array([[1.0, 0.0, 0.7], [0.0, 4.0, 0.0], [0.7, 0.0, 1.0]])
    target = vi.from_log_density(Partial(quadratic, jnp.asarray(np.linalg.inv(covariance))), dim=3)
    (record,) = shape_of(fitted(target, vi.natural_gradient(vi.MeanFieldNormal()))).records
    assert record.kind == "correlation"
    assert record.sites == ("z[0] and z[2]",)
    assert record.size == pytest.approx(0.7, abs=0.05)
    assert "vi.FullRankNormal()" in record.advice


def heavy(z):
    return -2.5 * jnp.log1p(z[0] ** 2 / 4) - 0.5 * z[1] ** 2


def test_tails():
    """A Student-t with 4 degrees of freedom beside a normal coordinate; D(4) / D(2) is known in closed form."""
    fit = fitted(vi.from_log_density(heavy, dim=2))
    (record,) = shape_of(fit, num_draws=4000).records
    assert (record.kind, record.sites) == ("tails", ("z[0]",))
    sd = float(jnp.sqrt(fit.posterior.variance[0]))
    wanted = np.log2(np.log1p((4 * sd) ** 2 / 4) / np.log1p((2 * sd) ** 2 / 4))
    assert record.size == pytest.approx(wanted, rel=0.1)
    assert "vi.StudentT()" in record.advice
    rays = falls(fit, np.zeros(2), np.diag(np.asarray(fit.posterior.variance)))
    np.testing.assert_allclose(rays.of_p, [[wanted, wanted], [2.0, 2.0]], rtol=0.05)
    np.testing.assert_allclose(rays.of_q, 2.0, rtol=0.05)


def test_lighter_tails():
    target = vi.from_log_density(Partial(quadratic, jnp.eye(2)), dim=2)
    shape = shape_of(fitted(target, vi.gradient(vi.StudentT(2.0), vi.ReverseKL())))
    assert [(record.kind, record.sites) for record in shape.records] == [("tails", ("z",))]
    assert "lighter" in shape.findings[0]


def wall(z):
    return jnp.where(z[0] > 0.0, -0.5 * jnp.sum((z - 0.5) ** 2), -jnp.inf)


def test_draws_where_p_is_zero():
    """q = N(0.5, 1) has 31 % of its draws below zero."""
    fit = fitted(vi.from_log_density(wall, dim=3), vi.laplace())
    record = next(record for record in shape_of(fit).records if record.kind == "boundary")
    assert record.sites == ("z[0]",)
    assert record.size == pytest.approx(0.3085, abs=5 * np.sqrt(0.31 * 0.69 / 2000))


def ridge(z):
    return -0.5 * ((z[0] + z[1]) / 0.1) ** 2 - 0.5 * z[2] ** 2 - 0.5 * (z[0] / 1e4) ** 2


def test_a_flat_direction():
    """q has sd 0.1 in z_0 - z_1, in which p has no end before 1e4."""
    fit = fitted(vi.from_log_density(ridge, dim=3), vi.natural_gradient(vi.MeanFieldNormal()))
    record = next(record for record in shape_of(fit).records if record.kind == "flat")
    assert record.sites == ("z[0]", "z[1]")
    assert record.size < 1e-3
    assert "proper prior" in record.advice


def endless(z):
    return -0.5 * ((z[0] + z[1] - 1.0) / 0.1) ** 2


def test_a_direction_without_end():
    """The data know z_0 + z_1 alone: q grows without end along z_0 - z_1."""
    fit = vi.fit(jax.random.key(0), vi.from_log_density(endless, dim=2), max_steps=100)
    (record,) = [record for record in shape_of(fit).records if record.kind == "flat"]  # a q of sd 1e18 has tails, too
    assert record.sites == ("z",)
    assert "without end" in record.words


def logistic(X, y=None):
    slopes = numpyro.sample("slopes", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
    numpyro.sample("y", dist.Bernoulli(logits=X @ slopes), obs=y)


def logistic_target(seed):
    rng = np.random.default_rng(seed)
    X, slopes = rng.normal(size=(100, 3)), rng.normal(size=3)
    return vi.from_numpyro(logistic, X, y=(rng.random(100) < 1 / (1 + np.exp(-X @ slopes))).astype(float))


def normal_target(seed):
    root = np.random.default_rng(seed).normal(size=(4, 4))
    return vi.from_log_density(Partial(quadratic, jnp.asarray(np.linalg.inv(root @ root.T + 0.1 * np.eye(4)))), dim=4)


@pytest.mark.parametrize("target", [logistic_target, normal_target])
def test_nothing_is_found_where_there_is_nothing(target):
    """20 data sets, or 20 covariances: not one finding."""
    found = [shape_of(fitted(target(seed), seed=seed), seed) for seed in range(SEEDS)]
    assert [shape.findings for shape in found] == [()] * SEEDS
    assert found[0].num_gradients > 64
    assert str(found[0]).startswith("Nothing peculiar")


@pytest.mark.any_precision
def test_a_normal_in_either_precision():
    shape = shape_of(fitted(normal_target(0)))
    assert shape.findings == ()


def test_a_second_look_compiles_nothing():
    from tests.compilations import count_compilations

    fit = fitted(normal_target(0))
    first = shape_of(fit)
    again, shape = count_compilations(lambda: shape_of(fit))
    assert again == 0
    assert shape == first


def made_up(hessians, points, gradients=None):
    columns = np.arange(points.shape[1])
    return Curvatures(columns, points, points if gradients is None else gradients, hessians, 0.0)


def test_pieces_against_closed_forms():
    """A scale exp(3 z_1) and a parabola, as they would be seen; noise is not taken for either."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(64, 3))
    diagonal = np.stack([np.exp(-3 * points[:, 1]), np.ones(64), np.exp(rng.normal(size=64))], axis=1)
    hessians = -np.einsum("ni,ij->nij", diagonal, np.eye(3))
    scales, signs = scales_explained(made_up(hessians, points))
    sd = np.subtract(*np.quantile(points[:, 1], [0.75, 0.25])) / 1.349
    np.testing.assert_allclose(scales.size, [[0, (3 * sd) ** 2, 0], [0, 0, 0], [0, 0, 0]], rtol=1e-6)
    assert signs[0, 1] == -1
    tops = np.stack([np.zeros(64), 2 * points[:, 2] - 0.5 * points[:, 2] ** 2, rng.normal(size=64)], axis=1)
    gradients = tops - points  # of a log density of unit curvature with these tops
    bends = bends_explained(made_up(-np.broadcast_to(np.eye(3), (64, 3, 3)), points, gradients))
    e = (points[:, 2] - points[:, 2].mean()) / points[:, 2].std()
    np.testing.assert_allclose(bends.size[1, 2], 0.5 * points[:, 2].var() * np.std(e**2), rtol=1e-6)
    assert np.count_nonzero(bends.size) == 1


def test_correlation_and_width_of_a_known_hessian():
    precision = np.array([[2.0, -0.9], [-0.9, 1.0]])
    found = made_up(-np.broadcast_to(precision, (20, 2, 2)), np.zeros((20, 2)))
    correlation, se = correlations(found)
    covariance = np.linalg.inv(precision)
    assert correlation[0, 1] == pytest.approx(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))
    assert se.max() == pytest.approx(0.0, abs=1e-12)
    least, direction = flattest(found, np.eye(2))
    assert least == pytest.approx(np.linalg.eigvalsh(precision)[0])
    np.testing.assert_allclose(precision @ direction, least * direction)
    assert correlations(made_up(np.broadcast_to(precision, (20, 2, 2)), np.zeros((20, 2)))) is None


def test_weighted_correlations_against_numpy():
    draws = np.random.default_rng(0).normal(size=(500, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    counts = np.random.default_rng(1).integers(1, 4, size=500)
    correlation, se = weighted_correlations(draws, np.log(counts))
    np.testing.assert_allclose(correlation, np.corrcoef(np.repeat(draws, counts, axis=0).T))
    ess = counts.sum() ** 2 / (counts**2).sum()
    assert se[0, 1] == pytest.approx((1 - correlation[0, 1] ** 2) / np.sqrt(ess))


def test_hessians_in_units_of_q(key):
    """Against autodiff, at the draws themselves."""
    target = logistic_target(0)
    draws = np.random.default_rng(0).normal(size=(100, 3)) * np.array([1.0, 2.0, 0.5])
    found = curvatures(key, target, draws, np.zeros(100))
    scale = draws.std(axis=0)
    z = jnp.asarray(found.points[0] * scale + draws.mean(axis=0))
    np.testing.assert_allclose(found.hessians[0], jax.hessian(target.log_density)(z) * scale * scale[:, None])
    np.testing.assert_allclose(found.gradients[0], jax.grad(target.log_density)(z) * scale)


def test_bad_input(key):
    fit = fitted(normal_target(0))
    with pytest.raises(ValueError, match=r"draws: expected shape \(draws, 4\)"):
        find_shape(key, fit, np.zeros((10, 3)), np.zeros(10))
    with pytest.raises(ValueError, match=r"log_weights: expected shape \(10,\)"):
        find_shape(key, fit, np.zeros((10, 4)), np.zeros(9))
    nowhere = find_shape(key, fit, np.zeros((30, 4)), np.full(30, -np.inf))
    assert kinds(nowhere) == ["boundary"]
    assert isinstance(nowhere, Shape)
