"""The search beyond q's draws: its proposals, its weights, the masses that it finds, and no false alarms."""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_t

import vi_toolkit as vi
from vi_toolkit.diagnostics.scores._scores import draw_and_score
from vi_toolkit.diagnostics.search import _proposals as proposals
from vi_toolkit.diagnostics.search._search import Search
from vi_toolkit.diagnostics.search.basins import Basins, find_basins

MIXED = {"locations": np.array([[-4.0, 0.0], [4.0, 0.0]]), "weights": np.array([0.9, 0.1])}


@cache
def two():
    """0.9 and 0.1 of unit normals eight standard deviations apart."""
    return vi.zoo.two_modes(separation=8.0, weights=(0.9, 0.1), dim=2)


@cache
def some_fit() -> vi.Fit:
    return vi.fit(jax.random.key(0), two().target, vi.gradient(vi.NormalMixture(2), vi.ReverseKL()), max_steps=1)


def mixture(weights) -> vi.Fit:
    """q with the modes of p, and weights of its own; a mode without weight is as good as missed."""
    components = {
        "location": jnp.asarray(MIXED["locations"]),
        "log_diagonal": jnp.zeros((2, 2)),
        "lower": jnp.zeros((2, 2, 2)),
    }
    params = {"log_weights": jnp.log(jnp.asarray(weights)), "components": components}
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float)), params)
    return dataclasses.replace(some_fit(), params=params, status=vi.Status.CONVERGED, warnings=())


def basins(fit: vi.Fit, seed: int = 0) -> Basins:
    found = find_basins(jax.random.key(seed), fit, draw_and_score(jax.random.key(seed + 1), fit, 4000))
    assert found is not None
    return found


def test_the_parameters_are_what_they_seem():
    q = mixture([0.9, 0.1]).posterior
    np.testing.assert_allclose(q.mean, two().mean, atol=1e-6)
    np.testing.assert_allclose(q.variance, np.diag(two().covariance), rtol=1e-6)


@pytest.mark.any_precision
@pytest.mark.parametrize("seed", range(3))
def test_a_mode_that_q_never_visits(seed):
    found = basins(mixture([1 - 1e-12, 1e-12]), seed)
    assert found.missed == (1,)
    assert found.conclusive
    assert (np.abs(found.mass.values - MIXED["weights"]) < 5 * found.mass.ses).all()
    assert (found.mass.ses < 0.01).all()
    np.testing.assert_allclose(found.mass_q.values, [1.0, 0.0], atol=1e-3)
    np.testing.assert_allclose(found.modes, MIXED["locations"], atol=0.02)
    np.testing.assert_array_equal(found.sites[1]["z"], found.modes[1].astype(found.sites[1]["z"].dtype))
    assert "about z = [4, " in found.words(1)


def test_no_false_alarm_where_q_is_p():
    for seed in range(10):
        found = basins(mixture([0.9, 0.1]), seed)
        assert found.missed == ()
        assert found.khat < 0.5
        assert (np.abs(found.mass.values - MIXED["weights"]) < 5 * found.mass.ses).all()
        assert (np.abs(found.mass_q.values - MIXED["weights"]) < 5 * found.mass_q.ses).all()


def test_modes_of_the_wrong_mass_are_usable_after_reweighting(key):
    report = vi.diagnose(key, mixture([0.6, 0.4]), explain=False)
    assert report.basins.missed == ()
    assert report.verdicts["modes"].name == "USABLE_AFTER_REWEIGHTING"
    assert "2 modes were found" in report.reasons["modes"]


def test_the_masses_divide_any_draws():
    found = basins(mixture([0.9, 0.1]))
    shares = found.shares(np.array([[-4.5, 1.0], [3.0, -1.0], [5.0, 2.0]]))
    np.testing.assert_array_equal(shares, [[True, False], [False, True], [False, True]])


def test_the_location_is_told_by_site(key):
    """A bimodal scale: the same posterior of log scale, in a model of its own."""

    def model():
        scale = numpyro.sample("scale", dist.ImproperUniform(dist.constraints.positive, (), ()))
        numpyro.factor("density", jnp.logaddexp(-0.5 * (jnp.log(scale) + 3) ** 2, -0.5 * (jnp.log(scale) - 5) ** 2))
        numpyro.factor("jacobian", -jnp.log(scale))

    fit = vi.fit(jax.random.key(0), vi.from_numpyro(model))
    found = basins(fit)
    missed = found.missed[0]
    expected = np.exp(5.0 if fit.posterior.mean[0] < 0 else -3.0)
    np.testing.assert_allclose(found.sites[missed]["scale"], expected, rtol=0.01)
    assert abs(found.mass.values[missed] - 0.5) < 5 * found.mass.ses[missed]
    assert f"scale = {expected:.3g}"[:10] in found.words(missed)


def test_many_dimensions_are_not_searched():
    target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=301)
    fit = vi.fit(jax.random.key(0), target, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL()), max_steps=1)
    assert find_basins(jax.random.key(0), fit, draw_and_score(jax.random.key(1), fit, 100)) is None


FACTOR = np.array([[2.0, 0.0], [-1.0, 0.5]])
T = proposals.Proposal(np.array([1.0, -2.0]), FACTOR)


def test_the_density_of_a_proposal():
    draws = np.random.default_rng(0).normal(size=(20, 2)) * 3
    expected = multivariate_t(T.center, FACTOR @ FACTOR.T, df=proposals.DEGREES).logpdf(draws)
    np.testing.assert_allclose(proposals.log_prob(T, draws), expected, rtol=1e-10)


def test_a_proposal_about_a_top_has_the_inverse_of_its_curvature():
    """In any units, and whatever the scale that bounds it, as long as it is within the bounds."""
    sds = np.array([1e-3, 50.0, 2.0])
    covariance = sds[:, None] * np.array([[1.0, 0.8, 0.0], [0.8, 1.0, -0.3], [0.0, -0.3, 1.0]]) * sds
    top = proposals.about_top(np.ones(3), np.linalg.inv(covariance), 0.5 * sds)
    np.testing.assert_allclose(
        top.factor @ top.factor.T / sds[:, None] / sds, covariance / sds[:, None] / sds, atol=1e-9
    )
    flat = proposals.about_top(np.zeros(2), np.diag([0.0, 4.0]), np.array([2.0, 0.5]))
    widest = (2.0 * proposals.WIDEST) ** 2
    np.testing.assert_allclose(flat.factor @ flat.factor.T, np.diag([widest, 0.25]), rtol=1e-9)


def test_the_draws_of_a_proposal():
    """By Cramer and von Mises: F(u) = |x|^2 / dim is F-distributed, and the directions have the covariance's shape."""
    draws = proposals.draw_from(np.random.default_rng(0), T, 100_000)
    x = np.linalg.solve(FACTOR, (draws - T.center).T)
    inside = ((x**2).sum(axis=0) < 2 * 0.798767).mean()  # the median of F(2, 5)
    assert abs(inside - 0.5) < 5 * 0.5 / np.sqrt(100_000)
    assert abs(np.mean(np.sign(x[0] * x[1]))) < 5 / np.sqrt(100_000)
    np.testing.assert_allclose(np.median(draws, axis=0), T.center, atol=0.05)


def test_a_top_that_is_flat_or_no_top_is_nowhere_too_wide():
    scale = np.array([1.0, 100.0])
    top = proposals.about_top(np.zeros(2), np.diag([4.0, -1.0]), scale)
    np.testing.assert_allclose(np.diag(top.factor), [0.5, 10 * 100.0])


def test_the_search_knows_the_evidence():
    """The mean of p~ / r is Z, whatever the proposals are."""
    fit = mixture([1 - 1e-12, 1e-12])
    search = Search(draw_and_score(jax.random.key(3), fit, 4000), 4000)
    rng = np.random.default_rng(0)
    there = proposals.Proposal(np.array([4.0, 0.0]), np.eye(2))
    search = search.look(rng, fit, [there], 2000).look(rng, fit, [T], 500)
    assert (search.nums, len(search.scores.draws)) == ((2000, 500), 6500)
    log_r = proposals.log_mixture(search.scores.log_q, 4000, search.proposals, search.nums, search.scores.draws)
    ratios = np.exp(search.scores.log_p - log_r)
    assert abs(ratios.mean() - np.exp(two().log_evidence)) < 5 * ratios.std() / np.sqrt(6500) < 0.1
    smoothed = search.weigh()
    assert logsumexp(smoothed.log_weights) == pytest.approx(0.0, abs=1e-9)
    mean = np.exp(smoothed.log_weights) @ search.scores.draws
    np.testing.assert_allclose(mean, two().mean, atol=0.15)


def thin_tails(z):
    """0.999 N(0, 1) + 0.001 N(0, 100^2): an sd of 3.3, of which a normal at the middle knows nothing."""
    return jnp.logaddexp(
        jnp.log(0.999) + dist.Normal(0.0, 1.0).log_prob(z).sum(),
        jnp.log(0.001) + dist.Normal(0.0, 100.0).log_prob(z).sum(),
    )


def needle(z):
    """Half at the middle, and half in a mode of a tenth of the width, twenty standard deviations off."""
    return jnp.logaddexp(dist.Normal(0.0, 1.0).log_prob(z).sum(), dist.Normal(20.0, 0.1).log_prob(z).sum())


@pytest.mark.parametrize("log_density", [thin_tails, needle])
def test_what_is_thin_and_far_or_narrow_and_far_is_found(key, log_density):
    fit = vi.fit(jax.random.key(0), vi.from_log_density(log_density, dim=1))
    assert abs(fit.posterior.variance[0] - 1) < 0.1
    assert vi.diagnose(key, fit, explain=False).verdict.name == "NOT_TRUSTED"


@jax.custom_vjp
def own_gradient(z):
    return -0.5 * jnp.sum(z**2)


own_gradient.defvjp(lambda z: (own_gradient(z), z), lambda z, g: (-g * z,))


def test_a_density_that_is_differentiated_backwards_only(key):
    report = vi.diagnose(key, vi.fit(jax.random.key(0), vi.from_log_density(own_gradient, dim=2)))
    assert report.verdict.name == "GOOD"
    assert report.shape.findings == ()


def test_a_q_that_is_a_point_cannot_be_told(key):
    params = {"location": jnp.zeros(2), "log_diagonal": jnp.full(2, -400.0), "lower": jnp.zeros((2, 2))}
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float)), params)
    method = vi.gradient(vi.FullRankNormal(), vi.ReverseKL())
    fit = dataclasses.replace(vi.fit(jax.random.key(0), two().target, method, max_steps=1), params=params)
    report = vi.diagnose(key, fit, explain=False)
    assert report.basins is None
    assert report.verdict.name in ("CANNOT_TELL", "NOT_TRUSTED")
    assert "nan" not in report.sentence
