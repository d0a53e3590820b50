"""Rows B1 of what goes wrong in variational inference: densities, data and learning rates that are not finite."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.distributions import constraints
from scipy import stats

import vi_toolkit as vi
from tests.typecheck import as_users_call_it
from vi_toolkit.preflight import look_back

Y = np.random.default_rng(0).normal(2.0, 1.0, 50)
KEY = jax.random.key(0)
PLAIN = vi.ReverseKL()


def mean_model(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
    numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


def no_density(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
    numpyro.sample("y", dist.Normal(jnp.log(-jnp.exp(mean)), 1.0), obs=y)


def forbidden(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
    numpyro.factor("wall", jnp.where(mean > -1e6, -jnp.inf, 0.0))
    numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


def slope_model(x, y):
    slope = numpyro.sample("slope", dist.Normal(0.0, 10.0))
    numpyro.sample("y", dist.Normal(slope * x, 1.0), obs=y)


def guide(*args):
    location = numpyro.param("location", 0.0)
    numpyro.sample("mean", dist.Normal(location, numpyro.param("scale", 1.0, constraint=constraints.positive)))


def method_of(target, with_own_guide):
    return vi.gradient(vi.from_numpyro_guide(guide, target), PLAIN) if with_own_guide else None


@pytest.mark.parametrize("with_own_guide", [False, True], ids=["default guide", "own guide"])
@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            no_density,
            r"site 'y' \(Normal\): 50 of 50 .*first nan, for the value 2.12.* at index 0, with loc nan \(at mean",
        ),
        (forbidden, r"site 'wall' \(Unit\): 1 of 1 log densities not finite, first -inf.*at mean = "),
    ],
    ids=["nan", "-inf"],
)
def test_no_density_anywhere_names_site_and_values(model, words, with_own_guide):
    target = vi.from_numpyro(model, Y)
    with pytest.raises(ValueError, match=words):
        vi.fit(KEY, target, method_of(target, with_own_guide))


def test_steps_that_are_not_finite_are_counted_and_end_the_fit():
    """NumPyro's stable_update stays where it began, and says nothing."""
    target = vi.from_log_density(lambda z: jnp.where(jnp.sum(z**2) < 9.0, 50.0 * z[0], jnp.nan), dim=1)
    fit = vi.fit(KEY, target, vi.gradient(vi.MeanFieldNormal(), PLAIN), max_steps=2000)
    assert fit.status is vi.Status.DIVERGED
    assert "steps were skipped because loss or parameters became non-finite" in fit.warnings[0]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fit.params))


def test_an_edge_of_the_posterior_under_the_guide_is_said():
    """The part of normal draws beyond an edge, as `vi.diagnose` and every fit with a doubt about it count them."""
    edge = vi.from_log_density(lambda z: jnp.where(z[0] > -1.5, -0.5 * jnp.sum(z**2), -jnp.inf), dim=1)
    fit = vi.fit(KEY, edge, vi.laplace(1))  # looks at the mode alone
    (words,) = look_back(edge, fit.method, fit.params)
    share = stats.norm.cdf(-1.5)
    assert "draws of the fit lie where the target's log density is -inf or NaN" in words
    assert abs(int(words.split()[0]) - 128 * share) < 5 * np.sqrt(128 * share)
    drawn = vi.fit(KEY, edge, vi.gradient(vi.MeanFieldNormal(), PLAIN), max_steps=200)
    assert "steps were skipped" in drawn.warnings[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_data_that_are_no_numbers_are_named_with_their_place(bad):
    y, x = Y.copy(), np.linspace(0.0, 1.0, 50)
    y[3] = x[4] = bad
    with pytest.raises(ValueError, match=r"model argument 'y': 1 of 50 entries are NaN or infinite.* at index 3"):
        vi.from_numpyro(mean_model, y)  # so that no guide meets them
    with pytest.raises(ValueError, match=r"model argument 'x': 1 of 50 entries are NaN or infinite.* at index 4"):
        vi.from_numpyro(slope_model, x, Y)


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (optax.adam(10.0), None),
        (optax.adam(100.0), "nats below the best ELBO"),
        (optax.adam(jnp.nan), "DIVERGED"),
        (optax.adam(-1.0), "nats below the best ELBO"),
        (optax.sgd(0.1), None),
        (optax.sgd(1.0), None),
    ],
    ids=["adam 10", "adam 100", "adam nan", "adam negative", "sgd 0.1", "sgd 1"],
)
def test_a_learning_rate_that_is_wrong_is_said_or_does_no_harm(optimizer, words):
    fit = vi.fit(
        KEY, vi.from_numpyro(mean_model, Y), vi.gradient(vi.MeanFieldNormal(), PLAIN, optimizer), max_steps=500
    )
    if words is None:
        np.testing.assert_allclose(fit.posterior.mean, Y.sum() / 50.01, atol=0.02 / np.sqrt(50))
        np.testing.assert_allclose(fit.posterior.variance, 1 / 50.01, rtol=0.05)
        assert fit.status is vi.Status.CONVERGED
    else:
        assert any(words in said for said in fit.warnings)


@pytest.mark.parametrize("steps", [1.5, True])
def test_steps_are_counted_in_whole_numbers(steps):
    with pytest.raises(TypeError, match="max_steps: expected a whole number"):
        as_users_call_it(vi.fit)(KEY, vi.from_numpyro(mean_model, Y), max_steps=steps)


def test_jax_can_be_asked_to_stop_at_nan_during_a_healthy_fit():
    with jax.debug_nans(True):
        fit = vi.fit(KEY, vi.from_numpyro(mean_model, Y), vi.gradient(vi.MeanFieldNormal(), PLAIN))
    np.testing.assert_allclose(fit.posterior.mean, Y.sum() / 50.01, atol=0.02 / np.sqrt(50))
