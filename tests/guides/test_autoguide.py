"""NumPyro's autoguides as guides: the truth of a correlated normal, fresh starts, and the ones that cannot be used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer import autoguide

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import AUTOGUIDES, log_prob, no_model, normal_log_density, random_params

MEAN, COVARIANCE = np.array([1.0, -2.0]), np.array([[1.0, 0.8], [0.8, 1.6]])
PRECISION = np.linalg.inv(COVARIANCE)
LOG_EVIDENCE = 0.5 * np.linalg.slogdet(2 * np.pi * COVARIANCE)[1]


def correlated_normal():
    bound = jax.tree_util.Partial(normal_log_density, jnp.asarray(MEAN), jnp.asarray(PRECISION))
    return vi.from_log_density(bound, dim=2, log_evidence=LOG_EVIDENCE)


def fitted(name, seed=0, **options):
    return vi.fit(jax.random.key(seed), correlated_normal(), vi.gradient(AUTOGUIDES[name](), vi.ReverseKL()), **options)


def draws_of(fit):
    return np.asarray(jit(lambda: fit.posterior.sample(jax.random.key(9), (20_000,)))())


@pytest.mark.parametrize("name", ["auto multivariate", "auto low rank"])
def test_a_correlated_normal_is_found(name):
    draws = draws_of(fitted(name))
    np.testing.assert_allclose(draws.mean(0), MEAN, atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), COVARIANCE, rtol=0.06)


def test_the_flow_comes_close_to_a_correlated_normal():
    fit = fitted("auto IAF", max_steps=2000)
    draws = draws_of(fit)
    np.testing.assert_allclose(draws.mean(0), MEAN, atol=0.1)
    np.testing.assert_allclose(np.cov(draws.T), COVARIANCE, rtol=0.15)
    assert LOG_EVIDENCE - fit.history["elbo"][-200:].mean() < 0.02  # D_KL(q || p)


def test_the_diagonal_one_finds_the_mean_field_optimum():
    """Variances are the inverse diagonal of the precision, less than the marginal ones."""
    draws = draws_of(fitted("auto diagonal"))
    np.testing.assert_allclose(draws.mean(0), MEAN, atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), np.diag(1 / np.diag(PRECISION)), atol=0.03)


def test_one_object_serves_many_fits_and_each_begins_elsewhere():
    """An autoguide keeps the location of its first use; ours forgets it."""

    def two_modes(z):
        return jnp.logaddexp(-0.5 * jnp.sum((z - 6.0) ** 2), -0.5 * jnp.sum((z + 6.0) ** 2))

    target = vi.from_log_density(two_modes, dim=2)
    guide = autoguide.AutoDiagonalNormal(no_model)
    method = vi.gradient(vi.from_autoguide(guide), vi.ReverseKL(), num_draws=2)
    starts = [vi.fit(jax.random.key(seed), target, method, max_steps=1).params["_location"] for seed in range(6)]
    assert len({float(np.sign(location[0])) for location in starts}) == 2
    assert guide.prototype_trace is None


def test_the_settings_of_the_autoguide_are_kept():
    narrow = vi.from_autoguide(autoguide.AutoDiagonalNormal(no_model, init_scale=0.01))
    wide = vi.from_autoguide(autoguide.AutoDiagonalNormal(no_model, init_scale=0.5))
    origin = jnp.zeros((1, 2))
    values = []
    for guide in (narrow, wide):
        params = random_params(guide, spread=0.0)
        values.append(float(log_prob(guide, params, params["_location"] + origin)[0]))
    np.testing.assert_allclose(values[0] - values[1], 2 * np.log(0.5 / 0.01), rtol=1e-9)
    ranks = [vi.from_autoguide(autoguide.AutoLowRankMultivariateNormal(no_model, rank=rank)) for rank in (1, 2)]
    assert [random_params(guide)["auto_cov_factor"].shape for guide in ranks] == [(2, 1), (2, 2)]


def batched(kind):
    return kind(no_model, batch_ndim=1)


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: autoguide.AutoDAIS(no_model), ValueError, "AutoDAIS cannot be used here: its density cannot be"),
        (
            lambda: autoguide.AutoLaplaceApproximation(no_model),
            ValueError,
            r"AutoLaplaceApproximation.*use vi.laplace\(\)",
        ),
        (lambda: autoguide.AutoBNAFNormal(no_model), ValueError, "AutoBNAFNormal.*its flow cannot be inverted"),
        (
            lambda: batched(autoguide.AutoBatchedMultivariateNormal),
            ValueError,
            "AutoBatchedMultivariateNormal.*use FullRank",
        ),
        (
            lambda: batched(autoguide.AutoBatchedLowRankMultivariateNormal),
            ValueError,
            "AutoBatchedLowRank.*use FullRank",
        ),
        (lambda: autoguide.AutoDelta(no_model), ValueError, "AutoDelta cannot be used here: it is a point"),
        (
            lambda: autoguide.AutoMultivariateNormal,
            TypeError,
            "got the class AutoMultivariateNormal itself.*an instance",
        ),
        (lambda: vi.FullRankNormal(), TypeError, "guide: expected a AutoContinuous or .*, got FullRankNormal"),
    ],
)
def test_what_cannot_be_used_is_refused(without_type_checks, build, error, words):
    with pytest.raises(error, match=words):
        vi.from_autoguide(build())
