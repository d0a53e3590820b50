import jax
import numpy as np
import pytest
from jax.tree_util import Partial

import vi_toolkit as vi
from vi_toolkit.diagnostics.repair import _smc
from vi_toolkit.diagnostics.repair._nuts import run_chains
from vi_toolkit.diagnostics.repair.refine import _by_lineage, _starts, refine_by_nuts, refine_by_smc

EXACT = vi.zoo.banana(curvature=0.3)  # q is too narrow in both coordinates


@pytest.fixture(scope="module")
def fit():
    return vi.fit(jax.random.key(0), EXACT.target)


@pytest.fixture(scope="module")
def by_nuts(fit):
    return refine_by_nuts(jax.random.key(1), fit, num_draws=2000)


@pytest.fixture(scope="module")
def by_smc(fit):
    return refine_by_smc(jax.random.key(1), fit)


def within(found, exact, num_errors=5.0):
    """Means and sds within five of their own errors, which are small against the sds."""
    assert (np.abs(found.mean - exact.mean) < num_errors * found.mean_se).all()
    assert (np.abs(found.sd - exact.sd) < num_errors * found.sd_se).all()
    assert (found.mean_se < 0.2 * exact.sd).all()


def test_nuts_against_the_exact_moments(fit, by_nuts):
    assert (np.sqrt(fit.posterior.variance) < 0.8 * EXACT.sd).all()
    within(by_nuts, EXACT)
    assert by_nuts.draws.shape == (2000, 2)
    assert by_nuts.sites["z"].shape == (2000, 2)
    assert (by_nuts.rhat < 1.05).all()
    assert by_nuts.sentence.startswith("The chains agree: R-hat is at most 1.0")
    assert by_nuts.log_evidence is None


def test_smc_against_the_exact_moments_and_evidence(by_smc):
    within(by_smc, EXACT)
    found = by_smc.log_evidence
    assert abs(found.value - EXACT.log_evidence) < 5 * found.se
    assert 0.01 < found.se < 0.1
    assert by_smc.draws.shape == (1000, 2)
    assert by_smc.rhat is None
    assert "stages, and descend from" in by_smc.sentence


def test_the_error_of_the_evidence_is_its_spread(fit):
    """Over 20 runs: the stated errors against the sd of the estimates, whose own relative error is 1 / sqrt(38)."""
    found = [refine_by_smc(jax.random.key(10 + seed), fit, num_particles=500).log_evidence for seed in range(20)]
    values = np.array([one.value for one in found])
    assert 0.5 < values.std(ddof=1) / np.mean([one.se for one in found]) < 1.6
    assert abs(values.mean()) < 5 * values.std(ddof=1) / np.sqrt(20)


def test_the_cost_is_counted(fit, by_nuts, by_smc):
    """NUTS: the leapfrog steps that were taken; SMC: moves of a gradient a leapfrog step and one to begin with."""
    look = 64 * (1 + 2 * 2)
    assert by_nuts.num_gradients > 2000 + 4 * 200 + 2000 / 3 + look
    assert by_nuts.num_gradients % 1 == pytest.approx(2000 / 3 % 1)
    stages = int(by_smc.sentence.split(" in ")[1].split()[0])
    moves = _smc.MOVES * stages + _smc.LAST_MOVES
    assert by_smc.num_gradients == pytest.approx(1000 * (6 * moves + (stages + 1) / 3) + look)
    assert f"{by_smc.num_gradients:,.0f} gradients" in by_smc.sentence
    assert 0 < by_smc.seconds < 600


def normal_log_density(mean, z):
    return -0.5 * ((z - mean) ** 2).sum()


def test_particles_without_weights_have_no_error(key):
    """With p the density that the particles begin from, log Z is known without noise."""
    import jax.numpy as jnp
    import numpyro.distributions as dist

    draws = EXACT.sample(key, 4)
    r = dist.MultivariateStudentT(_smc.FREEDOM, jnp.zeros(2), jnp.eye(2), validate_args=False)
    zero = jnp.zeros(())
    walk = _smc.Walk(draws, jnp.arange(4), zero, zero, jnp.asarray(0), zero)
    raised = _smc._raised(key, walk, r.log_prob(draws) + 1.5, r.log_prob(draws))
    assert float(raised.log_evidence) == pytest.approx(1.5)
    assert float(raised.beta) == 1.0
    assert sorted(raised.lineages.tolist()) == [0, 1, 2, 3]


def test_errors_of_lineages():
    """Pairs of copies count once: the error is sqrt(2) that of independent particles; one lineage is not no error."""
    values = np.random.default_rng(0).normal(size=(500, 3))
    values -= values.mean(axis=0)
    independent = np.sqrt((values**2).mean(axis=0) / 500)
    twice, pairs = np.repeat(values, 2, axis=0), np.repeat(np.arange(500), 2)
    np.testing.assert_allclose(_by_lineage(values, np.arange(500)), independent)
    np.testing.assert_allclose(_by_lineage(twice, pairs), independent)
    np.testing.assert_allclose(_by_lineage(twice, np.arange(1000)), independent / np.sqrt(2))
    np.testing.assert_allclose(_by_lineage(values, np.zeros(500, int)), independent)


def test_errors_of_independent_particles(fit, monkeypatch):
    """Those of draws of a normal: sd / sqrt(n) of the mean, sd / sqrt(2 n) of the sd, none of the evidence."""
    size, sds = 10_000, np.array([1.0, 3.0])
    draws = sds * np.random.default_rng(0).standard_normal((size, 2))
    walk = _smc.Walk(draws, np.arange(size), 1.0, -2.0, 3, 0.0)
    monkeypatch.setattr(_smc, "run_particles", lambda *arguments: walk)
    found = refine_by_smc(jax.random.key(0), fit, num_particles=size)
    np.testing.assert_allclose(found.mean_se, sds / np.sqrt(size), rtol=0.04)
    np.testing.assert_allclose(found.sd_se, sds / np.sqrt(2 * size), rtol=0.06)
    np.testing.assert_allclose(found.ess, size)
    assert found.log_evidence == (-2.0, 0.0)


def test_chains_begin_where_the_weights_are(fit):
    """With q's own density in p, p = q exp(a . z): the weights move the mean by the covariance times a."""
    import dataclasses

    import jax.numpy as jnp

    mean, covariance = np.asarray(fit.posterior.mean), np.asarray(fit.posterior.covariance_matrix)
    a = np.linalg.solve(np.linalg.cholesky(covariance).T, [1.0, 0.0])  # one sd along the first axis of its root
    tilted = vi.from_log_density(lambda z: fit.posterior.log_prob(z) + jnp.asarray(a) @ z, dim=2)
    starts, found = _starts(*jax.random.split(jax.random.key(0)), dataclasses.replace(fit, target=tilted), 100)
    np.testing.assert_allclose(found, covariance, atol=0.1 * np.trace(covariance))
    moved = np.linalg.solve(np.linalg.cholesky(covariance), (np.asarray(starts) - mean).T).mean(axis=1)
    np.testing.assert_allclose(moved, [1.0, 0.0], atol=0.4)  # four standard errors of 100 starts


def test_a_funnel_is_told_of():
    """Samplers miss its neck without any sign of it in R-hat; the curvature knows."""
    fit = vi.fit(jax.random.key(0), vi.zoo.funnel(4).target)
    found = refine_by_smc(jax.random.key(1), fit, num_particles=200)
    assert "Like a funnel" in found.sentence
    assert "miss its neck" in found.sentence


def test_chains_compile_once(fit):
    from tests.compilations import count_compilations

    target, other = (vi.from_log_density(Partial(normal_log_density, np.full(2, mean)), dim=2) for mean in (0.0, 3.0))
    starts, covariance = np.zeros((2, 2)), np.eye(2)
    run_chains(jax.random.key(0), target, starts, covariance, 50, 200)
    again, chains = count_compilations(lambda: run_chains(jax.random.key(1), other, starts, covariance, 50, 200))
    assert again == 0
    assert abs(float(chains.draws.mean()) - 3.0) < 0.3


def test_bad_input(key, fit):
    with pytest.raises(ValueError, match="num_chains: expected at least 2"):
        refine_by_nuts(key, fit, num_chains=1)
    with pytest.raises(ValueError, match="num_particles: expected at least 50"):
        refine_by_smc(key, fit, num_particles=10)
    with pytest.raises(TypeError, match="fit"):
        refine_by_smc(key, fit.posterior)
