"""What is looked at after a fit: slow tails, draws without a density, a runaway likelihood, and an ELBO that fell."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax.tree_util import Partial

import vi_toolkit as vi
from vi_toolkit.preflight import below_its_best, look_back
from vi_toolkit.preflight._rays import improper_rays, improper_words

DRAWS = np.random.default_rng(0).normal(size=(64, 1))


def power_tail(power, z):
    return -0.5 * power * jnp.log1p(z[0] ** 2)


@pytest.mark.any_precision
@pytest.mark.parametrize(("power", "improper"), [(0.0, True), (0.5, True), (1.0, True), (1.5, False), (2.0, False)])
def test_the_slowest_tail_that_can_be_integrated(power, improper):
    """1 / |z|^power has a finite integral where power is above one: a Cauchy has two."""
    target = vi.from_log_density(Partial(power_tail, jnp.array(power)), dim=1)
    rays = improper_rays(target, DRAWS)
    assert (len(rays) > 0) == improper
    assert ("along z[0] (" in "".join(improper_words(target, rays))) == improper


def test_a_fit_that_collapsed_does_not_make_a_normal_improper():
    target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
    assert len(improper_rays(target, 3.0 + 1e-12 * DRAWS)) == 0
    assert len(improper_rays(target, 1e200 * DRAWS)) == 0  # too far out to tell


def test_one_side_alone_is_enough():
    """log(1 + exp(-z)): one success under a flat prior."""
    target = vi.from_log_density(lambda z: -jnp.log1p(jnp.exp(-z[0])) - 0.5 * z[1] ** 2, dim=2)
    (words,) = improper_words(target, improper_rays(target, np.random.default_rng(0).normal(size=(64, 2))))
    assert "along z[0] (" in words
    assert "z[1]" not in words


def test_floats_that_run_out_are_not_taken_for_a_tail():
    """NumPyro keeps a share from zero, so that its log density is the same at 1e8 and at 1e20, after a long fall."""
    model = lambda: numpyro.sample("share", dist.Dirichlet(jnp.array([3.0, 2.0, 4.0])))  # noqa: E731
    draws = np.random.default_rng(0).normal(size=(64, 2))
    assert len(improper_rays(vi.from_numpyro(model), draws)) == 0


def noisy(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
    numpyro.sample("y", dist.Normal(mean, numpyro.sample("sigma", dist.HalfNormal(5.0))), obs=y)


@pytest.mark.parametrize(("log_sigma", "runaway"), [(0.0, False), (-10.0, False), (-20.0, True)])
def test_a_likelihood_has_run_away_where_data_are_told_to_a_millionth(log_sigma, runaway):
    target = vi.from_numpyro(noisy, np.full(5, 2.0))
    method = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())
    params = {"location": jnp.array([2.0, log_sigma]), "log_scale": jnp.array([log_sigma, -3.0])}
    said = look_back(target, method, params)
    assert (len(said) == 1 and "(all 5 of its values are 2): by its mean, sigma" in said[0]) == runaway
    assert bool(said) == runaway


def history(elbo, loss=None):
    elbo = np.asarray(elbo, float)
    return {"elbo": elbo, "loss": -elbo if loss is None else loss}


def test_an_elbo_that_fell_is_told_from_noise_and_from_other_objectives():
    noise = np.random.default_rng(0).normal(size=400)
    rises = np.linspace(-50.0, 0.0, 400)
    assert below_its_best(history(rises + noise)) == []
    assert below_its_best(history(rises[:3])) == []
    assert below_its_best(history([])) == []
    (words,) = below_its_best(history(-rises - 100.0))
    assert "ended 43.9 nats below the best ELBO of its course (step 1 of 400)" in words
    assert below_its_best(history(-rises - 100.0 + 6 * noise)) == []
    assert below_its_best(history(-rises - 100.0, loss=rises)) == []
    assert below_its_best({"loss": np.zeros(5)}) == []
